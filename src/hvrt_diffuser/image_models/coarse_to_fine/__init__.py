"""A coarse code by any latent sampler, and the detail of an image in one pass."""

from hvrt_diffuser.image_models.coarse_to_fine.estimator import CoarseToFineEstimator
from hvrt_diffuser.image_models.coarse_to_fine.model import CoarseToFine

__all__ = ["CoarseToFine", "CoarseToFineEstimator"]
