"""``serve``: its arguments, and what it runs."""

from __future__ import annotations

import argparse
import os
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from hvrt_diffuser.common.errors import InputError

if TYPE_CHECKING:
    SubParsers = argparse._SubParsersAction[argparse.ArgumentParser]

__all__ = ["TOKEN", "add_arguments", "add_parser", "run"]

TOKEN = "HVRT_DIFFUSER_TOKEN"  # a token on the command line stands in the list of processes
ABOUT = """\
Serve a trained model over HTTP: a page at /, and POST /v1/generate. It listens on this machine
alone unless --host says otherwise, which takes a token.
"""
EXAMPLE = """\
example:
  hvrt-diffuser serve made/model --port 8000
"""


def add_parser(subparsers: SubParsers) -> argparse.ArgumentParser:
    """Add ``serve`` to the commands."""
    parser = subparsers.add_parser(
        "serve",
        help="serve a model over HTTP",
        description=ABOUT,
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_arguments(parser)
    return parser


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``serve``; those left out have the defaults of ``ServeOptions``."""
    left_out = argparse.SUPPRESS
    parser.add_argument(
        "model",
        type=Path,
        metavar="MODEL",
        help="folder with autoencoder.safetensors and latent_sampler.safetensors",
    )
    parser.add_argument("--host", default=left_out, help="address to listen on (127.0.0.1)")
    parser.add_argument("--port", type=int, default=left_out, help="0 takes a free one (8000)")
    parser.add_argument(
        "--token", default=left_out, help=f"that requests have to bring; or set {TOKEN}"
    )
    parser.add_argument("--device", default=left_out, help="auto, cpu, cuda, cuda:N (auto)")
    parser.add_argument(
        "--max-images", type=int, default=left_out, metavar="N", help="of one request (100000)"
    )
    parser.add_argument(
        "--jobs", type=int, default=left_out, metavar="N", help="at once; the next gets 503 (2)"
    )
    parser.add_argument(
        "--seconds", type=int, default=left_out, metavar="N", help="that one may take (300)"
    )


def run(args: argparse.Namespace) -> int:
    """Serve until SIGTERM or Ctrl-C; the exit code, 0 after requests in flight have ended.

    Raises:
        InputError: an option is refused, the model is missing or broken, the port is taken, or
            the packages of the extra ``serve`` are not installed.
    """
    if not all(map(find_spec, ("fastapi", "uvicorn"))):
        raise InputError(
            "fastapi and uvicorn are not installed, expected both for serve: "
            "pip install 'hvrt-diffuser[serve]'"
        )
    from hvrt_diffuser.common.options import checked
    from hvrt_diffuser.serve.options import ServeOptions

    given = {name: getattr(args, name) for name in ServeOptions.model_fields if name in args}
    if "token" not in given and TOKEN in os.environ:
        given["token"] = os.environ[TOKEN]
    options = checked("", ServeOptions, given)
    from hvrt_diffuser.serve.server import serve

    serve(args.model, options)
    return 0
