"""The source of what is served, which the AGPL asks to offer to whoever uses it over a network."""

from __future__ import annotations

import gzip
import importlib.metadata
import io
import tarfile
from functools import lru_cache
from pathlib import Path

import hvrt_diffuser

__all__ = ["source_archive"]

SUFFIXES = {".py", ".html", ".typed"}
NOTE = """\
The source of hvrt-diffuser {own}, as it runs here, under AGPL-3.0-or-later.
It draws by the package hvrt {hvrt}, whose source is at https://pypi.org/project/hvrt/{hvrt}/.
"""


@lru_cache(maxsize=1)
def source_archive() -> bytes:
    """A tar.gz of this package's files as they are installed, with its licence."""
    root = Path(hvrt_diffuser.__file__).parent
    files = {
        str(path.relative_to(root.parent)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.suffix in SUFFIXES
    }
    for path in importlib.metadata.files("hvrt-diffuser") or []:
        if path.name == "LICENSE":
            files["LICENSE"] = path.read_binary()
    version = importlib.metadata.version
    note = NOTE.format(own=version("hvrt-diffuser"), hvrt=version("hvrt"))
    files["README"] = note.encode()
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(f"hvrt-diffuser/{name}")
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return gzip.compress(whole.getvalue(), mtime=0)
