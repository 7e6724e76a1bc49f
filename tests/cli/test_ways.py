"""Ways in: examples by name, job files to start from, what jobs there are, and what one of them is."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import harness as front
from harness.errors import JobError
from harness.job.examples import example_names, introduction
from harness.job.reading import load_job
from harness.job.schema import job_schema
from harness.storage.records import VIEWS
from tests.in_process import harness

ROOT = Path(__file__).parents[2]
SHIPPED = sorted(path.stem for path in (ROOT / "jobs").glob("*.yaml"))
REFERENCE = str(ROOT / "results" / "reference")
TEMPLATES = ["quickstart", "ring", "fashion", "tune", "own"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty one, from which nothing is imported afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    known = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - known:
        if name.endswith("_parts"):
            del sys.modules[name]


@pytest.fixture
def tiny(folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An example that takes no time: two games of 20 steps."""
    examples = folder / "examples"
    examples.mkdir()
    (examples / "games.yaml").write_text(GAMES)
    monkeypatch.setattr("harness.job.examples.FOLDER", examples)
    return "example:games"


GAMES = """\
name: games
protocol: dirac
grid: {loss: [minimax], updates: [simultaneous, alternating]}
dynamics: {steps: 20}
"""
BAD = """\
name: bad
protocol: train
problem: ring
networks: {name: mlp, width: 4}
training: {batch: 8, steps_per_epoch: 1}
grid: {loss: [minimax, "tests.custom:exploding"], sigma: [0], epoch: [1], seed: [0]}
evaluation: {samples: 20, draws: 20, sigmas: [0.5]}
"""


# --- examples


def test_the_examples_are_the_shipped_jobs() -> None:
    assert example_names() == SHIPPED
    assert (ROOT / "harness" / "examples").resolve() == ROOT / "jobs"


@pytest.mark.parametrize("name", [name for name in SHIPPED if name not in ("fashion", "figures")])
def test_an_example_is_the_file_of_its_name(name: str) -> None:
    assert load_job(f"example:{name}") == load_job(ROOT / "jobs" / f"{name}.yaml")


def test_commands_and_functions_take_examples_in_an_empty_folder() -> None:
    answer = harness("plan", "example:ring", "--json")
    assert json.loads(answer.stdout)["cells"] == 54  # 2 losses, 3 sigmas, 3 epochs, 3 seeds
    assert front.plan("example:ring").job.name == "ring"
    assert "example:tune_ring'" in harness("run", "example:tune_ring").stderr  # run it with harness tune
    assert "example:ring'" in harness("tune", "example:ring").stderr
    assert "--address" in harness("submit", "example:ring").stderr  # it gets as far as asking where the cluster is


@pytest.mark.parametrize("command", ["run", "plan", "tune", "submit", "show"])
def test_an_unknown_example_gets_a_hint(command: str) -> None:
    answer = harness(command, "example:quikstart")
    assert answer.returncode == 2
    assert "example:quikstart: no such example. Did you mean 'quickstart'?" in answer.stderr
    assert ", ".join(SHIPPED) in answer.stderr


def test_a_file_that_is_not_there_but_is_an_example_says_so() -> None:
    with pytest.raises(JobError, match=r"jobs/ring\.yaml: no such job file\. Did you mean 'example:ring'\?$"):
        load_job("jobs/ring.yaml")


def test_a_mistake_in_a_copy_is_told_at_its_place_and_in_an_example_by_its_name() -> None:
    assert "example:NAME" in re.sub(r"\s+", " ", harness("run", "--help").stdout)
    text = harness("init", "ring").stdout.replace("minimax", "minmax")
    Path("mine.yaml").write_text(text)
    line = next(number for number, line in enumerate(text.splitlines(), 1) if "minmax" in line)
    assert f"mine.yaml:{line}:10: grid.loss[0]" in harness("plan", "mine.yaml").stderr


def test_an_example_runs(tiny: str) -> None:
    assert front.run(tiny, executor="serial").is_complete
    assert "nothing to compute" in harness("run", tiny, "--executor", "serial").stdout


# --- init


@pytest.mark.parametrize("name", [*TEMPLATES, *SHIPPED])
def test_what_init_prints_loads_and_says_how_to_go_on(name: str) -> None:
    answer = harness("init", name)
    assert (answer.returncode, answer.stderr) == (0, "")
    Path("mine.yaml").write_text(answer.stdout)
    if name not in ("fashion", "figures"):  # they need a data set
        assert load_job("mine.yaml")
    for line in answer.stdout.splitlines():
        assert len(line) <= 120
    assert re.search(r"^#   harness (run|tune) mine\.yaml$", answer.stdout, re.M)
    assert "jobs/" not in answer.stdout.replace("jobs/converge_*", "")


