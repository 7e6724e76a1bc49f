"""What the store already knows of a search's space, from the results of a grid."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import HarnessError
from ..identity import canonical_json
from ..job.space import Parameters
from ..job.tune import TuneJob
from ..planning.grid import expand
from ..storage.store import Store
from ..theory import schedules
from ..theory.schedules import SCHEDULES
from .scoring import ROW_COLUMNS, Judgement, Row, judge_seeds

_DECISIVE = ("problem", "networks", "loss", "penalty", "sigma")
"""Parts of a run's identity that a point of the space must have in common with a run to tell of it."""


@dataclass(frozen=True)
class Known:
    """A point of the space that a job has results of.

    Attributes:
      judgement: Where all of the search's own cells have rows: what the trial would be told. Otherwise None.
      value: The objective over the rows there are, at their last epoch: what suggestions are ordered by.
      seconds: Computing time of the search's own cells.
    """

    parameters: Parameters
    judgement: Judgement | None
    value: float
    seconds: float


def known_points(job: TuneJob, store: Store, source: str) -> list[Known]:
    """Points of the space of which a job of protocol ``train`` has results, the best first.

    Raises:
      HarnessError: If the job has no results, or none of a point of the space.
    """
    columns = [*ROW_COLUMNS, "identity", "protocol", job.bound, job.distance]
    rows = store.new_rows("cells", source, columns=columns, seen=set())
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
            f"see  harness query \"SELECT DISTINCT problem, network, schedule FROM cells WHERE job = '{source}'\""
        )
    return sorted(known, key=lambda point: point.value)


def _known(job: TuneJob, by_id: Mapping[str, Row], parameters: Parameters, rows: Sequence[Row]) -> Known | None:
    """What rows of a point tell; nothing if no seed came to the last epoch there is."""
    last = max(row["epoch"] for row in rows)
    late = judge_seeds([row for row in rows if row["epoch"] == last], job)
    if late.value is None or not late.completed:
        return None
    cells = expand(job.training_job(job.name, (job.grid(parameters, seeds=range(job.search.seeds)),)))
    own = [by_id[cell.cell_id] for cell in cells if cell.cell_id in by_id]
    return Known(
        parameters=parameters,
        judgement=judge_seeds(own, job) if len(own) == len(cells) else None,
        value=late.value,
        seconds=sum(row["seconds"] or 0.0 for row in own),
    )


def _is_akin(job: TuneJob, parameters: Parameters, run: Mapping[str, Any]) -> bool:
    """Whether a run differs from the point's only in settings, such as its length, batch and seed."""
    cell = expand(job.training_job(job.name, (job.grid(parameters, seeds=(0,)),)))[0]
    identity = json.loads(cell.run.identity)
    return all(identity[part] == run[part] for part in _DECISIVE)


def _parameters(job: TuneJob, run: Mapping[str, Any]) -> dict[str, Any]:
    """The point of the space that a run would be, if it were in it."""
    family, values, *_ = run["sigma"]
    left_out = schedules.defaults(family) if family in SCHEDULES else {}
    searched = job.space.schedule.get(family, {})
    own = {name: value for name, value in {**left_out, **values}.items() if name in searched or name in values}
    parameters: dict[str, Any] = {"schedule": family, "loss": run["loss"]}
    parameters |= {f"{family}.{name}": value for name, value in own.items()}
    if job.space.penalty is not None:
        penalty = run["penalty"]
        parameters["penalty"] = penalty["name"]
        of_penalty = job.space.penalty.get(penalty["name"], {})
        parameters |= {f"{penalty['name']}.{name}": penalty[name] for name in of_penalty}
    if job.space.learning_rate is not None:
        parameters["learning_rate"] = run["optimizer"]["learning_rate"]
    if job.space.discriminator_steps is not None:
        parameters["discriminator_steps"] = run["discriminator_steps"]
    return parameters
