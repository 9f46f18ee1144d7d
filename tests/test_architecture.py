"""Who may import whom."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import hvrt_diffuser

ROOT = Path(hvrt_diffuser.__file__).parent
# From the ground up: a room imports rooms of lower floors alone.
FLOORS: tuple[set[str], ...] = (
    {"common"},
    {"training", "data", "metrics"},
    {"classifiers", "autoencoders", "samplers", "catalog"},
    {"image_models"},
    {"diffuser"},
    {"judge", "sharding"},
    {"report", "experiments"},
    {"pipelines"},
    {
        "hooks",
        "pipeline_registry",
        "settings",
        "registry",
        "command",
        "comparing",
        "serve",
        "__main__",
        "__init__",
    },
)
# Kedro and tables of pandas stay at the rim.
RIM = {"catalog", "pipelines", *FLOORS[-1]}
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


def everything() -> set[str]:
    """All folders and root modules that hold code."""
    return {path.relative_to(ROOT).with_suffix("").parts[0] for path in FILES}


def test_every_room_has_a_floor() -> None:
    assert everything() == set().union(*FLOORS)


@pytest.mark.parametrize("part", sorted(set().union(*FLOORS) - {"__init__"}))
def test_a_room_imports_lower_floors_alone(part: str) -> None:
    floor = next(i for i, names in enumerate(FLOORS) if part in names)
    below = set().union(*FLOORS[:floor])
    found = rooms(imported_by(part)) - {part}
    if floor == len(FLOORS) - 1:  # the root's modules may know each other
        below |= FLOORS[floor]
    assert found <= below, sorted(found - below)


@pytest.mark.parametrize("part", sorted(set().union(*FLOORS) - RIM))
def test_the_library_imports_neither_kedro_nor_its_neighbours(part: str) -> None:
    assert not packages(imported_by(part)) & {"kedro", "kedro_datasets", "pandas", "pandera"}


def test_no_module_imports_itself_in_a_circle() -> None:
    names = {module_name(path).removesuffix(".__init__") for path in FILES}
    arrows = {}
    for path in FILES:
        module = module_name(path)
        found = {
            next((n for n in (name, name.rpartition(".")[0]) if n in names), "")
            for name in imports(path.read_text(), module)
        }
        arrows[module.removesuffix(".__init__")] = found - {"", module.removesuffix(".__init__")}

    done: set[str] = set()

    def visit(module: str, trail: tuple[str, ...]) -> None:
        assert module not in trail, " -> ".join([*trail[trail.index(module) :], module])
        if module not in done:
            for other in sorted(arrows[module]):
                visit(other, (*trail, module))
            done.add(module)

    for module in sorted(names):
        visit(module, ())


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