def test_comments_of_templates_are_many() -> None:
    for name in ("quickstart", "ring", "own"):
        assert harness("init", name).stdout.count("#") >= 10


def test_a_file_is_written_once_and_kept() -> None:
    answer = harness("init", "ring", "-o", "mine.yaml")
    assert answer.returncode == 0
    assert "harness run mine.yaml" in answer.stderr
    Path("mine.yaml").write_text("changed\n")
    again = harness("init", "ring", "-o", "mine.yaml")
    assert again.returncode == 2
    assert "mine.yaml: is there already" in again.stderr
    assert Path("mine.yaml").read_text() == "changed\n"
    assert "no job file 'quikstart'" in harness("init", "quikstart").stderr
    assert "cannot be written" in harness("init", "ring", "-o", "no/such/mine.yaml").stderr


@pytest.mark.parametrize(
    ("output", "module"), [("mine.yaml", "mine_parts"), ("2-new jobs.yaml", "job_2_new_jobs_parts")]
)
def test_own_is_a_job_and_its_parts_that_run_at_once(output: str, module: str) -> None:
    assert harness("init", "own", "-o", output).returncode == 0
    assert Path(f"{module}.py").is_file()
    small = Path(output).read_text().replace("steps_per_epoch: 100", "steps_per_epoch: 2").replace("[0, 1, 2]", "[0]")
    Path(output).write_text(small)
    answer = harness("run", output, "--executor", "serial", "-q")
    assert answer.returncode == 0, answer.stderr
    results = front.open_results()
    rows = results.query(
        "SELECT DISTINCT loss, name, loss IN (SELECT loss FROM cells) AS known FROM metrics ORDER BY 1"
    )
    assert [tuple(row.values()) for row in rows.to_pylist()] == [
        (f"{module}:smoothed", f"{module}:share_above", True),
        ("non_saturating", f"{module}:share_above", True),
    ]
    assert "harness.examples" not in small
    kept = harness("init", "own", "-o", f"other/{output}")
    assert kept.returncode == 2


def test_parts_that_are_there_are_kept_with_the_job() -> None:
    Path("mine_parts.py").write_text("x = 1\n")
    answer = harness("init", "own", "-o", "mine.yaml")
    assert answer.returncode == 2
    assert "mine_parts.py: is there already" in answer.stderr
    assert not Path("mine.yaml").exists()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["own", "ring"])
def test_what_init_prints_runs_as_it_is(name: str) -> None:
    Path("mine.yaml").write_text(harness("init", name).stdout)
    answer = harness("run", "mine.yaml", "--executor", "serial", "-q")
    assert answer.returncode == 0, answer.stderr


def test_the_parts_of_own_are_what_they_say() -> None:
    import torch

    from harness.examples.own_parts import Moons, share_above, smoothed  # type: ignore[import-untyped, unused-ignore]

    points = Moons(gap=0.5).draw(4000, torch.Generator().manual_seed(0))
    upper = points[points[:, 1] + 0.25 > 0.5]  # far up only the upper half circle has points: |x + (1/2, 1/4)| = 1
    assert torch.allclose((upper + torch.tensor([0.5, 0.25])).norm(dim=1), torch.ones(len(upper)), atol=1e-5)
    assert abs(float(points.mean(0).norm())) < 0.05
    assert abs(share_above(points, points) - 0.5) < 0.05
    logits = torch.tensor([[0.3, -1.2]], dtype=torch.float64)
    by_torch = torch.nn.functional.binary_cross_entropy_with_logits
    expected = by_torch(logits, torch.full_like(logits, 0.9)) + by_torch(logits, torch.zeros_like(logits))
    assert torch.allclose(smoothed.discriminator(logits, logits), expected)
    assert torch.allclose(smoothed.generator(None, logits), by_torch(logits, torch.ones_like(logits)))


# --- list


def test_examples_are_listed_with_what_they_ask() -> None:
    lines = harness("list", "examples").stdout.splitlines()
    assert [line.split()[0] for line in lines] == SHIPPED
    assert all(len(line.split()) > 4 for line in lines)


