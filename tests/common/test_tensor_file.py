"""Files of tensors are those that safetensors itself would write, without their bytes in memory."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import safetensors.torch
import torch

from hvrt_diffuser.common.tensor_file import TYPES, write_safetensors

BOUND = 0.4  # of the images' bytes
SCRIPT = """
import sys
import torch
from hvrt_diffuser.autoencoders import TrainingOptions
from hvrt_diffuser.common.files import hash_tensors
from hvrt_diffuser.common.machine import anonymous_peak
from hvrt_diffuser.data.images import LabelledImages

n, path = 100_000, sys.argv[1]
images = torch.randint(0, 256, (n, 1, 32, 32), dtype=torch.uint8)
held = LabelledImages(images, torch.arange(n) % 10, tuple("abcdefghij"), "noise")
size = images.numel() / 1e6
options = TrainingOptions(width=4, latent_dim=4, steps=2, batch_size=8, validation_fraction=0.001)
device = torch.device("cpu")
options.fit(images[:64], seed=0, device=device)
with anonymous_peak() as saving:
    held.save(path)
with anonymous_peak() as hashing:
    hash_tensors({"images": images})
del images, held
mapped = LabelledImages.load(path)
with anonymous_peak() as training:
    options.fit(mapped.images, seed=0, device=device)
print(*(each[0] / size for each in (saving, hashing, training)))
"""


def test_bytes_are_those_of_safetensors(tmp_path: Path) -> None:
    tensors = {
        f"{n} {name}": torch.ones((n, 2)).to(getattr(torch, name)) for name in TYPES for n in (0, 3)
    }
    tensors['é\n"'] = torch.tensor(3.0)
    path, metadata = tmp_path / "tensors", {"header": '{"name": "ü\\n"}'}
    write_safetensors(path, tensors, metadata)
    assert path.read_bytes() == safetensors.torch.save(tensors, metadata=metadata)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the system does not tell anonymous memory")
def test_images_are_saved_hashed_and_trained_on_where_they_lie(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path / "images.safetensors")],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    saving, hashing, training = map(float, done.stdout.split())
    assert (saving < BOUND, hashing < BOUND, training < BOUND) == (True, True, True), done.stdout
