"""The safetensors format, written tensor by tensor into a file that is already open to others.

The package's own writers hold all bytes in memory a second time, or rename a file of theirs over
the one that :func:`hvrt_diffuser.common.files.whole_file` has locked.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["bytes_of", "write_safetensors"]

# torch's names and the format's, in the order in which the format wants their tensors.
TYPES = {
    "uint64": "U64",
    "int64": "I64",
    "float64": "F64",
    "float32": "F32",
    "uint32": "U32",
    "int32": "I32",
    "bfloat16": "BF16",
    "float16": "F16",
    "uint16": "U16",
    "int16": "I16",
    "int8": "I8",
    "uint8": "U8",
    "bool": "BOOL",
}
ALIGNED = 8  # bytes that the header is filled up to


def bytes_of(tensor: Tensor) -> memoryview:
    """The bytes of a contiguous tensor on the CPU, where they are: nothing is copied."""
    import torch

    data: memoryview = tensor.detach().reshape(-1).view(torch.uint8).numpy().data
    return data


def write_safetensors(
    path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]
) -> None:
    """Write the bytes that ``safetensors.torch.save`` makes, without making them in memory.

    Args:
        path: of a file, which keeps its inode and so its lock.
        tensors: contiguous, on the CPU.
        metadata: of a single entry, since the package has no order for several.
    """
    order = list(TYPES)
    names = sorted(tensors, key=lambda name: (order.index(_type(tensors[name])), name))
    header: dict[str, object] = {"__metadata__": dict(metadata)}
    end = 0
    for name in names:
        tensor = tensors[name]
        start, end = end, end + tensor.numel() * tensor.element_size()
        header[name] = {
            "dtype": TYPES[_type(tensor)],
            "shape": list(tensor.shape),
            "data_offsets": [start, end],
        }
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % ALIGNED)
    with path.open("r+b" if path.exists() else "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name in names:
            if tensors[name].numel():
                file.write(bytes_of(tensors[name]))


def _type(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
