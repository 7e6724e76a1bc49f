"""The tables: one explicit Arrow schema each, with unit and meaning in every field's metadata."""

from __future__ import annotations

import math
from typing import Any, Literal, NamedTuple

import pyarrow as pa

SCHEMA_VERSION = "1"

Status = Literal["completed", "diverged", "failed", "timeout", "lost"]
STATUSES: dict[Status, str] = {
    "completed": "ran to its end",
    "diverged": "NaN or overflow; the row has the last finite values",
    "failed": "raised an exception; the row has the traceback",
    "timeout": "took longer than resources.timeout_seconds",
    "lost": "its worker died more often than resources.retries allows",
}

_text, _int, _real, _flag = pa.string(), pa.int64(), pa.float64(), pa.bool_()
_reals = pa.list_(_real)
_time = pa.timestamp("us", tz="UTC")


def _field(name: str, kind: pa.DataType, meaning: str, unit: str = "") -> pa.Field:
    metadata = {"meaning": meaning, **({"unit": unit} if unit else {})}
    return pa.field(name, kind, metadata=metadata)


def _schema(*fields: pa.Field) -> pa.Schema:
    return pa.schema(fields, metadata={"schema_version": SCHEMA_VERSION})


_JOB = _field("job", _text, "name of the job")
_PART = _field("part", _text, "the pack execution that wrote the row; joins rows of one execution across tables")
_CELL_ID = _field("cell_id", _text, "hash of everything that determines the row's numbers")
_GRADIENTS = (
    _field(
        "grad_norm",
        _real,
        "norm of the generator's gradient under the row's own loss, mean over fresh batches",
    ),
    _field("grad_norm_std", _real, "standard deviation of that norm over batches"),
    _field("grad_variance", _real, "total variance of that gradient over batches, E||g - E g||^2"),
    _field("grad_tail_index", _real, "Hill index of its coordinates over batches: 1 Cauchy; null below 16 batches"),
    _field(
        "grad_cauchy_advantage", _real, "mean log-likelihood of Cauchy less normal; > 0: Cauchy fits better", "nats"
    ),
    _field("grad_norm_minimax", _real, "the same under log(1 - D); null unless D is trained by cross-entropy"),
    _field("grad_norm_non_saturating", _real, "the same under -log D; null unless D is trained by cross-entropy"),
)

_OUTPUTS = (
    _field("logit_real", _real, "mean logit of real samples, E D(x_real)"),
    _field("logit_fake", _real, "mean logit of fake samples, E D(x_fake)"),
    _field("p_real", _real, "P(x_real is real), relativistic where the loss is; null for losses without probabilities"),
    _field("p_fake", _real, "P(x_fake is real), likewise"),
    _field(
        "d_gradient_real_share",
        _real,
        "of real samples in the discriminator's gradient, sum |dL/dr| of sum |dL/dr| + sum |dL/df|",
    ),
)
"""Of the discriminator: in ``cells`` on held-out samples, in ``training`` on the last batch of the epoch."""

