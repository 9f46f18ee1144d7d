"""How many different images there are in effect."""

from __future__ import annotations

import numpy as np

from hvrt_diffuser.metrics.samples import Array, check_sample

__all__ = ["vendi_score"]


def vendi_score(features: Array) -> float:
    """The effective number of different rows: 1 where all are alike, n where none are.

    exp of the entropy of the eigenvalues of the kernel matrix over n, with the cosine as kernel
    (Friedman & Dieng 2023, arXiv 2210.02410, definition 3.1). Those eigenvalues are also those of
    a (d, d) matrix, so that it is no more than d, and n may be large. It needs no reference, and
    compares with that of real images.

    Args:
        features: (n, d). A row of zeros, which has no cosine, is like other such rows alone.

    Raises:
        InputError: an empty sample, or NaN.
    """
    x = check_sample(features)
    norms = np.linalg.norm(x, axis=1, keepdims=True)
    zero = norms == 0
    x = np.concatenate([x / np.where(zero, 1, norms), zero], axis=1)
    values = np.linalg.eigvalsh(x.T @ x / len(x))
    values = values[values > 0]
    return float(np.exp(-(values * np.log(values)).sum()))
