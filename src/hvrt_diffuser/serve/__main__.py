"""``python -m hvrt_diffuser.serve MODEL``."""

import argparse
import sys

from hvrt_diffuser.common import terminal
from hvrt_diffuser.serve.command import add_arguments, run

if __name__ == "__main__":
    terminal.install()
    parser = argparse.ArgumentParser(prog="python -m hvrt_diffuser.serve", description=__doc__)
    add_arguments(parser)
    sys.exit(run(parser.parse_args()))
