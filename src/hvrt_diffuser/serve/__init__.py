"""Labelled images over HTTP: ``python -m hvrt_diffuser.serve MODEL``."""

from hvrt_diffuser.serve.command import add_parser, run

__all__ = ["add_parser", "run"]
