"""Who may import whom."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import hvrt_diffuser

ROOT = Path(hvrt_diffuser.__file__).parent
LIBRARY = ("metrics", "samplers", "autoencoders", "classifiers", "generators")
HELPERS = {
    "augmentation",
    "averaging",
    "card",
    "errors",
    "files",
    "images",
    "seeding",
    "devices",
    "checkpoint",
    "progress",
    "machine",
    "optimisation",
    "precision",
    "requests",
}
FILES = sorted(ROOT.rglob("*.py"))


def imports(source: str, module: str) -> set[str]:
    """Names of all that a module imports, wherever it does so, as absolute dotted names.

    ``module`` is dotted, and ends in ``.__init__`` for a package's own file.
    """
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = module.split(".")[: -node.level] if node.level else []
            base = ".".join([*above, *filter(None, [node.module])])
            found |= {f"{base}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            found |= {a.value for a in node.args if isinstance(a, ast.Constant)}
    return found


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT.parent).with_suffix("").parts)


def imported_by(part: str) -> set[str]:
    """All that a folder, or a module at the root, imports."""
    files = [path for path in FILES if path.relative_to(ROOT).with_suffix("").parts[0] == part]
    assert files, part
    return set().union(*(imports(path.read_text(), module_name(path)) for path in files))


def rooms(names: set[str]) -> set[str]:
    """Which folders and root modules of the project are among the names."""
    return {name.split(".")[1] for name in names if name.startswith("hvrt_diffuser.")}


def packages(names: set[str]) -> set[str]:
    return {name.split(".")[0] for name in names}


def test_every_way_to_import_is_seen() -> None:
    source = """
import kedro.io as io, numpy
from hvrt_diffuser.metrics import frechet
from hvrt_diffuser import samplers
from .. import classifiers
from ..pipelines.tstr import nodes
from .network import Autoencoder
def later():
    import joblib
    importlib.import_module("torch.hub")
"""
    assert imports(source, "hvrt_diffuser.autoencoders.training") == {
        "kedro.io",
        "numpy",
        "hvrt_diffuser.metrics.frechet",
        "hvrt_diffuser.samplers",
        "hvrt_diffuser.classifiers",
        "hvrt_diffuser.pipelines.tstr.nodes",
        "hvrt_diffuser.autoencoders.network.Autoencoder",
        "joblib",
        "torch.hub",
    }
    assert imports("from .x import y", "hvrt_diffuser.metrics.__init__") == {
        "hvrt_diffuser.metrics.x.y"
    }


@pytest.mark.parametrize("part", LIBRARY)
def test_the_library_imports_neither_kedro_nor_its_neighbours(part: str) -> None:
    names = imported_by(part)
    assert rooms(names) <= {part} | HELPERS
    assert not packages(names) & {"kedro", "kedro_datasets", "pandas", "pandera"}


@pytest.mark.parametrize("part", sorted(HELPERS))
def test_helpers_import_helpers_alone(part: str) -> None:
    names = imported_by(part)
    assert rooms(names) <= HELPERS
    assert not packages(names) & {"kedro", "kedro_datasets"}


def test_the_diffuser_ties_autoencoders_and_samplers_alone() -> None:
    names = imported_by("diffuser")
    assert rooms(names) <= {"autoencoders", "samplers"} | HELPERS
    assert {"autoencoders", "samplers"} <= rooms(names)
    assert "kedro" not in packages(names)


def test_the_judge_and_the_report_are_a_library() -> None:
    library = {"diffuser", *LIBRARY} | HELPERS
    assert rooms(imported_by("judge")) <= {"judge"} | library
    assert rooms(imported_by("report")) <= {"report", "judge"} | library
    for part in ("judge", "report"):
        assert not packages(imported_by(part)) & {"kedro", "kedro_datasets", "pandas", "pandera"}


def test_the_frontier_the_sweeps_and_the_rivals_are_a_library() -> None:
    library = {"diffuser", "judge", *LIBRARY} | HELPERS
    assert rooms(imported_by("frontier")) <= {"frontier"} | library
    assert rooms(imported_by("sweeps")) <= {"sweeps", "frontier"} | library
    assert rooms(imported_by("rivals")) <= {"rivals", "sweeps", "frontier"} | library
    for part in ("frontier", "sweeps", "rivals"):
        assert not packages(imported_by(part)) & {"kedro", "kedro_datasets", "pandas", "pandera"}


def test_datasets_know_files_and_not_mathematics() -> None:
    assert rooms(imported_by("datasets")) <= {"datasets"} | HELPERS


def test_nothing_is_pickled() -> None:
    for path in FILES:
        source = path.read_text()
        forbidden = {"pickle", "cPickle", "joblib", "dill", "cloudpickle", "shelve", "marshal"}
        assert not packages(imports(source, module_name(path))) & forbidden, path
        calls = {
            ast.unparse(node.func)
            for node in ast.walk(ast.parse(source))
            if isinstance(node, ast.Call)
        }
        assert not calls & {"torch.save", "pd.read_pickle", "eval", "exec"}, path
        loads = [
            {k.arg: ast.unparse(k.value) for k in node.keywords}
            for node in ast.walk(ast.parse(source))
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load"
        ]
        assert all(options.get("weights_only") == "True" for options in loads), path


def test_the_library_works_without_kedro_being_loaded() -> None:
    code = """
import sys
import hvrt_diffuser.diffuser, hvrt_diffuser.judge, hvrt_diffuser.report
print(sorted({"kedro", "kedro_datasets"} & sys.modules.keys()))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=True
    )
    assert done.stdout.strip() == "[]"
