"""``python -m hvrt_diffuser``: the same as ``kedro run``, from the project's folder."""

from pathlib import Path
from typing import Any

from kedro.framework.cli.utils import find_run_command
from kedro.framework.project import configure_project


def main(*args: Any, **kwargs: Any) -> Any:
    """Run the project's pipelines with the options of ``kedro run``."""
    package_name = Path(__file__).parent.name
    configure_project(package_name)
    return find_run_command(package_name)(*args, **kwargs)


if __name__ == "__main__":
    main()
