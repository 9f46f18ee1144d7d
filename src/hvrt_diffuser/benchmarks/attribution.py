"""Each sampler on the same latents: fidelity, novelty, and whose copies its draws are."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from hvrt_diffuser.autoencoders import decode_latents
from hvrt_diffuser.benchmarks.material import CPU, Material
from hvrt_diffuser.common.seeding import generator
from hvrt_diffuser.metrics import attribution, kolmogorov_smirnov, nearest
from hvrt_diffuser.samplers import HVRTEstimator

__all__ = ["ESTIMATORS", "describe_samplers"]

N = 10_000
N_IMAGES = 1_000  # of the comparison with every training image
SMALL: dict[str, Any] = {"min_samples_leaf": 5}
RANDOM: dict[str, Any] = {**SMALL, "tree_splitter": "random"}
ESTIMATORS: dict[str, HVRTEstimator] = {
    "epanechnikov": HVRTEstimator(**SMALL),
    "bootstrap_noise": HVRTEstimator(strategy="bootstrap_noise", **SMALL),
    "multivariate_kde": HVRTEstimator(strategy="multivariate_kde", **SMALL),
    "univariate_kde_copula": HVRTEstimator(strategy="univariate_kde_copula", **SMALL),
    "hvrt's own leaves": HVRTEstimator(),
    "half the noise": HVRTEstimator(noise_scale=0.5, **SMALL),
    "copies (no noise)": HVRTEstimator(noise_scale=0.0, **SMALL),
    "random splitter": HVRTEstimator(**RANDOM),
    "HVRT": HVRTEstimator(partitioner="HVRT", **SMALL),
    "FastHART": HVRTEstimator(partitioner="FastHART", **RANDOM),
    "HART": HVRTEstimator(partitioner="HART", **RANDOM),
    "PyramidHART": HVRTEstimator(partitioner="PyramidHART", **RANDOM),
    "5 members, random splitter": HVRTEstimator(members=5, **RANDOM),
    "5 members, rows": HVRTEstimator(members=5, diversity="rows", **RANDOM),
    "5 members, rotations": HVRTEstimator(members=5, diversity="rotations", **RANDOM),
}


def describe_samplers(material: Material, progress: Any) -> list[dict[str, Any]]:
    """A row per sampler, and once more for draws of given classes."""
    latents, labels = material.latents
    held_out = material.test_latents[0]
    some = torch.randperm(len(held_out), generator=generator(0, "benchmarks", "held_out"))
    pixels = _pixels(material, latents)  # of decoded training latents
    usual_image = _distance(_pixels(material, held_out[some[:N_IMAGES]]), pixels)
    usual_latent = _distance(held_out.numpy(), latents.numpy())
    order = torch.randperm(len(labels), generator=generator(0, "benchmarks", "labels"))
    wanted = labels[order[:N]]  # real proportions, as without labels
    table = []
    for name, estimator in ESTIMATORS.items():
        sampler = estimator.fit(latents, labels)
        training = sampler.latents.numpy()
        for conditional in (False, True):
            source = torch.Generator().manual_seed(0)
            drawn = sampler.draw(len(wanted), wanted if conditional else None, generator=source)
            z = drawn.latents.numpy()
            part = sampler.per_class if conditional else sampler.overall
            table.append(
                {
                    "sampler": name,
                    "draws": "of given classes" if conditional else "of all classes",
                    "leaves": part.n_leaves,
                    "attribution": None
                    if drawn.rows is None
                    else attribution(z, drawn.rows.numpy(), training),
                    "dcr_latent": _distance(z, training) / usual_latent,
                    "dcr_image": _distance(_pixels(material, drawn.latents[:N_IMAGES]), pixels)
                    / usual_image,
                    "latent_ks": float(kolmogorov_smirnov(z, held_out.numpy()).mean()),
                    "fd": material.frechet(material.decode(drawn.latents)),
                }
            )
            progress(table[-1])
    return table


def _distance(queries: NDArray[np.float32], training: NDArray[np.float32]) -> float:
    """Median distance to the closest training record; the DCR ratio compares two of these."""
    return float(np.median(nearest(queries, training)[1]))


def _pixels(material: Material, latents: torch.Tensor) -> NDArray[np.float32]:
    images = decode_latents(material.autoencoder, latents, CPU)
    pixels: NDArray[np.float32] = images.flatten(1).float().div_(255).numpy()
    return pixels
