"""What of a job travels to a cluster: the command that runs there, and a folder."""

from __future__ import annotations

from pathlib import Path

import pytest

import harness
from harness.errors import ClusterError
from harness.execution.ray.parcel import command_for, packed
from tests.conftest import PROBE, TRAIN
from tests.searches import HEAD, search_of

GRID = harness.load_job(TRAIN)
SPACE = "epochs: 2\nspace: {schedule: {constant: {sigma: {low: 0.1, high: 1}}}}\n"
SEARCH = search_of(HEAD + SPACE)
TUNE = ["python", "-m", "harness", "tune", "job.yaml", "--results"]


def test_a_grid_is_run_and_a_search_is_tuned() -> None:
    assert command_for(GRID, results="/r").words == ["python", "-m", "harness", "run", "job.yaml", "--results", "/r"]
    assert command_for(GRID, results="/r", retry=["failed", "lost"]).words[-2:] == ["--retry", "failed,lost"]
    assert command_for(SEARCH, results="/r").words == [*TUNE, "/r"]
    assert command_for(SEARCH, results="/r", warm_start="ring").words == [*TUNE, "/r", "--warm-start", "ring"]


def test_a_relative_folder_is_one_of_this_folder_and_a_uri_is_the_same_everywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert command_for(GRID, results="results").words[-1] == str(tmp_path / "results")
    assert not (tmp_path / "results").exists()
    uri = "s3://no-such-bucket/x?endpoint_override=127.0.0.1:1&scheme=http"  # which only the cluster need reach
    assert command_for(GRID, results=uri).words[-1] == uri


def test_where_results_go_is_said_with_whose_folder_it_is() -> None:
    assert command_for(GRID, results="/r").destination == (
        "results go to the folder /r on the cluster's machines, which is one here only if shared"
    )
    assert command_for(GRID, results="s3://b/p").destination == "results go to s3://b/p"


def test_a_database_is_named_in_a_variable_that_nobody_else_sees() -> None:
    command = command_for(SEARCH, results="s3://b/p", storage="postgresql+psycopg://me:se$cret@db/studies")
    assert command.words == [*TUNE, "s3://b/p"]
    assert command.variables == {"HARNESS_STORAGE": "postgresql+psycopg://me:se%24cret@db/studies"}
    assert "cret" not in repr(command)


@pytest.mark.parametrize(
    ("job", "options", "text"),
    [
        (GRID, {"storage": "sqlite:////r/study.db"}, "--storage: is for searches; tiny is of protocol train"),
        (harness.load_job(PROBE), {"warm_start": "x"}, "--warm-start: is for searches; probed is of protocol probe"),
        (SEARCH, {"retry": ["failed"]}, "--retry: is for grids; search is a search, and 'harness tune' has no such"),
        (SEARCH, {"results": "s3://b/p"}, "--results s3://b/p is no folder: name a database .* with --storage URL"),
        (SEARCH, {"storage": "sqlite:///study.db"}, "--storage sqlite:///study.db: would be a file in a folder"),
        (SEARCH, {"storage": "sqlite://"}, "--storage sqlite://: would be"),
        (GRID, {"results": ""}, "--results: '' is no place"),
        (GRID, {"results": "s3://me:secret@b/p"}, "--results: has a password in it"),
    ],
)
def test_what_cannot_work_there_is_refused(job: object, options: dict[str, object], text: str) -> None:
    with pytest.raises(ClusterError, match=text) as refusal:
        command_for(job, **{"results": "/r", **options})  # type: ignore[arg-type]
    assert "secret" not in str(refusal.value)


def test_an_absolute_file_of_sqlite_is_a_database() -> None:
    assert command_for(SEARCH, results="s3://b/p", storage="sqlite:////r/study.db").variables


def test_a_parcel_is_counted_by_what_is_in_it(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "numbers").write_bytes(bytes(3_000_000))
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / "large").write_bytes(bytes(5_000_000))
    with packed(GRID, None) as bare, packed(GRID, str(tmp_path)) as full:
        assert full.size - bare.size == 3_000_000
        assert bare.contents == ["job.yaml", "harness"]
        assert harness.load_job(full.folder / "job.yaml") == GRID
        assert str(full).startswith(f"job.yaml, harness, the files of {tmp_path} (")
    assert not full.folder.exists()


def test_own_parts_of_a_search_travel(tmp_path: Path) -> None:
    search = search_of(HEAD + SPACE, ("{name: mlp, width: 8, depth: 1, latent: 2}", '"noiselab.parts:Residual"'))
    with packed(search, None) as parcel:
        assert parcel.contents == ["job.yaml", "harness", "noiselab"]
        assert (parcel.folder / "noiselab" / "constants.py").is_file()


def test_a_folder_that_is_not_there_is_named() -> None:
    with pytest.raises(ClusterError, match="--working-dir nowhere: no such folder"), packed(GRID, "nowhere"):
        pass
