"""Labelled synthetic images in one pass, and a verdict on whether to trust them."""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

# Importing torch takes seconds, and Kedro's own commands import this package for its settings.
_HOMES = {
    "HVRTDiffuser": "hvrt_diffuser.diffuser",
    "InputError": "hvrt_diffuser.common.errors",
    "LabelledImages": "hvrt_diffuser.data.images",
    "compare": "hvrt_diffuser.comparing",
    "plot_comparison": "hvrt_diffuser.comparing",
    "read_images": "hvrt_diffuser.data.sources",
}

__all__ = [
    "HVRTDiffuser",
    "InputError",
    "LabelledImages",
    "__version__",
    "compare",
    "plot_comparison",
    "read_images",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
