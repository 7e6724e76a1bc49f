"""Samplers and pruners compared by replaying trials that were computed once, without training: in seconds.

python benchmarks/searching.py

A suggestion is answered by the nearest schedule of its family in benchmarks/ring_trials.parquet (see the job file
beside it) that this search has not had. The searches themselves are those of `harness tune`: the same study, samplers,
pruners, stages and objective.
"""

from __future__ import annotations

import heapq
import itertools
import json
import math
import statistics
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pyarrow.parquet

from harness.job.reading import parse_job
from harness.job.space import Parameters, Range
from harness.job.tune import TuneJob
from harness.search.analysis import share_of_member_steps
from harness.search.opening import open_study
from harness.search.scoring import REDUCE, Result, TrialScore
from harness.storage.store import Store

FOLDER = Path(__file__).parent
JOB = """\
name: replayed
protocol: tune
problem: {name: ring}
networks: {name: mlp, width: 64, depth: 2, latent: 8}
training: {batch: 128, steps_per_epoch: 100}
epochs: 30
space:
  schedule:
    constant: {sigma: {low: 0.01, high: 1, log: true}}
    linear: {start: {low: 0.05, high: 2, log: true}, end: {low: 0, high: 0.3}}
    exponential: {start: {low: 0.05, high: 2, log: true}, end: {low: 0.005, high: 0.3, log: true}}
    cosine: {start: {low: 0.05, high: 2, log: true}, end: {low: 0, high: 0.3}}
search: {trials: 48, seeds: 3}
"""
REPEATS = 5
IN_FLIGHT = 10  # trials at once, as two actors with packs of 16 members have


@dataclass(frozen=True)
class Known:
    """A computed schedule: bounds and exact distances by epoch, one a seed."""

    family: str
    parameters: Mapping[str, float]
    bounds: dict[int, list[float]]
    distances: dict[int, list[float]]


def computed_trials() -> list[Known]:
    """The table, a record a schedule; without the one without noise, which is not in the space."""
    table: dict[tuple[str, str], Known] = {}
    for row in pyarrow.parquet.read_table(FOLDER / "ring_trials.parquet").to_pylist():
        key = row["family"], row["parameters"]
        known = table.setdefault(key, Known(row["family"], json.loads(row["parameters"]), {}, {}))
        known.bounds.setdefault(row["epoch"], []).append(row["bound_best"])
        known.distances.setdefault(row["epoch"], []).append(row["w1"])
    return [known for known in table.values() if known.parameters.get("sigma") != 0]


def unit(space: float | Range, value: float) -> float:
    """Where a value is in its range: 0 to 1."""
    if not isinstance(space, Range):
        return 0.0
    low, high = (math.log(space.low), math.log(space.high)) if space.log else (space.low, space.high)
    return ((math.log(value) if space.log else value) - low) / (high - low)


class Replay:
    """Answers a search from the table."""

    def __init__(self, job: TuneJob, table: list[Known]) -> None:
        self._job, self._left = job, list(table)

    def take(self, parameters: Parameters) -> Known:
        """The nearest schedule of the family that is left; of any family where none is."""
        family = parameters["schedule"]
        spaces = self._job.space.schedule[family]

        def distance(known: Known) -> float:
            if known.family != family:
                return math.inf
            wanted = {name: parameters[f"{family}.{name}"] for name in spaces}
            return sum((unit(s, wanted[n]) - unit(s, known.parameters[n])) ** 2 for n, s in spaces.items())

        nearest = min(self._left, key=distance)
        self._left.remove(nearest)
        return nearest

    def score(self, known: Known, epoch: int) -> TrialScore:
        reduce = REDUCE[self._job.objective.reduce]
        bounds = known.bounds[epoch]
        return TrialScore(
            reduce(bounds), reduce(known.distances[epoch]), max(bounds) - min(bounds), len(bounds), len(bounds), 10.0
        )


def replay(job: TuneJob, table: list[Known], folder: str) -> tuple[list[float], float]:
    """A whole search: the least objective after each trial that ended, and the share of the steps that it took."""
    study = open_study(job, Store(folder), optuna.storages.InMemoryStorage())
    answers = Replay(job, table)
    clock = np.random.default_rng(job.search.seed)
    counter = itertools.count()
    best, so_far = math.inf, []
    waiting: list[tuple[float, int, int, Known, int]] = []  # done at, tie break, trial, schedule, stage

    def begin(now: float) -> None:
        asked = study.ask()
        if asked is not None:
            done_at = now + job.stages[0] * clock.uniform(0.9, 1.1)
            heapq.heappush(waiting, (done_at, next(counter), asked[0], answers.take(asked[1]), 0))

    for _ in range(IN_FLIGHT):
        begin(0.0)
    while waiting:
        now, _, number, known, stage = heapq.heappop(waiting)
        epoch = job.stages[stage]
        score = answers.score(known, epoch)
        assert score.value is not None
        is_last = stage == len(job.stages) - 1
        if is_last or study.report(number, stage=stage, value=score.value):
            best = min(best, score.value) if is_last else best
            so_far.append(best)
            study.finish(number, Result("complete" if is_last else "pruned", score, epoch, epoch, 0.0))
            begin(now)
        else:
            length = (job.stages[stage + 1] - epoch) * clock.uniform(0.9, 1.1)
            heapq.heappush(waiting, (now + length, next(counter), number, known, stage + 1))
    return so_far, share_of_member_steps(study.trials(), job.epochs)


def with_search(job: TuneJob, **changes: Any) -> TuneJob:
    return job.model_copy(update={"search": job.search.model_copy(update=changes)})


def compare(job: TuneJob, table: list[Known], variants: Mapping[str, Mapping[str, Any]], *, repeats: int) -> None:
    """Prints a line a variant."""
    for name, changes in variants.items():
        found = []
        for seed in range(repeats):
            with tempfile.TemporaryDirectory() as folder:
                found.append(replay(with_search(job, **changes, seed=seed), table, folder))
        num_trials = job.search.trials
        at = {share: [so_far[num_trials * share // 4 - 1] for so_far, _ in found] for share in (1, 2, 4)}
        columns = [f"{statistics.mean(values):.3f}" for values in at.values()]
        final = at[4]
        print(
            f"{name:<8} least {job.objective.reduce} {job.bound} after a quarter, half and all of {num_trials} trials: "
            f"{', '.join(columns)} (all: {min(final):.3f} to {max(final):.3f});  member-steps "
            f"{statistics.mean(share for _, share in found):.0%}"
        )


def main() -> None:
    """Compares samplers without pruning, and pruners under the same random trials, by two objectives."""
    job, table = parse_job(JOB), computed_trials()
    assert isinstance(job, TuneJob)
    samplers = {name: {"sampler": name, "pruner": "none"} for name in ("tpe", "gp", "random")}
    print(f"{len(table)} computed schedules\n\nsamplers, {REPEATS} repeats each, nothing pruned")
    compare(job, table, samplers, repeats=REPEATS)
    for reduce in ("median", "mean"):
        wanted = job.model_copy(update={"objective": job.objective.model_copy(update={"reduce": reduce})})
        report = {"report": job.stages[:-1]}
        pruners = {name: {"sampler": "random", "pruner": name, **report} for name in ("none", "median", "halving")}
        print(f"\npruners by the {reduce} of seeds, {2 * REPEATS} repeats, random trials, reports at {job.stages[:-1]}")
        compare(wanted, table, pruners, repeats=2 * REPEATS)


if __name__ == "__main__":
    main()