CELLS = _schema(
    _JOB,
    _CELL_ID,
    _field("attempt", _int, "which execution of the pack wrote the row, from 1"),
    _field("sequence", _int, "grows with every execution of a pack of the job; the largest at a place counts"),
    _field("status", _text, "completed, diverged, failed, timeout or lost"),
    _field("error", _text, "why the cell did not complete; a traceback where there is one"),
    _field("protocol", _text, "probe, train or dirac"),
    _field("problem", _text, "source of the real samples"),
    _field("network", _text, "networks and their options"),
    _field("batch_norm", _text, "of the discriminator: joint, separate or none; separate batches leak the label"),
    _field("loss", _text, "loss of the cell"),
    _field("penalty", _text, "regulariser of the discriminator"),
    _field("optimizer", _text, "optimiser family and constants"),
    _field("learning_rate", _real, "of the optimiser"),
    _field("discriminator_steps", _int, "an update of the generator, where the grid has that axis"),
    _field("schedule", _text, "sigma over training time"),
    _field("sigma", _real, "noise standard deviation at this epoch", "data units"),
    _field("noise", _text, "family of the noise; its parameters, and in whose steps it is, are in schedule"),
    _field("epoch", _int, "epochs the generator was trained for"),
    _field("seed", _int, "names the member's random streams"),
    _field("updates", _text, "protocol dirac: simultaneous, or alternating with the discriminator's steps"),
    _field("run_id", _text, "the run whose generator this is; names its snapshots"),
    _field("snapshot", _text, "the file of the store's snapshots that has the generator; null in searches"),
    _field("iterations", _int, "discriminator updates (probe) or generator updates (train) done"),
    _field(
        "d_loss", _real, "discriminator's loss on noisy held-out samples; the last sound one in training if diverged"
    ),
    _field(
        "accuracy",
        _real,
        "of the discriminator on noisy held-out samples; P(r > f) for losses without a threshold",
    ),
    *_OUTPUTS,
    *_GRADIENTS,
    _field("jsd_discriminator", _real, "log 2 - d_loss / 2, a lower estimate; null unless cross-entropy", "nats"),
    _field(
        "jsd_mixture",
        _real,
        "exact JSD of the two noisy sample sets, by Monte Carlo; that of the distributions behind them is smaller",
        "nats",
    ),
    _field("jsd_mixture_se", _real, "its standard error", "nats"),
    _field(
        "jsd_mixture_half",
        _real,
        "the same of a half of both sets: the larger it is against jsd_mixture, the more the sets decide",
        "nats",
    ),
    _field("tv", _real, "total variation of the two noisy sample sets, by the same draws"),
    _field(
        "kl_real_fake",
        _real,
        "KL(P_r+eps || P_g+eps) of the sets; normal noise for truncated, under which it is infinite; so it may be at 0",
        "nats",
    ),
    _field("kl_fake_real", _real, "KL(P_g+eps || P_r+eps) of the sets, likewise", "nats"),
    _field(
        "noise_variance",
        _real,
        "V = E||eps||^2, d sigma^2 for truncated and gaussian; null for cauchy",
        "data units squared",
    ),
    _field("data_diameter", _real, "of real and fake samples together", "data units"),
    _field("diameter", _real, "C, of the noisy support: data_diameter + 2 R", "data units"),
    _field(
        "bound_paper",
        _real,
        "2 sqrt(V) + 2 C sqrt(JSD), Theorem 3.3 at the cell's sigma; null for unbounded noise",
        "data units",
    ),
    _field("bound_paper_upper", _real, "bound_paper at the upper 95 % limit of the JSD", "data units"),
    _field("bound_paper_noise_term", _real, "2 sqrt(V)", "data units"),
    _field("bound_paper_divergence_term", _real, "2 C sqrt(JSD)", "data units"),
    _field(
        "bound_sharp", _real, "2 E||eps|| + C phi^-1(JSD) at the cell's sigma; null for unbounded noise", "data units"
    ),
    _field("bound_sharp_upper", _real, "bound_sharp at the upper 95 % limit of the JSD", "data units"),
    _field(
        "bound_weighted",
        _real,
        "2 E||eps|| + Int ||x - x0|| |p - q| dx at the cell's sigma; null for cauchy",
        "data units",
    ),
    _field("bound_weighted_upper", _real, "bound_weighted at the upper 95 % limit of the integral", "data units"),
    _field(
        "bound_sliced",
        _real,
        "mean 1-D bound_paper (truncated noise) over the directions, bounds w1_sliced; null at 0",
        "data units",
    ),
    _field("bound_sliced_best", _real, "least bound_sliced over the evaluation's sigma grid", "data units"),
    _field("bound_sliced_best_sigma", _real, "the sigma at which it is attained", "data units"),
    _field("bound_best", _real, "least bound_paper over the evaluation's sigma grid", "data units"),
    _field(
        "bound_best_upper",
        _real,
        "least of its upper 95 % limits, which hold at all sigmas of the grid together (Bonferroni)",
        "data units",
    ),
    _field("bound_best_sigma", _real, "the sigma at which it is attained", "data units"),
    _field("bound_sharp_best", _real, "least bound_sharp over the evaluation's sigma grid", "data units"),
    _field("bound_sharp_best_upper", _real, "its upper limit, as bound_best_upper", "data units"),
    _field("bound_weighted_best", _real, "least bound_weighted over the evaluation's sigma grid", "data units"),
    _field("bound_weighted_best_upper", _real, "its upper limit, as bound_best_upper", "data units"),
    _field("w1", _real, "exact Wasserstein-1 distance of the two sample sets, Euclidean cost", "data units"),
    _field("w1_sliced", _real, "mean 1-D Wasserstein-1 distance over directions, the same for all cells", "data units"),
    _field("w1_minus_floor", _real, "w1 - real_w1: what a perfect generator has around 0", "data units"),
    _field("w1_sliced_minus_floor", _real, "w1_sliced - real_w1_sliced", "data units"),
    _field("bound_holds", _flag, "no bound of the row, at its upper 95 % limit, is below the distance it bounds"),
    _field("vacuous", _flag, "bound_paper exceeds data_diameter, which bounds w1 trivially"),
    _field("num_samples", _int, "samples in each of the two sets; in the fake one where they differ"),
    _field("real_num_samples", _int, "other real samples that the baseline has in place of the generator's"),
    _field("real_jsd_mixture", _real, "jsd_mixture of a perfect generator: of other real samples", "nats"),
    _field("real_tv", _real, "tv of other real samples"),
    _field("real_bound_paper", _real, "bound_paper of other real samples", "data units"),
    _field("real_bound_best", _real, "bound_best of other real samples", "data units"),
    _field("real_bound_sliced", _real, "bound_sliced of other real samples", "data units"),
    _field("real_bound_sliced_best", _real, "bound_sliced_best of other real samples", "data units"),
    _field("real_w1_sliced", _real, "w1_sliced of other real samples, mean over 20 sets", "data units"),
    _field(
        "real_w1_sliced_sd",
        _real,
        "its standard deviation over them; of a data set they are parts of one, and vary less than fresh ones",
        "data units",
    ),
    _field("real_w1", _real, "w1 of other real samples, mean over 20 sets: the floor", "data units"),
    _field("real_w1_sd", _real, "its standard deviation over them, likewise", "data units"),
    _field("eigenvalues_real", _reals, "protocol dirac: of the field's Jacobian at the equilibrium, by autograd"),
    _field("eigenvalues_imag", _reals, "their imaginary parts, the smaller first; null where the field has a kink"),
    _field("predicted_eigenvalues_real", _reals, "the same by the formulas of Mescheder et al. (2018)"),
    _field("predicted_eigenvalues_imag", _reals, "their imaginary parts"),
    _field("modulus", _real, "protocol dirac: factor an iteration multiplies a small distance by, simulated"),
    _field("predicted_modulus", _real, "the same from the predicted eigenvalues and the updates"),
    _field("verdict", _text, "protocol dirac: converges, stalls (at rest elsewhere), cycles or diverges"),
    _field("steps_to_tolerance", _int, "protocol dirac: iterations until the distance stays within the tolerance"),
    _field("seconds", _real, "the cell's share of its pack's time", "s"),
    _field("peak_memory_bytes", _int, "largest memory of the worker so far", "bytes"),
    _field("device", _text, "cpu or the GPU's model"),
    _field("hostname", _text, "where the row was computed"),
    _field("started_at", _time, "when the pack started"),
    _field("finished_at", _time, "when the row was written"),
    _field("versions", _text, "JSON: versions of the harness, Python, torch and Ray"),
    _field("git_commit", _text, "of the harness, where it runs from a checkout; -dirty: with changes since"),
    _field("identity", _text, "JSON whose hash is cell_id"),
    _PART,
)

