"""Words of other code bases in a job file: one line each, with the place and what it is called here."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import JobError
from harness.job.parts.metrics import METRICS
from harness.job.parts.networks import NETWORKS
from harness.job.parts.noise import NOISES
from harness.job.parts.optimizers import OPTIMIZERS
from harness.job.parts.penalties import PENALTIES
from harness.job.parts.problems import PROBLEMS
from harness.job.parts.schedules import SCHEDULES
from harness.job.reading import parse_job
from harness.job.strategies import PRUNERS, SAMPLERS
from harness.job.synonyms import _KEYS, _NAMES, models_in
from harness.theory.losses import LOSSES

RING = """\
name: ring
protocol: train
problem: {name: ring}
networks: {name: mlp, width: 8}
training: {batch: 32, steps_per_epoch: 10, optimizer: {name: adam, learning_rate: 1e-3}}
grid:
  loss: [minimax]
  sigma: [0, 0.1]
  epoch: [1]
  seed: [0]
"""
BUILTIN = {
    "loss": LOSSES,
    "penalty": PENALTIES,
    "problem": PROBLEMS,
    "network": NETWORKS,
    "optimizer": OPTIMIZERS,
    "noise": NOISES,
    "schedule": SCHEDULES,
    "metric": METRICS,
    "sampler": SAMPLERS,
    "pruner": PRUNERS,
}


def complaints(text: str) -> list[str]:
    with pytest.raises(JobError) as raised:
        parse_job(text, source="ring.yaml")
    return [line for line in str(raised.value).splitlines() if not line.startswith("  Valid: ")]


def test_the_ring_itself_is_good() -> None:
    parse_job(RING)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("loss: [minimax]", "loss: [wgan-gp]", "7:10: grid.loss[0]: unknown loss 'wgan-gp'. Did you mean 'wasserstein', with 'penalty: [gradient_penalty]'?"),  # noqa: E501
        ("loss: [minimax]", "loss: [gan]", "7:10: grid.loss[0]: unknown loss 'gan'. Did you mean 'non_saturating'?"),
        ("loss: [minimax]", "loss: [LSGAN]", "7:10: grid.loss[0]: unknown loss 'LSGAN'. Did you mean 'least_squares'?"),
        ("loss: [minimax]", "loss: minimax", "7:9: grid.loss: must be a list: [minimax]"),
        ("loss: [minimax]", "losses: [minimax]", "7:3: grid.losses: unknown key. Did you mean 'loss'?"),
        ("steps_per_epoch", "steps", "5:23: training.steps: unknown key. Did you mean 'steps_per_epoch'?"),
        ("batch: 32", "batch_size: 32", "5:12: training.batch_size: unknown key. Did you mean 'batch'?"),
        ("batch: 32", "n_critic: 5", "5:12: training.n_critic: unknown key. Did you mean 'discriminator_steps'?"),
        ("batch: 32", "lr: 0.1", "5:12: training.lr: unknown key. Did you mean 'grid.learning_rate'?"),
        ("learning_rate: 1e-3", "lr: 1e-3", "5:68: training.optimizer.lr: unknown key. Did you mean 'learning_rate'?"),
        ("learning_rate: 1e-3", "beta1: 0.5", "5:68: training.optimizer.beta1: unknown key. Did you mean 'betas'?"),
        ("seed: [0]", "seed: 2", "10:9: grid.seed: must be a list: [2], or of 2 seeds [0, 1]"),
        ("seed: [0]", "seed: 10", "10:9: grid.seed: must be a list: [10], or of 10 seeds [0, 1, 2, ...]"),
        ("seed: [0]", "seeds: [0, 1]", "10:3: grid.seeds: unknown key. Did you mean 'seed'?"),
        ("epoch: [1]", "epochs: [1]", "9:3: grid.epochs: unknown key. Did you mean 'epoch'?"),
        ("sigma: [0, 0.1]", "noise: 0.1", "8:3: grid.noise: unknown key. Did you mean 'sigma'?"),
        ("sigma: [0, 0.1]", "sigmas: [0.1]", "8:3: grid.sigmas: unknown key. Did you mean 'sigma'?"),
        ("sigma: [0, 0.1]", "sigma: 0.1", "8:10: grid.sigma: must be a list: [0.1]"),
        ("sigma: [0, 0.1]", "sigma: [{schedule: exp, start: 1, end: 0.1}]", "8:11: grid.sigma[0]: unknown schedule 'exp'. Did you mean 'exponential'?"),  # noqa: E501
        ("seed: [0]", "seed: [0]\n  regularizer: [r1]", "11:3: grid.regularizer: unknown key. Did you mean 'penalty'?"),
        ("seed: [0]", "seed: [0]\n  penalty: [gp]", "11:13: grid.penalty[0]: unknown penalty 'gp'. Did you mean 'gradient_penalty'?"),  # noqa: E501
        ("name: ring\np", "name: ring\nlr: 0.1\np", "2:1: lr: unknown key. Did you mean 'grid.learning_rate'?"),
        ("name: ring\np", "name: ring\nepochs: 9\np", "2:1: epochs: unknown key. Did you mean 'grid.epoch'?"),
        ("name: ring\np", "name: ring\nnoise: 0.1\np", "2:1: noise: unknown key. Did you mean 'grid.sigma'?"),
        ("name: ring\np", "name: ring\nbatch_size: 9\np", "2:1: batch_size: unknown key. Did you mean 'training.batch'?"),  # noqa: E501
        ("networks:", "model:", "4:1: model: unknown key. Did you mean 'networks'?"),
        ("problem:", "dataset:", "3:1: dataset: unknown key. Did you mean 'problem'?"),
        ("width: 8", "hidden_dim: 8", "4:23: networks.hidden_dim: unknown key. Did you mean 'width'?"),
        ("seed: [0]", "seed: [0]\nevaluation: {metrics: [fid]}", "11:24: evaluation.metrics[0]: unknown metric 'fid'. Did you mean 'frechet_distance'?"),  # noqa: E501
    ],
)  # fmt: skip
def test_a_word_of_other_code_bases_gets_one_line_with_ours(old: str, new: str, says: str) -> None:
    assert RING.count(old) == 1
    assert complaints(RING.replace(old, new)) == [f"ring.yaml:{says}"]


def test_what_is_missing_and_has_no_slip_is_still_said() -> None:
    lines = complaints(RING.replace("seed: [0]", "sedes: [0]").replace("  epoch: [1]\n", ""))
    assert lines == [
        "ring.yaml:6:1: grid: 'epoch' is missing",
        "ring.yaml:9:3: grid.sedes: unknown key. Did you mean 'seed'?",
    ]


def test_a_word_without_a_counterpart_gets_no_hint() -> None:
    assert complaints(RING.replace("batch: 32", "warmup: 3")) == ["ring.yaml:5:12: training.warmup: unknown key."]


@pytest.mark.parametrize("kind", _NAMES)
def test_every_name_that_is_proposed_is_there_and_no_name_is_taken_for_another(kind: str) -> None:
    for meant, others in _NAMES[kind].items():
        assert meant.split("'")[0] in BUILTIN[kind]
        assert not set(others) & set(BUILTIN[kind])
    words = [word for others in _NAMES[kind].values() for word in others]
    assert len(words) == len(set(words))


def test_every_key_that_is_proposed_is_one_of_the_grammar() -> None:
    schema = (Path(__file__).parents[2] / "jobs" / "job.schema.json").read_text(encoding="utf-8")
    assert [key for key in _KEYS if f'"{key}": {{' not in schema] == []


def test_models_are_found_within_unions_and_lists() -> None:
    from harness.job.job import Grid, Job

    assert models_in(Job.model_fields["grid"].annotation) == [Grid]
