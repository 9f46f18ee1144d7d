"""Where labelled images come from: each source is one small module, read by :func:`read_images`."""

from hvrt_diffuser.datasets.sources.reading import SOURCES, read_images
from hvrt_diffuser.datasets.sources.splits import ImageSplits

__all__ = ["SOURCES", "ImageSplits", "read_images"]