CURVES = _schema(
    _JOB,
    _CELL_ID,
    _field("iteration", _int, "discriminator updates done"),
    _field("d_loss", _real, "discriminator's loss, mean over fresh noisy batches"),
    _field("accuracy", _real, "of the discriminator, mean over fresh noisy batches"),
    *_GRADIENTS,
    _PART,
)

TRAINING = _schema(
    _JOB,
    _field("run_id", _text, "hash of everything that determines the trajectory"),
    _field("epoch", _int, "epochs done"),
    _field("step", _int, "generator updates done"),
    _field("sigma", _real, "noise standard deviation at the end of the epoch", "data units"),
    _field("d_loss", _real, "discriminator's loss, mean over the epoch"),
    _field("g_loss", _real, "generator's loss, mean over the epoch"),
    *_OUTPUTS,
    _PART,
)

METRICS = _schema(
    _JOB,
    _CELL_ID,
    _field("name", _text, "of the metric, one of the job's evaluation.metrics"),
    _field("value", _real, "the metric of the cell's generator; null where it is not a finite number"),
    _field("standard_error", _real, "of the value, where the metric gives one"),
    _PART,
)

TRIALS = _schema(
    _JOB,
    _field("trial", _int, "number of the trial"),
    _field("cells", _text, "hash of the identities of its cells"),
    _field("state", _text, "complete, pruned (given up at an earlier epoch) or fail (no seed completed)"),
    _field("family", _text, "schedule family"),
    _field("parameters", _text, "JSON: schedule, loss and what else the search's space has"),
    _field("value", _real, "objective: a bound at the trial's last epoch, reduced over seeds", "data units"),
    _field("distance", _real, "the exact distance it bounds, reduced over seeds", "data units"),
    _field("spread", _real, "largest minus smallest bound over seeds", "data units"),
    _field("seeds", _int, "seeds it was tried with"),
    _field("completed_seeds", _int, "seeds that did not diverge or fail"),
    _field("diameter", _real, "of the data, what a seed that diverged counts with at least", "data units"),
    _field("epoch", _int, "the last epoch it was trained to"),
    _field("member_steps", _int, "generator steps over its seeds"),
    _field("seconds", _real, "its share of its packs' computing time, over its seeds", "s"),
    _field("finished_at", _time, "when the row was written"),
    _PART,
)

