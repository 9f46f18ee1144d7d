"""Partitions of latents by hvrt's models, fitted side by side."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Literal, NamedTuple

import hvrt
import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, model_validator
from torch import Tensor
from typing_extensions import Self

from hvrt_diffuser.common.bounds import Count, Repetitions, Share, TreeDepth
from hvrt_diffuser.common.options import Options
from hvrt_diffuser.common.seeding import derive_seed, generator
from hvrt_diffuser.samplers.leaves import deviation_of_rows
from hvrt_diffuser.samplers.trees import Forest

__all__ = ["PartitionOptions", "start_forest"]

Array = NDArray[np.float64]
MAD_TO_DEVIATION = 1.4826  # of a normal distribution; hvrt's own digits
ROBUST = ("HART", "FastHART", "PyramidHART")  # measure by the median absolute deviation


class PartitionOptions(Options):
    """How hvrt divides latents into leaves."""

    partitioner: Literal["FastHVRT", "HVRT", "FastHART", "HART", "PyramidHART"] = Field(
        "FastHVRT", description="hvrt's model; those with HART split by absolute errors"
    )
    min_samples_leaf: Count | None = Field(
        5, description="latents in the smallest leaf; null is hvrt's own choice"
    )
    n_partitions: Count | None = Field(
        None, ge=2, description="leaves of a tree at most; null is hvrt's own choice"
    )
    max_depth: TreeDepth | None = Field(None, description="of a tree; null is no limit")
    tree_splitter: Literal["best", "random"] = Field(
        "best", description="random tries one threshold per dimension: several times faster"
    )
    tree_rows: Count | None = Field(
        100_000,
        ge=2,
        description="latents that a tree is fitted on at most, drawn at random where there are "
        "more; all of them are sent through it. null is no limit",
    )
    y_weight: Share = Field(
        0.0, description="share of the labels, taken as numbers, in the tree's target"
    )
    members: Repetitions = Field(1, description="partitions that draws are divided among")
    diversity: Literal["splitter", "rows", "rotations"] = Field(
        "splitter",
        description="what makes members differ: random thresholds, trees fitted on rows drawn with "
        "replacement, or on latents rotated at random",
    )

    @model_validator(mode="after")
    def _members_differ(self) -> Self:
        if self.members > 1 and self.diversity == "splitter" and self.tree_splitter == "best":
            raise ValueError(
                "members with diversity splitter and tree_splitter best would all be one tree: set "
                "tree_splitter to random, or diversity to rows or rotations"
            )
        return self


class _Tree(NamedTuple):
    """One fitted tree, its scaler, and the leaf of each row of its group."""

    feature: Tensor
    threshold: Tensor
    left: Tensor
    right: Tensor
    depth: int
    center: Tensor
    scale: Tensor


def start_forest(
    latents: Tensor,
    labels: Tensor,
    group: Tensor,
    options: PartitionOptions,
    pool: ThreadPoolExecutor,
    *,
    seed: int,
    name: str,
    known: Forest | None = None,
) -> Callable[[], Forest]:
    """Start to fit a tree for each member and group; the result waits for them.

    scikit-learn lets go of the interpreter while it grows a tree, so threads do for a pool, and
    the trees do not depend on how many there are.

    Args:
        latents: (n, d).
        labels: int64 (n,), which matter where ``y_weight`` is above 0.
        group: int64 (n,), in ascending order, 0 ... g-1.
        options: of hvrt's model.
        pool: where the trees grow.
        seed: of the members.
        name: of the partition, which keeps its seeds apart from those of others.
        known: trees of the groups before these, which the new ones go on from.
    """
    x = latents.cpu()
    counts = torch.bincount(group).tolist()
    d = x.shape[1]
    rotation = x.new_zeros(0, 0, 0, dtype=torch.float64)
    if known is not None:
        rotation = known.rotation.cpu()
    elif options.members > 1 and options.diversity == "rotations":
        # Rotated in units of each dimension's deviation, or the widest would have its way.
        deviation = deviation_of_rows(x)
        unit = torch.where(deviation > 0, deviation, 1.0)
        rotation = torch.stack(
            [_rotation(d, seed, name, member) / unit[:, None] for member in range(options.members)]
        )

    before = 0 if known is None else known.root.shape[1]

    def fit(member: int, which: int) -> _Tree:
        rows = x.split(counts)[which]
        y = labels.cpu().split(counts)[which]
        n = min(len(rows), options.tree_rows or len(rows))
        source = generator(seed, "hvrt", name, member, before + which)
        if options.members > 1 and options.diversity == "rows":
            drawn = torch.randint(len(rows), (n,), generator=source)
            rows, y = rows[drawn], y[drawn]
        elif n < len(rows):
            drawn = torch.randperm(len(rows), generator=source)[:n]
            rows, y = rows[drawn], y[drawn]
        rows = rows.double()
        if len(rotation):
            rows = rows @ rotation[member]
        random_state = derive_seed(seed, "hvrt", name, member, before + which) % 2**31
        return _fit_tree(rows.numpy(), y.double().numpy(), options, random_state)

    jobs = [(member, which) for member in range(options.members) for which in range(len(counts))]
    trees = pool.map(lambda job: fit(*job), jobs)
    unit = torch.stack(
        [_deviation(rows, options.partitioner in ROBUST) for rows in x.split(counts)]
    )
    return lambda: _plant(list(trees), options.members, rotation, unit).to(latents.device)


def _rotation(d: int, seed: int, name: str, member: int) -> Tensor:
    """An orthogonal matrix (d, d), uniformly distributed (Stewart 1980)."""
    source = generator(seed, "hvrt", name, member, "rotation")
    q, r = torch.linalg.qr(torch.randn(d, d, dtype=torch.float64, generator=source))
    return q * r.diagonal().sign()


def _deviation(rows: Tensor, robust: bool) -> Tensor:
    """The unit (d,) in which hvrt measures these rows; 1 for a constant dimension."""
    if robust:
        columns = (column.double().numpy() for column in rows.T)  # one at a time
        absolute = [np.median(np.abs(each - np.median(each))) for each in columns]
        deviation = MAD_TO_DEVIATION * torch.tensor(absolute, dtype=torch.float64)
    else:
        deviation = deviation_of_rows(rows)
    return torch.where(deviation > 0, deviation, 1.0)


def _fit_tree(rows: Array, y: Array, options: PartitionOptions, random_state: int) -> _Tree:
    model = getattr(hvrt, options.partitioner)(
        n_partitions=options.n_partitions,
        min_samples_leaf=options.min_samples_leaf,
        max_depth=options.max_depth,
        tree_splitter=options.tree_splitter,
        y_weight=options.y_weight,
        random_state=random_state,
    ).fit(rows, y if options.y_weight else None)
    tree, scaler = model.tree_.tree_, model.scaler_
    center = scaler.mean_ if hasattr(scaler, "mean_") else scaler.center_
    is_leaf = tree.children_left < 0
    itself = np.arange(tree.node_count)
    return _Tree(
        torch.from_numpy(np.where(is_leaf, 0, tree.feature)).long(),
        torch.from_numpy(np.where(is_leaf, 0.0, tree.threshold)),
        torch.from_numpy(np.where(is_leaf, itself, tree.children_left)).long(),
        torch.from_numpy(np.where(is_leaf, itself, tree.children_right)).long(),
        int(tree.max_depth),
        torch.from_numpy(np.array(center)),
        torch.from_numpy(np.array(scaler.scale_)),
    )


def _plant(trees: list[_Tree], members: int, rotation: Tensor, unit: Tensor) -> Forest:
    """Trees, member after member, with their nodes and leaves numbered together."""
    sizes = torch.tensor([len(tree.feature) for tree in trees])
    starts = sizes.cumsum(0) - sizes
    left = torch.cat([tree.left + start for tree, start in zip(trees, starts, strict=True)])
    right = torch.cat([tree.right + start for tree, start in zip(trees, starts, strict=True)])
    is_leaf = left == torch.arange(len(left))
    groups = len(trees) // members
    return Forest(
        root=starts.view(members, groups),
        feature=torch.cat([tree.feature for tree in trees]),
        threshold=torch.cat([tree.threshold for tree in trees]),
        left=left,
        right=right,
        leaf=torch.where(is_leaf, is_leaf.cumsum(0) - 1, -1),
        center=torch.stack([tree.center for tree in trees]).view(members, groups, -1),
        scale=torch.stack([tree.scale for tree in trees]).view(members, groups, -1),
        rotation=rotation,
        unit=unit,
        depth=max(tree.depth for tree in trees),
    )
