"""Brightness and two differences of colour."""

from __future__ import annotations

__all__ = ["LUMA_CHROMA"]

# ITU-R BT.601 as JPEG has it: a row for luma and one for each chroma, of red, green and blue.
LUMA_CHROMA = ((0.299, 0.587, 0.114), (-0.1687, -0.3313, 0.5), (0.5, -0.4187, -0.0813))