TRAJECTORIES = _schema(
    _JOB,
    _CELL_ID,
    _field("iteration", _int, "iterations done"),
    _field("theta", _real, "the generator's parameter"),
    _field("psi", _real, "the discriminator's parameter"),
    _PART,
)

TABLES: dict[str, pa.Schema] = {
    "cells": CELLS,
    "curves": CURVES,
    "training": TRAINING,
    "metrics": METRICS,
    "trajectories": TRAJECTORIES,
    "trials": TRIALS,
}

_TELLING = (
    *("protocol", "loss", "penalty", "learning_rate", "discriminator_steps", "batch_norm"),
    *("schedule", "sigma", "noise", "epoch", "seed", "updates"),
)
"""Columns of ``cells`` that tell the cells of a job apart."""

JOINED: dict[str, tuple[pa.Field, ...]] = {
    **{table: tuple(CELLS.field(name) for name in _TELLING) for table in ("curves", "metrics", "trajectories")},
    "training": tuple(
        _field(
            name, CELLS.field(name).type, f"of the run, which of protocol probe is the reference: as {name} of cells"
        )
        for name in _TELLING
        if name not in (*TRAINING.names, "updates")
    ),
}
"""What queries see at the end of a table's rows: of the cell, or of the run, that a row belongs to."""

VIEWS: dict[str, pa.Schema] = {
    table: pa.schema([*schema, *JOINED.get(table, ())], metadata=schema.metadata) for table, schema in TABLES.items()
}
"""The tables as queries see them."""


OF_DISCRIMINATORS = (
    *("snapshot", "iterations", "sigma", "d_loss", "accuracy", "jsd_discriminator"),
    *(field.name for field in (*_OUTPUTS, *_GRADIENTS)),
)
"""Columns of ``cells`` that the training of a cell told, and that its generator alone cannot tell again."""


def to_table(name: str, rows: list[dict[str, Any]]) -> pa.Table:
    """Rows as an Arrow table of a table's schema; a key the schema lacks is an error, a missing one is null."""
    schema = TABLES[name]
    unknown = {key for row in rows for key in row} - set(schema.names)
    if unknown:
        raise KeyError(f"table {name} has no columns {sorted(unknown)}")
    return pa.Table.from_pylist(rows, schema=schema)


Columns = dict[str, Any]


def finite(value: float) -> float | None:
    """The value, or None where it is not a finite number: tables hold no NaN."""
    return value if math.isfinite(value) else None


class StoredCell(NamedTuple):
    """What a plan needs to know of a row: which cell it is, how it ended, and its identity as JSON."""

    cell_id: str
    status: str
    identity: str


class CellKey(NamedTuple):
    """A row's place in its job's grid, which stays the same when the job's settings change.

    A field is None where the grid has no such axis.
    """

    loss: str
    penalty: str
    schedule: str
    learning_rate: float
    batch_norm: str | None = None
    discriminator_steps: int | None = None
    epoch: int | None = None
    seed: int | None = None
    updates: str | None = None
