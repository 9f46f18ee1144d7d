"""``python -m hvrt_diffuser``, and the program ``hvrt-diffuser``."""

import os
import sys
import tempfile
import traceback

from hvrt_diffuser.command import main as run_command
from hvrt_diffuser.common import terminal

INTERRUPTED = 130  # exit code of what Ctrl-C ended, as shells have it


def main() -> None:
    """Run the command line and exit; what fails is told in one sentence."""
    sys.argv[0] = "hvrt-diffuser"  # what cards and reports say that was typed
    sys.exit(_run(sys.argv[1:]))


def _run(arguments: list[str]) -> int:
    try:
        code = run_command(arguments)
        sys.stdout.flush()
        return code
    except KeyboardInterrupt as error:
        return _fail(f"interrupted{': ' if str(error) else ''}{error}", INTERRUPTED)
    except BrokenPipeError:  # whoever reads the output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        return _fail(terminal.describe(error) or _keep(error), 1)


def _fail(sentence: str, code: int) -> int:
    print(f"Error: {sentence}", file=sys.stderr)  # noqa: T201
    return code


def _keep(error: Exception) -> str:
    """Keep the traceback of what should not happen, and say where it lies."""
    with tempfile.NamedTemporaryFile(
        "w", prefix="hvrt-diffuser-", suffix=".txt", delete=False
    ) as file:
        traceback.print_exception(error, file=file)
    reason = " ".join(str(error).split())
    return (
        f"{type(error).__name__}{': ' if reason else ''}{reason}, which is a fault of this "
        f"program: {file.name} says where it happened, please report it"
    )


if __name__ == "__main__":
    main()
