"""Files of pretrained autoencoders, looked at before any of them is taken: no pickle is opened."""

from __future__ import annotations

import hashlib
import inspect
import json
import re
from pathlib import Path
from typing import Any

import safetensors
import torch

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.files import hash_file

__all__ = [
    "COMMIT",
    "FAMILIES",
    "build_network",
    "fetch",
    "read_family",
    "read_network",
    "weights_digest",
]

# The classes of diffusers that are taken, with the option of their configuration that has an
# entry for each size of the encoder, all but the last of which halve height and width.
FAMILIES = {
    "AutoencoderKL": "block_out_channels",
    "AutoencoderTiny": "encoder_block_out_channels",
    "AutoencoderDC": "encoder_block_out_channels",
    "VQModel": "block_out_channels",
}
CONFIG = "config.json"
WEIGHTS = "diffusion_pytorch_model.safetensors"
INDEX = f"{WEIGHTS}.index.json"  # of weights in several files, which diffusers would prefer
PICKLES = {".bin", ".ckpt", ".pkl", ".pt", ".pth"}
COMMIT = re.compile("[0-9a-f]{40}")
REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")
DIGITS = 16  # of a SHA-256, which tell folders apart


def read_family(folder: Path) -> str:
    """The class that a folder's configuration names; its weights are there and are no pickle.

    Raises:
        InputError: it is no such folder; says what it lacks.
    """
    if not folder.is_dir():
        raise InputError(
            f"{folder} is no folder, expected one with {CONFIG} and {WEIGHTS}: correct the path, "
            "or set download to true where it is an id of the Hugging Face hub"
        )
    family = _read_config(folder).get("_class_name")
    if family not in FAMILIES:
        raise InputError(
            f"{folder / CONFIG} is of the class {family}, expected one of "
            f"{', '.join(FAMILIES)}: give the folder of one of these"
        )
    if (folder / INDEX).exists():
        raise InputError(
            f"{folder} holds weights in several files, expected one, {WEIGHTS}: save the "
            "autoencoder again with a larger max_shard_size"
        )
    if not (folder / WEIGHTS).is_file():
        pickles = sorted(path.name for path in folder.iterdir() if path.suffix in PICKLES)
        found = f"holds the pickle {pickles[0]}" if pickles else "holds no weights"
        raise InputError(
            f"{folder} {found}, expected {WEIGHTS}: save the autoencoder again by "
            "save_pretrained, which writes safetensors"
        )
    try:
        with safetensors.safe_open(folder / WEIGHTS, framework="pt"):
            pass
    except (OSError, safetensors.SafetensorError) as error:
        raise InputError(
            f"{folder / WEIGHTS} is no whole safetensors file, expected one: copy it again, and "
            "rename no pickle to it"
        ) from error
    return str(family)


def _read_config(folder: Path) -> dict[str, Any]:
    try:
        config = json.loads((folder / CONFIG).read_bytes())
    except FileNotFoundError as error:
        inner = next(folder.glob(f"*/{CONFIG}"), None)
        advice = f"give {inner.parent}" if inner else "give the folder of the autoencoder itself"
        raise InputError(f"{folder} holds no {CONFIG}, expected one: {advice}") from error
    except (OSError, ValueError) as error:
        raise InputError(
            f"{folder / CONFIG} cannot be read as JSON, expected a configuration of diffusers: "
            "copy it again"
        ) from error
    return config if isinstance(config, dict) else {}


def weights_digest(folder: Path) -> str:
    """16 hexadecimal digits that depend on the configuration and the weights in a folder alone."""
    found = hashlib.sha256()
    for name in (CONFIG, WEIGHTS):
        found.update(hash_file(folder / name).encode())
    return found.hexdigest()[:DIGITS]


def build_network(family: str, config: dict[str, Any]) -> Any:
    """A network of a class of diffusers, with random weights."""
    return getattr(_diffusers(), family)(**config)


def read_network(folder: Path) -> tuple[str, dict[str, Any], dict[str, torch.Tensor]]:
    """The class of a folder's autoencoder, its complete configuration and its weights, float32.

    Raises:
        InputError: diffusers is missing, or the weights are not those of the configuration.
    """
    family = read_family(folder)
    diffusers = _diffusers()
    logging = diffusers.utils.logging
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()  # what it warns of is an error here
    try:
        network, info = getattr(diffusers, family).from_pretrained(
            folder,
            local_files_only=True,
            use_safetensors=True,  # else it falls back to a pickle
            low_cpu_mem_usage=False,
            torch_dtype=torch.float32,
            output_loading_info=True,
        )
    except Exception as error:  # whatever a class raises of options or weights that are not its
        raise _of_another(folder, family, " ".join(str(error).split())[:200]) from error
    finally:
        logging.set_verbosity(verbosity)
    missing, unexpected = info["missing_keys"], info["unexpected_keys"]
    if missing or unexpected:
        reason = f"{len(missing)} are missing and {len(unexpected)} are not its own"
        raise _of_another(folder, family, reason)
    options = inspect.signature(type(network).__init__).parameters
    config = {name: value for name, value in network.config.items() if name in options}
    return family, json.loads(json.dumps(config)), network.state_dict()


def _of_another(folder: Path, family: str, reason: str) -> InputError:
    return InputError(
        f"{folder} holds other weights than the {family} of its {CONFIG} has ({reason}), expected "
        "those: put together the two files that belong together"
    )


def _diffusers() -> Any:
    try:
        import diffusers
    except ImportError as error:
        raise InputError(
            "diffusers is not installed, expected it for a pretrained autoencoder: "
            "pip install 'hvrt-diffuser[pretrained]'"
        ) from error
    return diffusers


def fetch(repository: str, revision: str) -> Path:
    """The folder of an autoencoder of the Hugging Face hub, fetched unless it was before.

    Args:
        repository: ``owner/name``.
        revision: the hash of a commit.

    Raises:
        InputError: it could not be fetched, for whatever reason.
    """
    if not REPOSITORY.fullmatch(repository):
        raise InputError(
            f"{repository} is no id of the Hugging Face hub, expected owner/name beside download: "
            "set download to false for a folder"
        )
    _diffusers()  # which brings the hub's client
    from huggingface_hub import snapshot_download

    try:
        found = snapshot_download(repository, revision=revision, allow_patterns=[CONFIG, WEIGHTS])
    except Exception as error:  # of the client, of the connection or of the disk
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise InputError(
            f"{repository} at {revision} could not be fetched ({reason}), expected a connection "
            f"and a repository with {CONFIG} and {WEIGHTS}: check both, or give a folder"
        ) from error
    return Path(found)
