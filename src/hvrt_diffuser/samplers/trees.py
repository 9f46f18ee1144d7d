"""hvrt's trees as flat tensors: what a partition leaves behind when the latents change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from hvrt_diffuser.common.stored import Stored
from hvrt_diffuser.samplers.leaves import ROWS_AT_ONCE

__all__ = ["Forest"]


@dataclass(frozen=True)
class Forest(Stored):
    """A decision tree for each member and group, over standardised latents.

    All leaves are numbered together, and a leaf is a node that leads to itself.

    Attributes:
        root: int64 (members, groups), the node at which each tree begins.
        feature: int64 (nodes,), the dimension that a node looks at.
        threshold: float64 (nodes,), up to which it goes left.
        left: int64 (nodes,), the next node.
        right: int64 (nodes,), the next node.
        leaf: int64 (nodes,), the number of a leaf, else -1.
        center: float64 (members, groups, d), subtracted before a tree looks.
        scale: float64 (members, groups, d), divided by before a tree looks.
        rotation: float64 (members, d, d), what the latents are multiplied with before; (0, 0, 0)
            where no member is rotated.
        unit: float64 (groups, d), the deviation of each group in each dimension of the latents.
        depth: of the deepest tree.
    """

    root: Tensor
    feature: Tensor
    threshold: Tensor
    left: Tensor
    right: Tensor
    leaf: Tensor
    center: Tensor
    scale: Tensor
    rotation: Tensor
    unit: Tensor
    depth: int

    form: ClassVar[str] = "forest"

    @property
    def n_leaves(self) -> int:
        """Leaves of all trees."""
        return int((self.leaf >= 0).sum())

    def group_of_leaf(self) -> Tensor:
        """int64 (k,), the group that each leaf belongs to."""
        # The nodes of a tree stand together, beginning with its root.
        starts, tree = self.root.flatten().sort()
        sizes = torch.diff(starts, append=starts.new_tensor([len(self.leaf)]))
        owner = (tree % self.root.shape[1]).repeat_interleave(sizes)
        is_leaf = self.leaf >= 0
        group = torch.empty(self.n_leaves, dtype=torch.long, device=self.root.device)
        return group.scatter_(0, self.leaf[is_leaf], owner[is_leaf])

    def followed_by(self, other: Forest) -> Forest:
        """The trees of these groups and then those of ``other``, of the same members."""
        n = len(self.leaf)
        return Forest(
            root=torch.cat([self.root, other.root + n], dim=1),
            feature=torch.cat([self.feature, other.feature]),
            threshold=torch.cat([self.threshold, other.threshold]),
            left=torch.cat([self.left, other.left + n]),
            right=torch.cat([self.right, other.right + n]),
            leaf=torch.cat(
                [self.leaf, torch.where(other.leaf < 0, -1, other.leaf + self.n_leaves)]
            ),
            center=torch.cat([self.center, other.center], dim=1),
            scale=torch.cat([self.scale, other.scale], dim=1),
            rotation=self.rotation,
            unit=torch.cat([self.unit, other.unit]),
            depth=max(self.depth, other.depth),
        )

    def route(self, latents: Tensor, group: Tensor) -> Tensor:
        """The leaf of each row in each member, int64 (members, n).

        Args:
            latents: (n, d).
            group: int64 (n,), whose tree each row goes through.
        """
        pieces = [
            torch.stack([self._route(member, some, own) for member in range(len(self.root))])
            for some, own in zip(
                latents.split(ROWS_AT_ONCE), group.split(ROWS_AT_ONCE), strict=True
            )
        ]
        return torch.cat(pieces, dim=1)

    def _route(self, member: int, latents: Tensor, group: Tensor) -> Tensor:
        x = latents.double()
        if len(self.rotation):
            x = x @ self.rotation[member]
        # scikit-learn's trees compare in float32, and so must this.
        x = ((x - self.center[member][group]) / self.scale[member][group]).float()
        node = self.root[member][group]
        for _ in range(self.depth):
            value = x.gather(1, self.feature[node][:, None])[:, 0]
            node = torch.where(value <= self.threshold[node], self.left[node], self.right[node])
        return self.leaf[node]
