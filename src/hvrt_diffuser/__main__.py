"""``python -m hvrt_diffuser``: as ``kedro run``, in its folder; or ``judge``, anywhere."""

import sys
from pathlib import Path
from typing import Any

from kedro.framework.cli.utils import find_run_command
from kedro.framework.project import configure_project


def main(*args: Any, **kwargs: Any) -> Any:
    """Run the project's pipelines with the options of ``kedro run``; or judge images in folders."""
    if not args and not kwargs and sys.argv[1:2] == ["judge"]:
        from hvrt_diffuser.command import main as judge

        sys.exit(judge(sys.argv[2:]))
    package_name = Path(__file__).parent.name
    configure_project(package_name)
    return find_run_command(package_name)(*args, **kwargs)


if __name__ == "__main__":
    main()
