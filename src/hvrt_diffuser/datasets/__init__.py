"""Kedro datasets: image sources, models, synthetic images, tables and metrics, each file whole."""

from hvrt_diffuser.datasets.image_source import ImageSourceDataset
from hvrt_diffuser.datasets.latents import check_latents_table
from hvrt_diffuser.datasets.models import CheckpointDataset, SavedDataset
from hvrt_diffuser.datasets.reports import FigureDataset, MetricsDataset, TableDataset
from hvrt_diffuser.datasets.synthetic import SyntheticImagesDataset

__all__ = [
    "CheckpointDataset",
    "FigureDataset",
    "ImageSourceDataset",
    "MetricsDataset",
    "SavedDataset",
    "SyntheticImagesDataset",
    "TableDataset",
    "check_latents_table",
]
