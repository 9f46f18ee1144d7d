"""Kedro datasets: image sources, models, synthetic images, exports, tables, metrics; each whole."""

from hvrt_diffuser.datasets.export import Export, ExportDataset
from hvrt_diffuser.datasets.image_source import ImageSourceDataset
from hvrt_diffuser.datasets.latents import check_latents_table
from hvrt_diffuser.datasets.models import CheckpointDataset, PathDataset, SavedDataset
from hvrt_diffuser.datasets.reports import (
    FigureDataset,
    MetricsDataset,
    TableDataset,
    TextFileDataset,
)
from hvrt_diffuser.datasets.synthetic import SyntheticImagesDataset

__all__ = [
    "CheckpointDataset",
    "Export",
    "ExportDataset",
    "FigureDataset",
    "ImageSourceDataset",
    "MetricsDataset",
    "PathDataset",
    "SavedDataset",
    "SyntheticImagesDataset",
    "TableDataset",
    "TextFileDataset",
    "check_latents_table",
]
