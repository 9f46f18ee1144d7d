"""Where labelled images come from: each source is one small module, read by :func:`read_images`."""

from hvrt_diffuser.data.sources.reading import SOURCES, read_images
from hvrt_diffuser.data.sources.splits import ImageSplits

__all__ = ["SOURCES", "ImageSplits", "read_images"]
