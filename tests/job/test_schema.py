"""The JSON schema for editors: what it takes, what it refuses, and that the committed copy is current."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from harness.cli.printing.catalogue import PARTS
from harness.errors import JobError
from harness.job.examples import SCHEMA_LINE
from harness.job.reading import load_job, parse_job
from harness.job.schema import job_schema
from harness.job.yaml_text import read_yaml
from tests.job.mutations import ALL_PARTS
from tests.searches import HEAD

JOBS = Path(__file__).parents[2] / "jobs"
SHIPPED = sorted(JOBS.glob("*.yaml"))
SCHEMA = job_schema()
CHECKER = jsonschema.Draft7Validator(SCHEMA)
RING = (JOBS / "ring.yaml").read_text(encoding="utf-8")
SEARCH = (JOBS / "tune_ring.yaml").read_text(encoding="utf-8")
DIRAC = (JOBS / "dirac.yaml").read_text(encoding="utf-8")


def values(text: str) -> Any:
    return json.loads(json.dumps(read_yaml(text, source="job.yaml")[1]))


def test_it_is_a_schema_of_its_dialect() -> None:
    jsonschema.Draft7Validator.check_schema(SCHEMA)
    assert SCHEMA["$schema"] == jsonschema.Draft7Validator.META_SCHEMA["$schema"]


def test_the_committed_copy_is_current() -> None:
    """Else: harness schema -o jobs/job.schema.json"""
    assert json.loads((JOBS / "job.schema.json").read_text(encoding="utf-8")) == SCHEMA


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_files_name_it_and_are_valid(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    line = SCHEMA_LINE.match(text)
    assert line is not None
    assert (path.parent / line[0].split("$schema=")[1].strip()).samefile(JOBS / "job.schema.json")
    CHECKER.validate(values(text))


MORE = {
    "every kind of part": ALL_PARTS,
    "a search": f"{HEAD}epochs: 1\nspace: {{schedule: {{linear: {{start: {{low: 0.1, high: 0.5}}, end: 0.05}}}}}}\n",
    "single values in a search": SEARCH.replace("loss: [minimax]", "loss: minimax\n  noise: gaussian"),
    "strategies of one's own": SEARCH.replace("sampler: tpe", 'sampler: {name: "mine:uniform", spread: 2}'),
    "a schedule of a strength": RING.replace(
        "  seed:", "  penalty: [{name: r1, gamma: {schedule: linear, start: 1, end: 0}}, {sum: [r1, r2]}]\n  seed:"
    ),
    "parts of one's own": RING.replace("[minimax,", '["mine:loss",').replace(
        "problem: {name: ring}", 'problem: {name: "mine:Moons", gap: 2}'
    ),
    "features": RING.replace(
        "{samples: 1000}",
        "{metrics: [{name: kid, features: pixels}, coverage], features: {network: resnet18, weights: w.pt}}",
    ),
}


@pytest.mark.parametrize("text", MORE.values(), ids=MORE)
def test_what_the_harness_takes_is_valid(text: str) -> None:
    CHECKER.validate(values(text))


WRONG = {
    "no name": RING.replace("name: ring\n", ""),
    "no protocol": RING.replace("protocol: train", "# protocol"),
    "unknown protocol": RING.replace("protocol: train", "protocol: trian"),
    "unknown key": RING.replace("batch: 128", "batch_size: 128"),
    "key of another protocol": RING + "epochs: 3\n",
    "unknown loss": RING.replace("[minimax,", "[gan,"),
    "unknown schedule": RING.replace("exponential", "exponentail"),
    "parameter of another schedule": RING.replace("end: 0.05", "decay: 0.05"),
    "unknown optimizer": RING.replace("adam", "adma"),
    "parameter of another optimizer": RING.replace("betas: [0.5, 0.9]", "alpha: 0.9"),
    "unknown penalty": RING.replace("  seed:", "  penalty: [gp]\n  seed:"),
    "a number for a list": RING.replace("seed: [0, 1, 2]", "seed: 2"),
    "an empty list": RING.replace("seed: [0, 1, 2]", "seed: []"),
    "a negative sigma": RING.replace("sigma: [0,", "sigma: [-1,"),
    "epoch 0": RING.replace("epoch: [10,", "epoch: [0,"),
    "a fractional epoch": RING.replace("epoch: [10,", "epoch: [0.5,"),
    "text for a number": RING.replace("batch: 128", "batch: many"),
    "three betas": RING.replace("[0.5, 0.9]", "[0.5, 0.9, 0.9]"),
    "no grid": RING.split("grid:")[0],
    "a network's parameter": RING.replace("depth: 2", "deep: 2"),
    "a family's parameter": SEARCH.replace("fraction:", "fractoin:"),
    "an unknown family": SEARCH.replace("linear:", "liner:"),
    "a range without an end": SEARCH.replace("{low: 0, high: 0.2}", "{low: 0}"),
    "an unknown sampler": SEARCH.replace("sampler: tpe", "sampler: bayes"),
    "updates": DIRAC.replace("alternating 5", "alternating five"),
    "a seed of a Dirac-GAN": DIRAC + "  seed: [0]\n",
}


@pytest.mark.parametrize("text", WRONG.values(), ids=WRONG)
def test_typical_mistakes_are_refused_by_both(text: str) -> None:
    document = values(text) if "  seed: [0]\n" not in text[-12:] else {**values(DIRAC), "seed": [0]}
    assert not CHECKER.is_valid(document)
    with pytest.raises(JobError):
        load_job(document)


def test_no_job_that_the_harness_takes_is_refused() -> None:
    """Keys left out by chance from a job with every kind of part."""
    draws, num_taken = random.Random(0), 0
    lines = ALL_PARTS.splitlines(keepends=True)
    for _ in range(60):
        text = "".join(line for line in lines if draws.random() < 0.93)
        try:
            parse_job(text)
        except JobError:
            continue
        CHECKER.validate(values(text))
        num_taken += 1
    assert num_taken > 3


@pytest.mark.parametrize("kind", [kind for kind in PARTS if kind != "schedules"])
def test_every_part_can_be_completed_and_says_what_it_is(kind: str) -> None:
    text = json.dumps(SCHEMA)
    for name, part in PARTS[kind].items():
        assert json.dumps(name) in text
        first = (part.__doc__ or "").splitlines()[0].replace("`", "")
        assert json.dumps(first)[1:-1] in text, name
