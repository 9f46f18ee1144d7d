"""The page: one file that needs no network but the service's own."""

from __future__ import annotations

import base64
import hashlib
import re
from importlib.resources import files

__all__ = ["PAGE", "POLICY"]

PAGE = (files("hvrt_diffuser.serve") / "templates" / "page.html").read_text(encoding="utf-8")


def _allowed(tag: str) -> str:
    """The sources of a tag's content, such as ``'sha256-...'``: this page's own and no other."""
    found = re.findall(rf"<{tag}>(.*?)</{tag}>", PAGE, flags=re.DOTALL)
    digests = (base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in found)
    return " ".join(f"'sha256-{digest}'" for digest in digests)


# The browser runs nothing that does not stand in the page, and loads nothing from elsewhere.
POLICY = (
    f"default-src 'none'; script-src {_allowed('script')}; style-src {_allowed('style')}; "
    "img-src blob: data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
