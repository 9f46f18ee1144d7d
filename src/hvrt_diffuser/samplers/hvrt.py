"""HVRT: trees partition the latents, and each leaf brings a kernel of its own bandwidth."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ClassVar

import torch
from pydantic import Field, model_validator
from torch import Tensor
from typing_extensions import Self

from hvrt_diffuser.common.bounds import Factor
from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.registry import SAMPLERS
from hvrt_diffuser.samplers.bootstrap import Neighbourhoods, SmoothedBootstrap
from hvrt_diffuser.samplers.kernels import Strategy, fit_kernel
from hvrt_diffuser.samplers.leaves import Leaves
from hvrt_diffuser.samplers.partition import PartitionOptions, start_forest
from hvrt_diffuser.samplers.protocol import SamplerEstimator, by_class
from hvrt_diffuser.samplers.trees import Forest

__all__ = ["HVRTEstimator"]

FEWEST = 2  # latents of a class, between which a kernel can lie


@SAMPLERS.register("hvrt")
class HVRTEstimator(PartitionOptions, SamplerEstimator):
    """How the latents are partitioned, and the kernel in the leaves.

    Example:
        >>> sampler = HVRTEstimator().fit(latents, labels)  # doctest: +SKIP
    """

    what: ClassVar[str] = "a tree's leaves, with a kernel in each"
    drawing: ClassVar[frozenset[str]] = frozenset({"strategy", "noise_scale"})

    strategy: Strategy = Field(
        "epanechnikov",
        description="hvrt's kernel: epanechnikov with Scott's bandwidth for the leaf's size; "
        "bootstrap_noise, normal with a tenth of the leaf's deviation; multivariate_kde, normal "
        "along the leaf's covariance; univariate_kde_copula, the leaf's marginals joined by a "
        "Gaussian copula",
    )
    noise_scale: Factor = Field(
        1.0, description="factor on the kernel's bandwidth; 1 is hvrt's own, 0 gives copies"
    )

    @model_validator(mode="after")
    def _copula_has_a_bandwidth(self) -> Self:
        if self.strategy == "univariate_kde_copula" and self.noise_scale == 0:
            raise ValueError(
                "univariate_kde_copula draws from densities, which noise_scale 0 takes away: set "
                "it above 0"
            )
        return self

    def fit(
        self, latents: Tensor, labels: Tensor | None = None, *, seed: int = 0
    ) -> SmoothedBootstrap:
        """Fit the trees once on all latents and once on those of each class.

        The copula starts from no row, so a draw from a joint fit would have no label: for it,
        there are the fits of the classes alone.

        Draws follow the semantics of ``expand`` in hvrt 2.11, except that leaves are drawn exactly
        in proportion to their sizes, where hvrt rounds its budgets.

        Args:
            latents: float32 or float64 (n, d), on the device that the sampler shall draw on.
            labels: int64 (n,), every class from 0 to k - 1; None makes one class of all latents.
            seed: of ``tree_splitter: random`` and of the members.

        Raises:
            InputError: NaN or infinite latents, labels that do not fit them, or a class with too
                few latents.
        """
        latents, labels, counts = self._arranged(latents, labels)
        everything = torch.zeros_like(labels)
        with _pool() as pool:
            start = partial(start_forest, latents, labels, options=self, pool=pool, seed=seed)
            # The joint tree takes longest, so it starts first.
            joint = start(group=everything, name="all") if self._has_joint_fit(counts) else None
            own = start(group=labels, name="class" if len(counts) > 1 else "all")
            per_class = self._neighbourhoods(latents, labels, own())
            overall = self._neighbourhoods(latents, everything, joint()) if joint else per_class
        return SmoothedBootstrap(latents, counts, overall, per_class, self.origin(seed))

    def adapt(
        self,
        fitted: SmoothedBootstrap,
        latents: Tensor,
        labels: Tensor | None = None,
        *,
        seed: int = 0,
        augmented: Tensor | None = None,
    ) -> SmoothedBootstrap:
        """See :meth:`hvrt_diffuser.samplers.SamplerEstimator.adapt`.

        A joint tree that is missing, since a copula does without, is fitted with the others.
        """
        has_joint_tree = _trees(fitted.overall).root.shape[1] == 1
        if self._has_joint_fit(fitted.counts) and not has_joint_tree:
            return self.fit(latents, labels, seed=seed)
        return self.refit(fitted, latents, labels, seed=seed)

    def refit(
        self,
        sampler: SmoothedBootstrap,
        latents: Tensor,
        labels: Tensor | None = None,
        *,
        seed: int = 0,
    ) -> SmoothedBootstrap:
        """Warm start: send new latents through a fitted sampler's trees and renew its tables.

        No tree that is there is fitted again. A class that the sampler does not know, numbered
        after those that it knows, gets trees of its own; the kernel may be another one than the
        sampler's.

        Args:
            sampler: fitted by an estimator with the same partition.
            latents: (n, d), in place of the sampler's own.
            labels: int64 (n,).
            seed: of trees for new classes.

        Raises:
            InputError: as for :meth:`fit`; also a sampler without trees, with trees of other
                settings or dimensions, or with classes that are now missing.
        """
        self._check_trees(sampler)
        latents, labels, counts = self._arranged(latents, labels)
        if latents.shape[1] != sampler.latent_dim:
            raise InputError(
                f"latents of {latents.shape[1]} dimensions were given to trees over "
                f"{sampler.latent_dim}, expected as many: fit again"
            )
        if len(counts) < sampler.n_classes:
            raise InputError(
                f"latents of {len(counts)} classes were given to a sampler of "
                f"{sampler.n_classes}, expected at least as many: fit again"
            )
        forest = _trees(sampler.per_class).to(latents.device)
        unseen = labels >= sampler.n_classes
        if unseen.any():
            with _pool() as pool:
                new = start_forest(
                    latents[unseen],
                    labels[unseen],
                    labels[unseen] - sampler.n_classes,
                    self,
                    pool,
                    seed=seed,
                    name="class",
                    known=forest,
                )
                forest = forest.followed_by(new())
        per_class = overall = self._neighbourhoods(latents, labels, forest)
        if self._has_joint_fit(counts):
            joint = _trees(sampler.overall).to(latents.device)
            if joint.root.shape[1] > 1:
                raise InputError(
                    "the sampler has no trees over all its classes, which univariate_kde_copula "
                    f"does without and {self.strategy} needs: fit again"
                )
            overall = self._neighbourhoods(latents, torch.zeros_like(labels), joint)
        origin = {**sampler.origin, **self.origin(sampler.origin["seed"])}
        return SmoothedBootstrap(latents, counts, overall, per_class, origin)

    def _arranged(self, latents: Tensor, labels: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """Latents and labels ordered by class, and the rows of each class."""
        latents, labels, counts = by_class(latents, labels)
        self.check(counts)
        return latents, labels, counts

    def check(self, counts: Tensor, class_names: Sequence[str] | None = None) -> None:
        """See :meth:`hvrt_diffuser.samplers.SamplerEstimator.check`; few latents are one leaf."""
        if counts.min() < FEWEST:
            small = int(counts.argmin())
            name = class_names[small] if class_names else small
            raise InputError(
                f"class {name} has {int(counts[small])} latents, expected at least {FEWEST} for a "
                "fit of its own: add images of it, or leave the class out"
            )

    def _has_joint_fit(self, counts: Tensor) -> bool:
        """Whether draws without a given label have trees of their own."""
        return len(counts) > 1 and self.strategy != "univariate_kde_copula"

    def _neighbourhoods(self, latents: Tensor, group: Tensor, forest: Forest) -> Neighbourhoods:
        leaf = forest.route(latents, group)
        unit = forest.unit[forest.group_of_leaf()]
        leaves = Leaves(leaf, forest.n_leaves)
        kernel = fit_kernel(self.strategy, latents, leaves, unit, self.noise_scale)
        return Neighbourhoods(leaf, kernel, forest)

    def _check_trees(self, sampler: SmoothedBootstrap) -> None:
        """Raise InputError unless the sampler's trees are as this estimator would fit them."""
        for name in PartitionOptions.model_fields:
            theirs, ours = sampler.origin.get(name), getattr(self, name)
            if sampler.overall.forest is None or theirs != ours:
                raise InputError(
                    f"the sampler was fitted with {name} {theirs} and the estimator says {ours}, "
                    "expected the same partition: fit again, or take the sampler's settings"
                )


def _pool() -> ThreadPoolExecutor:
    # A tree takes seconds, and less than to send its latents to another process.
    return ThreadPoolExecutor(max_workers=torch.get_num_threads())


def _trees(neighbourhoods: Neighbourhoods) -> Forest:
    assert neighbourhoods.forest is not None, "a sampler fitted by HVRT has trees"
    return neighbourhoods.forest
