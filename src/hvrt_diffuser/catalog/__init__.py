"""Datasets of the Kedro catalog: sources, models, images, exports, tables, metrics; each whole."""

from hvrt_diffuser.catalog.export import Export, ExportDataset
from hvrt_diffuser.catalog.image_source import ImageSourceDataset
from hvrt_diffuser.catalog.latents import LatentsDataset, check_latents_table
from hvrt_diffuser.catalog.models import CheckpointDataset, PathDataset, SavedDataset
from hvrt_diffuser.catalog.reports import (
    FigureDataset,
    MetricsDataset,
    PageDataset,
    TableDataset,
)
from hvrt_diffuser.catalog.synthetic import SyntheticImagesDataset

__all__ = [
    "CheckpointDataset",
    "Export",
    "ExportDataset",
    "FigureDataset",
    "ImageSourceDataset",
    "LatentsDataset",
    "MetricsDataset",
    "PageDataset",
    "PathDataset",
    "SavedDataset",
    "SyntheticImagesDataset",
    "TableDataset",
    "check_latents_table",
]
