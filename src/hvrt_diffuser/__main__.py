"""``python -m hvrt_diffuser``, and the program ``hvrt-diffuser``."""

import os
import sys
import tempfile
import traceback

from hvrt_diffuser.command import main as run_command
from hvrt_diffuser.common import launch, terminal

INTERRUPTED = 130  # exit code of what Ctrl-C ended, as shells have it


def main() -> None:
    """Run the command line and exit; what fails is told in one sentence."""
    # What cards and reports say that was typed.
    sys.argv[0] = launch.program("hvrt-diffuser", "hvrt_diffuser")
    sys.exit(_run(sys.argv[1:]))


def _run(arguments: list[str]) -> int:
    try:
        code = run_command(arguments) if _is_to_run() else 0
        sys.stdout.flush()
        return code
    except KeyboardInterrupt as error:
        return _fail(f"interrupted{': ' if str(error) else ''}{error}", INTERRUPTED)
    except BrokenPipeError:  # whoever reads the output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        return _fail(terminal.describe(error) or _keep(error), 1)


def _is_to_run() -> bool:
    """Whether this process does what was asked for; another of torchrun's has helped it by now."""
    if launch.world_size() == 1:
        return True
    from hvrt_diffuser.training import distributed  # imports torch

    if not launch.is_first():
        distributed.follow()
        return False
    distributed.join()
    return True


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
