"""The frontier of latent samplers: fidelity, novelty and utility of each, on one autoencoder."""

from hvrt_diffuser.frontier.approaches import APPROACHES, WAY, Approach, ApproachName
from hvrt_diffuser.frontier.image_yardstick import ImagePoint, ImageYardstick
from hvrt_diffuser.frontier.picture import plot_frontier_of_samplers
from hvrt_diffuser.frontier.table import FLOORS, VERSIONS, measure_frontier, summarise
from hvrt_diffuser.frontier.yardstick import Point, Yardstick

__all__ = [
    "APPROACHES",
    "FLOORS",
    "VERSIONS",
    "WAY",
    "Approach",
    "ApproachName",
    "ImagePoint",
    "ImageYardstick",
    "Point",
    "Yardstick",
    "measure_frontier",
    "plot_frontier_of_samplers",
    "summarise",
]