def test_the_introduction_is_the_first_sentence() -> None:
    text = "# yaml-language-server: $schema=x\n# What is it, and\n# why? More.\n#\n#   harness run\nname: x\n"
    assert introduction(text) == "What is it, and why?"
    assert introduction("# Figures 1-3 of a paper\nname: x\n") == "Figures 1-3 of a paper"
    assert introduction("name: x\n") == ""


def test_without_a_store_jobs_are_the_examples() -> None:
    answer = harness("list", "jobs")
    assert answer.returncode == 0
    assert "no results here yet" in answer.stderr
    assert [line.split()[0] for line in answer.stdout.splitlines()] == SHIPPED
    wrong = harness("list", "jobs", "--results", "reslts")
    assert (wrong.returncode, wrong.stdout) == (2, "")


def test_jobs_of_a_store_are_counted(tiny: str) -> None:
    harness("run", tiny, "--executor", "serial", "-q")
    Path("bad.yaml").write_text(BAD)
    harness("run", "bad.yaml", "--executor", "serial", "-q")
    lines = harness("list", "jobs").stdout.splitlines()
    words = [line.split() for line in lines if line.startswith(("games", "bad"))]
    assert [line[:5] for line in words] == [["bad", "train", "ring", "1", "1"], ["games", "dirac", "dirac", "2", "0"]]
    assert max(map(len, lines)) <= 80


def test_columns_that_are_joined_are_listed() -> None:
    listed = [line.split()[0] for line in harness("list", "columns").stdout.splitlines()]
    assert listed == [f"{table}.{name}" for table, schema in VIEWS.items() for name in schema.names]
    assert {"curves.loss", "training.seed", "metrics.epoch", "trajectories.penalty"} <= set(listed)


# --- show


def test_a_file_is_shown_before_and_after_it_ran(tiny: str) -> None:
    before = harness("show", tiny).stdout
    assert re.search(r"^cells +2$", before, re.M)
    assert "nothing yet" in before
    assert re.search(rf"^next +harness run {tiny}$", before, re.M)
    harness("run", tiny, "--executor", "serial", "-q")
    for name in (tiny, "games"):
        after = harness("show", name).stdout
        assert re.search(r"^in the store +2 completed$", after, re.M)
        assert re.search(r"^  files +results/games: \d+ of tables", after, re.M)
        assert f"harness {front.__version__}" in after
        assert max(map(len, after.splitlines())) <= 80
    command = re.search(r"^next +harness (run .*)$", harness("show", "games").stdout, re.M)
    assert command is not None
    assert "nothing to compute" in harness(*command[1].split()).stdout


def test_the_reference_results_are_shown_with_values_counts_versions_and_commands() -> None:
    shown = harness("show", "figures", "--results", REFERENCE).stdout
    for text in ("150, of 2 grids", "0, 0.1, 0.3, 1, 3", "150 completed", "torch", "harness compare figures"):
        assert text in shown


def test_a_search_is_shown_by_its_space() -> None:
    shown = harness("show", "example:tune_ring").stdout
    assert "exponential(start 0.05 to 2, end 0.005 to 0.2, fraction 0.3 to 1)" in shown
    assert "48 trials of 3 seeds" in shown
    assert re.search(r"^next +harness tune example:tune_ring$", shown, re.M)


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_job_is_shown_within_80_columns(name: str) -> None:
    answer = harness("show", f"example:{name}")
    assert answer.returncode == 0
    assert max(map(len, answer.stdout.splitlines())) <= 80


def test_a_job_that_is_not_there_gets_a_hint() -> None:
    answer = harness("show", "figurs", "--results", REFERENCE)
    assert answer.returncode == 2
    assert "no job 'figurs'" in answer.stderr
    assert "Did you mean 'figures'?" in answer.stderr


def test_a_job_whose_file_cannot_be_read_is_shown_by_its_rows(tiny: str) -> None:
    harness("run", tiny, "--executor", "serial", "-q")
    Path("results/games/job.yaml").write_text("name: games\nprotocol: nothing\n")
    shown = harness("show", "games").stdout
    assert "cannot be read here" in shown
    assert "2 completed" in shown


# --- schema


def test_the_schema_is_printed_or_written() -> None:
    assert json.loads(harness("schema").stdout) == job_schema()
    assert harness("schema", "-o", "job.schema.json").returncode == 0
    assert json.loads(Path("job.schema.json").read_text()) == job_schema()
    assert "cannot be written" in harness("schema", "-o", "no/such/file").stderr
