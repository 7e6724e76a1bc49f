"""Opening the study of a search: where it is, whether it is this search's, and what it begins with."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..errors import HarnessError
from ..job.parts.losses import named_with_source
from ..job.tune import TuneJob
from ..planning.difference import changes
from ..storage.store import Store
from .analysis import left_out
from .cells import example_cell
from .study import OptunaStudy, Storage, without_password
from .warm_start import start_warm


def open_study(
    job: TuneJob,
    store: Store,
    storage: Storage | None = None,
    *,
    warm_start: str | None = None,
    announce: Callable[[str], None] | None = None,
) -> OptunaStudy:
    """The study of a search, new or where it was.

    Args:
      job: What is searched.
      store: Of the results; an SQLite file in the job's folder there holds the study, unless `storage` does.
      storage: An Optuna URL, or a storage object.
      warm_start: A job whose results in the store the search starts from.
      announce: Told in words how far the search is.

    Raises:
      HarnessError: If the storage is not usable or belongs to another search, or there is nothing to start from.
    """
    study = OptunaStudy(job, _sqlite(job, store) if storage is None else storage)
    _check_identity(job, study, where="the store" if storage is None else without_password(storage))
    if announce is not None and (said := left_out(study.trials())) is not None:
        announce(said)
    if warm_start is not None:
        said = start_warm(study, job, store, source=warm_start)
        if announce is not None:
            announce(said)
    if job.search.sampler == "grid":
        study.enqueue(job.space.points(job.search.points))
    return study


def _sqlite(job: TuneJob, store: Store) -> str:
    if "://" in store.root:
        raise HarnessError(f"--results {store.root} is no folder: name a database for the search with --storage URL")
    folder = Path(store.absolute_root) / job.name
    folder.mkdir(parents=True, exist_ok=True)
    return f"sqlite:///{folder}/study.db"


def _check_identity(job: TuneJob, study: OptunaStudy, *, where: str) -> None:
    """A study goes on only with what its values were made with; ranges, sampler and number of trials may change.

    Trials that are no points of the space any more are kept and count for nothing (`analysis.left_out`).
    """
    identity = json.loads(json.dumps(_identity(job)))  # as the storage gives it back
    known = study.kept("identity") if study.trials() else None
    if known is not None:
        # a parameter may come or go, but Optuna keeps no parameter that changes its scale
        common = sorted(known["scales"].keys() & identity["scales"].keys())
        before, now = (
            {**which, "scales": {name: which["scales"][name] for name in common}} for which in (known, identity)
        )
        if reasons := changes(before, now):
            raise HarnessError(
                f"{job.name}: the study in {where} was made with other settings ({'; '.join(reasons)}); "
                "its values do not compare with new ones: give this job another name"
            )
        identity["scales"] = {**known["scales"], **identity["scales"]}
    if identity != known:
        study.keep("identity", identity)


def _identity(job: TuneJob) -> dict[str, Any]:
    """What a search's values depend on: what the cells of all trials have in common, and how they are scored."""
    cell = json.loads(example_cell(job).identity)
    return {
        **{name: value for name, value in cell["run"].items() if name not in ("sigma", "seed", "loss", "horizon")},
        "problem": json.loads(cell["run"]["problem"]),
        "metric_version": cell["metric_version"],
        "evaluation": cell["evaluation"],
        "epochs": job.epochs,
        "objective": {**job.objective.model_dump(mode="json"), "bound": job.kind_of_bound},
        "losses": [named_with_source(loss) for loss in job.space.loss],
        "seeds": job.search.seeds,
        "stages": list(job.stages),
        "choices": job.space.choices(),
        "scales": job.space.scales(),
    }
