"""The residual block of encoder and decoder."""

from __future__ import annotations

from torch import Tensor, nn

__all__ = ["ResidualBlock"]


class ResidualBlock(nn.Module):
    """x + net(x), where net is 1x1, 3x3, 3x3 and 1x1 convolutions with SiLU between them.

    Args:
        n_in: channels of the input.
        hidden: channels inside.
        n_out: channels of the output; where they differ, a 1x1 convolution stands on the skip.
        activate_first: whether the activation comes before each convolution (the encoder), or
            after each but the last (the decoder).
    """

    def __init__(self, n_in: int, hidden: int, n_out: int, *, activate_first: bool) -> None:
        super().__init__()
        sizes = [(n_in, hidden, 1), (hidden, hidden, 3), (hidden, hidden, 3), (hidden, n_out, 1)]
        layers: list[nn.Module] = []
        for i, (narrow, wide, kernel) in enumerate(sizes):
            if activate_first or i > 0:
                layers.append(nn.SiLU())
            layers.append(nn.Conv2d(narrow, wide, kernel, padding=kernel // 2))
        self.net = nn.Sequential(*layers)
        self.skip = nn.Identity() if n_in == n_out else nn.Conv2d(n_in, n_out, 1)

    @property
    def last(self) -> nn.Conv2d:
        """The last convolution of the net."""
        layer = self.net[-1]
        assert isinstance(layer, nn.Conv2d)
        return layer

    def forward(self, x: Tensor) -> Tensor:
        """(n, n_in, h, w) to (n, n_out, h, w)."""
        out: Tensor = self.skip(x) + self.net(x)
        return out
