"""The notebooks run from top to bottom, and are stored with what they showed."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))
each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)


def code_cells(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]


@each_notebook
def test_is_stored_as_it_ran(path: Path) -> None:
    cells = code_cells(nbformat.read(path, as_version=4))
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert any(cell.outputs for cell in cells)
    errors = [o for cell in cells for o in cell.outputs if o.output_type == "error"]
    assert errors == []


# A reader's run takes minutes, in which nothing else is called than in a short one.
QUICKER = {
    '"epochs": 12': '"epochs": 2',
    '"steps": 300': '"steps": 60',
    '"steps": 100': '"steps": 20',
}


@pytest.mark.slow
@each_notebook
def test_runs(path: Path, project: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = project.path / "notebooks"
    folder.mkdir()
    shutil.copy(path, folder)
    for name, value in project.environment.items():
        monkeypatch.setenv(name, value)
    notebook = nbformat.read(folder / path.name, as_version=4)
    setup = code_cells(notebook)[0]
    for trained, briefly in QUICKER.items():
        assert trained in setup.source
        setup.source = setup.source.replace(trained, briefly)
    client = nbclient.NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    )
    client.execute()
    assert all(cell.execution_count for cell in code_cells(notebook))
