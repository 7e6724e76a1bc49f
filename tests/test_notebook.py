"""docs/quickstart.ipynb: committed without outputs, and every cell of it does what its text says."""

from __future__ import annotations

import ast
import os
from pathlib import Path
from typing import Any

import nbclient
import nbformat
import pytest

import harness

ROOT = Path(__file__).parents[1]
NOTEBOOK = ROOT / "docs" / "quickstart.ipynb"


def read() -> Any:
    notebook = nbformat.read(NOTEBOOK, as_version=nbformat.NO_CONVERT)  # type: ignore[no-untyped-call]
    nbformat.validate(notebook)
    return notebook


def code(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_it_is_committed_without_outputs() -> None:
    for cell in code(read()):
        assert cell.outputs == []
        assert cell.execution_count is None


def test_its_cells_have_names_that_stay() -> None:
    """Format 4.5 has ids of cells; an editor that renamed them all would hide what a change changes."""
    notebook = read()
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    ids = [cell.id for cell in notebook.cells]
    assert len(ids) == len(set(ids))
    assert {"job", "plan", "run", "sql", "join", "picture", "evaluate", "verify", "mistake"} <= set(ids)


def test_the_names_it_uses_are_public() -> None:
    nodes = [node for cell in code(read()) for node in ast.walk(ast.parse(cell.source))]
    used = {
        node.attr
        for node in nodes
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "harness"
    }
    assert used <= set(harness.__all__)
    assert {"load_job", "plan", "run", "open_results", "evaluate", "verify", "JobError"} <= used


@pytest.mark.parametrize("page", ["docs/jobs.md", "docs/extending.md", "docs/tour.md", "jobs/ring.yaml"])
def test_the_files_it_points_to_exist(page: str) -> None:
    assert page in NOTEBOOK.read_text(encoding="utf-8")
    assert (ROOT / page).is_file()


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The outputs of each code cell, by its id; a cell that raises fails here. About 45 s."""
    folder = tmp_path_factory.mktemp("reader")
    notebook = read()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])))
        patch.setenv("TMPDIR", str(folder))  # where it puts its store
        nbclient.NotebookClient(notebook, timeout=400, resources={"metadata": {"path": str(folder)}}).execute()
    return {cell.id: cell.outputs for cell in code(notebook)}


def answer(outputs: list[Any]) -> str:
    """What the last line of a cell gave, as text."""
    (result,) = [output for output in outputs if output.output_type == "execute_result"]
    return str(result.data["text/plain"])


def printed(outputs: list[Any]) -> str:
    return "".join(output.text for output in outputs if output.output_type == "stream" and output.name == "stdout")


@pytest.mark.slow
def test_all_cells_run_without_warnings(executed: dict[str, Any]) -> None:
    streams = [output for outputs in executed.values() for output in outputs if output.output_type == "stream"]
    assert [output.text for output in streams if output.name == "stderr"] == []


@pytest.mark.slow
def test_the_run_computes_the_whole_grid_once(executed: dict[str, Any]) -> None:
    num_cells = 2 * 5 * 2 * 2  # losses, sigmas, epochs, seeds
    assert f"{num_cells} cells, {num_cells} missing" in answer(executed["plan"])
    assert f"{num_cells} completed; {num_cells} computed" in answer(executed["run"])
    assert answer(executed["again"]) == "0"
    (row,) = ast.literal_eval(answer(executed["bound"]))
    assert (row["rows"], row["all_hold"]) == (num_cells, True)
    assert row["tightest"] >= 1  # an upper bound


@pytest.mark.slow
def test_metrics_stand_beside_the_cells(executed: dict[str, Any]) -> None:
    """Both are 0 for equal sets only, and measure the same few collapsed and sound generators."""
    assert float(printed(executed["join"]).split(":")[1]) > 0.8
    assert "energy_distance" in answer(executed["join"])


@pytest.mark.slow
def test_progress_and_a_picture_are_shown(executed: dict[str, Any]) -> None:
    shown = " ".join(output.data["text/plain"] for output in executed["run"] if "data" in output)
    assert "40/40 cells done" in shown
    assert any("image/png" in output.get("data", {}) for output in executed["picture"])


@pytest.mark.slow
def test_a_set_moved_by_one_is_at_distance_one(executed: dict[str, Any]) -> None:
    """W1 of a set and the same set moved is the length of the move, whatever the set: no plan is cheaper."""
    table = [line.split() for line in answer(executed["evaluate"]).splitlines()]
    assert [(float(row[1]), float(row[2])) for row in table[1:]] == [(0.1, 1.0), (1.0, 1.0), (3.0, 1.0)]
    jsd = [float(row[3]) for row in table[1:]]
    assert jsd == sorted(jsd, reverse=True)


@pytest.mark.slow
def test_the_theorem_passes_and_the_mistake_is_explained(executed: dict[str, Any]) -> None:
    assert "passed" in printed(executed["verify"])
    message = printed(executed["mistake"])
    assert "grid.loss[0]: unknown loss 'non_saturatng'. Did you mean 'non_saturating'?" in message
    assert "grid.sigma[0]: sigma must be finite and >= 0, got -0.2" in message
