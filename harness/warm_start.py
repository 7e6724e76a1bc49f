"""What the store already knows of a search's space, from the results of a grid."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .errors import HarnessError
from .grid import expand
from .identity import canonical_json
from .search import ROW_COLUMNS, Judgement, Row, judge
from .store import Store
from .theory import schedules
from .theory.schedules import SCHEDULES
from .tune_job import Parameters, TuneJob


@dataclass(frozen=True)
class Known:
    """A point of the space that a job has results of.

    Attributes:
      judgement: Where all of the search's own cells have rows: what the trial would be told. Otherwise None.
      value: The objective's column, averaged over the rows there are: what suggestions are ordered by.
      seconds: Computing time of the search's own cells.
    """

    parameters: Parameters
    judgement: Judgement | None
    value: float
    seconds: float


def known_points(job: TuneJob, store: Store, source: str) -> list[Known]:
    """Points of the space that a job of protocol ``train`` has completed, the best first.

    Raises:
      HarnessError: If the job has no results.
    """
    columns = [*ROW_COLUMNS, "identity", "protocol", job.bound, job.distance]
    rows = store.new_rows("cells", source, columns=columns, seen=set())
    if not rows:
        raise HarnessError(f"--warm-start {source}: the store has no results of this job; it has {_names(store)}")
    by_id = {row["cell_id"]: row for row in rows}
    points: dict[str, tuple[dict[str, Any], list[Row]]] = {}
    for row in by_id.values():
        identity = json.loads(row["identity"])
        if row["protocol"] != "train" or row["status"] != "completed" or not _is_akin(job, identity["run"]):
            continue
        parameters = _parameters(job, identity["run"])
        if row[job.bound] is not None and job.space.holds(parameters):
            points.setdefault(canonical_json(parameters), (parameters, []))[1].append(row)
    known = [_known(job, by_id, parameters, own) for parameters, own in points.values()]
    return sorted(known, key=lambda point: point.value)


def _known(job: TuneJob, by_id: Mapping[str, Row], parameters: Parameters, rows: list[Row]) -> Known:
    cells = expand(job.training_job(job.name, (job.grid(parameters, seeds=range(job.search.seeds)),)))
    own = [by_id[cell.cell_id] for cell in cells if cell.cell_id in by_id]
    last = max(row["epoch"] for row in rows)
    late = [row[job.bound] for row in rows if row["epoch"] == last]
    return Known(
        parameters=parameters,
        judgement=judge(own, job) if len(own) == len(cells) else None,
        value=sum(late) / len(late),
        seconds=sum(row["seconds"] or 0.0 for row in own),
    )


def _is_akin(job: TuneJob, run: Mapping[str, Any]) -> bool:
    """Whether a run is of the search's problem and networks, so that what was good for it may be good here."""
    problem = canonical_json(job.problem.identity())
    return bool(run["problem"] == problem and run["networks"] == job.networks.model_dump(mode="json"))


def _parameters(job: TuneJob, run: Mapping[str, Any]) -> dict[str, Any]:
    """The point of the space that a run would be."""
    family, values, *_ = run["sigma"]
    parameters: dict[str, Any] = {"schedule": family, "loss": run["loss"]}
    left_out = schedules.defaults(family) if family in SCHEDULES else {}
    searched = job.space.schedule.get(family, {})
    own = {name: value for name, value in {**left_out, **values}.items() if name in searched or name in values}
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


def _names(store: Store) -> str:
    return ", ".join(store.jobs()) or "none"
