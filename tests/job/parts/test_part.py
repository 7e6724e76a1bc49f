"""What all parts have in common: texts that are stored, names, copies, and the source of what users bring."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import pytest
from noiselab.parts import LogitNorm

from harness.identity import canonical_json, canonical_object
from harness.job.extensions import own_packages, source_digest, source_files
from harness.job.parts.networks import DCGAN, MLP
from harness.job.parts.noise import FullCovariance, NoiseSchedule
from harness.job.parts.optimizers import SGD, Adam, RMSprop
from harness.job.parts.part import Part
from harness.job.parts.penalties import R1, Dragan, NoPenalty, WeightClip
from harness.job.parts.schedules import Constant, Exponential
from harness.job.reading import load_job
from tests.conftest import TRAIN

STORED = {
    # as stores of before have them
    "dcgan(width=16, latent=32, batch_norm=separate, spectral_norm=False)": DCGAN(batch_norm="separate"),
    "mlp(width=64, depth=2, latent=8, spectral_norm=False)": MLP(),
    "adam(learning_rate=0.0002, betas=(0.5, 0.999))": Adam(),
    "rmsprop(learning_rate=5e-05, alpha=0.99)": RMSprop(),
    "sgd(learning_rate=0.01)": SGD(),
    "none": NoPenalty(),
    "weight_clip(limit=0.01)": WeightClip(),
    "dragan(weight=10, spread=0.5)": Dragan(),
    "0.5": NoiseSchedule(schedule=Constant(sigma=0.5)),
    "exponential(end=0.05, start=0.5)": NoiseSchedule(schedule=Exponential(start=0.5, end=0.05)),
    "0.1 full_covariance": NoiseSchedule(schedule=Constant(sigma=0.1), noise=FullCovariance()),
    "noiselab.parts:LogitNorm(weight=0.3)": LogitNorm(weight=0.3),
}


@pytest.mark.parametrize("text", STORED)
def test_a_part_has_the_text_that_rows_have(text: str) -> None:
    assert STORED[text].description == text


def test_a_changed_copy_is_the_part_made_anew() -> None:
    part = Adam()
    assert part.canonical != part.description  # both are kept from here on
    changed = part.model_copy(update={"learning_rate": 0.5})
    assert (changed.canonical, changed.description) == (
        Adam(learning_rate=0.5).canonical,
        Adam(learning_rate=0.5).description,
    )


def test_a_text_composed_of_canonical_texts_is_canonical() -> None:
    value = {"b": [1, 2.5], "a": {"z": None, "y": "é"}, "c": True}
    assert canonical_object({key: canonical_json(item) for key, item in value.items()}) == canonical_json(value)


def test_identities_of_cells_are_canonical() -> None:
    from harness.job.job import Job
    from harness.planning.grid import expand

    job = load_job(TRAIN)
    assert isinstance(job, Job)
    for cell in expand(job):
        for text in (cell.identity, cell.run.identity):
            assert text == canonical_json(json.loads(text))
        assert cell.cell_id == hashlib.sha256(cell.identity.encode()).hexdigest()[:20]


def test_a_users_class_need_not_say_its_name() -> None:
    assert LogitNorm().name == "noiselab.parts:LogitNorm"
    assert json.loads(LogitNorm(weight=0.3).canonical) == {
        "name": "noiselab.parts:LogitNorm",
        "weight": 0.3,
        "source": source_digest("noiselab.parts:LogitNorm"),
    }
    assert "source" not in json.loads(R1().canonical)


def test_help_of_every_part_is_one_line() -> None:
    from harness.cli.printing.catalogue import PARTS

    for parts in PARTS.values():
        for part in parts.values():
            assert issubclass(part, Part)
            assert part.help().strip()
            assert "\n" not in part.help()


def test_the_source_of_a_part_is_its_module_and_what_that_imports_of_its_package(tmp_path: Path) -> None:
    files = {path.name for path in source_files("noiselab.parts").values()}
    assert files == {"parts.py", "constants.py"}  # relative import; data.py and metrics.py are not imported
    package = tmp_path / "deep_source"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "one.py").write_text("from . import two\nimport json\n")
    (package / "two.py").write_text("def f():\n    import deep_source.three\n")
    (package / "three.py").write_text("from .one import x\n")  # a circle
    (package / "alone.py").write_text("x = 1\n")
    sys.path.insert(0, str(tmp_path))
    try:
        assert list(source_files("deep_source.one")) == ["deep_source.one", "deep_source.three", "deep_source.two"]
        # of one file: as before there were packages
        expected = hashlib.sha256(b"x = 1\n").hexdigest()[:20]
        assert source_digest("deep_source.alone:x") == expected
    finally:
        sys.path.remove(str(tmp_path))
    assert source_digest("r1") == ""


def test_the_packages_of_a_job_are_those_of_its_own_parts() -> None:
    grid = {**TRAIN["grid"], "penalty": ["noiselab.parts:LogitNorm"], "loss": ["tests.custom:wide_hinge"]}
    packages = own_packages(load_job({**TRAIN, "grid": grid}))
    assert [path.name for path in packages] == ["noiselab", "tests"]
    assert own_packages(load_job(TRAIN)) == []
