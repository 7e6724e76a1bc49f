"""A search's start from the results of a grid: what the store already knows of its space, told to the study."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import HarnessError
from ..identity import canonical_json
from ..job.parts.schedules import schedule_class
from ..job.space import Parameters
from ..job.tune import TuneJob
from ..storage.store import Store
from ..storage.writer import new_part
from .cells import trial_cells
from .scoring import ROW_COLUMNS, Result, Row, TrialScore, score_seeds, trial_row

if TYPE_CHECKING:
    from .study import OptunaStudy

MAX_SUGGESTIONS = 5

_DECISIVE = ("problem", "networks", "loss", "penalty", "sigma")
"""Parts of a run's identity that a point of the space must have in common with a run to tell of it."""


@dataclass(frozen=True)
class Known:
    """A point of the space that a job has results of.

    Attributes:
      score: Where all of the search's own cells have rows: what the trial would be told. Otherwise None.
      value: The objective over the rows there are, at their last epoch: what suggestions are ordered by.
      seconds: Computing time of the search's own cells.
    """

    parameters: Parameters
    score: TrialScore | None
    value: float
    seconds: float


def start_warm(study: OptunaStudy, job: TuneJob, store: Store, *, source: str) -> str:
    """Tells the study what the store knows: exact values as trials, other results as suggestions.

    Returns:
      How many of each, in words; none that the study has had before.

    Raises:
      HarnessError: As `known_points`.
    """
    trials = study.trials()
    seen = [trial.parameters for trial in trials]
    new = [point for point in known_points(job, store, source) if point.parameters not in seen]
    suggestions = []
    num_told = 0
    for point in new:
        if point.score is None or not point.score.completed:
            suggestions.append(point.parameters)
            continue
        told = Result("complete", point.score, job.epochs, member_steps=0, seconds=0.0)
        row = trial_row(len(trials) + num_told, point.parameters, told)
        store.write_part(job.name, "trials", [row], part=new_part())  # before the study knows it
        study.add(point.parameters, point.score, seconds=point.seconds, source=source)
        num_told += 1
    # a grid has points of its own; and a search that goes on has had its suggestions
    room = MAX_SUGGESTIONS - sum(trial.suggested_by is not None for trial in trials)
    suggestions = [] if job.search.sampler == "grid" else suggestions[: max(0, room)]
    study.enqueue(suggestions, suggested_by=source)
    return f"warm start from {source}: {num_told} results, {len(suggestions)} suggestions"


def known_points(job: TuneJob, store: Store, source: str) -> list[Known]:
    """Points of the space of which a job of protocol ``train`` has results, the best first.

    Raises:
      HarnessError: If the job has no results, or none of a point of the space.
    """
    columns = [*ROW_COLUMNS, "identity", "protocol", job.bound, job.distance]
    rows = store.read_rows("cells", source, columns=columns)
    if not rows:
        others = ", ".join(name for name in store.jobs() if name != job.name) or "no job"
        raise HarnessError(f"--warm-start {source}: the store has no results of this job; it has {others}")
    by_id = {row["cell_id"]: row for row in rows}
    points: dict[str, tuple[dict[str, Any], list[Row]]] = {}
    for row in by_id.values():
        run = json.loads(row["identity"])["run"]
        parameters = _parameters(job, run) if row["protocol"] == "train" else {}
        if parameters and job.space.holds(parameters) and _is_akin(job, parameters, run):
            points.setdefault(canonical_json(parameters), (parameters, []))[1].append(row)
    found = (_known(job, by_id, parameters, own) for parameters, own in points.values())
    known = [point for point in found if point is not None]
    if not known:
        raise HarnessError(
            f"--warm-start {source}: no result of it is of the search's problem and networks and in its space; "
            f"see  harness query \"SELECT DISTINCT problem, network, schedule FROM cells WHERE job = '{source}' "
            f'ORDER BY ALL" --results {shlex.quote(store.root)}'
        )
    return sorted(known, key=lambda point: point.value)


def _known(job: TuneJob, by_id: Mapping[str, Row], parameters: Parameters, rows: Sequence[Row]) -> Known | None:
    """What rows of a point tell; nothing if no seed came to the last epoch there is."""
    last = max(row["epoch"] for row in rows)
    late = score_seeds([row for row in rows if row["epoch"] == last], job)
    if late.value is None or not late.completed:
        return None
    cells = trial_cells(job, parameters)
    own = [by_id[cell.cell_id] for cell in cells if cell.cell_id in by_id]
    return Known(
        parameters=parameters,
        score=score_seeds(own, job) if len(own) == len(cells) else None,
        value=late.value,
        seconds=sum(row["seconds"] or 0.0 for row in own),
    )


def _is_akin(job: TuneJob, parameters: Parameters, run: Mapping[str, Any]) -> bool:
    """Whether a run differs from the point's only in settings, such as its length, batch and seed."""
    (cell,) = trial_cells(job, parameters, seeds=(0,))
    identity = json.loads(cell.run.identity)
    return all(identity[part] == run[part] for part in _DECISIVE)


def _parameters(job: TuneJob, run: Mapping[str, Any]) -> dict[str, Any]:
    """The point of the space that a run would be, if it were in it."""
    family, values, _, *more = run["sigma"]
    left_out = schedule_class(family).defaults() if family in job.space.schedule else {}
    searched = job.space.schedule.get(family, {})
    own = {name: value for name, value in {**left_out, **values}.items() if name in searched or name in values}
    parameters: dict[str, Any] = {"schedule": family, "loss": run["loss"]}
    parameters |= {f"{family}.{name}": value for name, value in own.items()}
    others = {name: value for part in more for name, value in part.items() if name in ("name", "noise_on")}
    if job.space.noise is not None:
        parameters["noise"] = others.get("name", "truncated")
    if job.space.noise_on is not None:
        parameters["noise_on"] = others.get("noise_on", "both")
    if job.space.penalty is not None:
        penalty = run["penalty"]
        parameters["penalty"] = penalty["name"]
        of_penalty = job.space.penalty.get(penalty["name"], {})
        if any(isinstance(penalty[name], dict) for name in of_penalty):
            return {}  # a strength by a schedule, which no point of a space has
        parameters |= {f"{penalty['name']}.{name}": penalty[name] for name in of_penalty}
    if job.space.learning_rate is not None:
        parameters["learning_rate"] = run["optimizer"]["learning_rate"]
    if job.space.discriminator_steps is not None:
        parameters["discriminator_steps"] = run["discriminator_steps"]
    return parameters
