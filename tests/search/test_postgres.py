"""The PostgreSQL server of the tests: an Optuna study goes in and comes out, and the server ends with its block."""

from __future__ import annotations

from pathlib import Path

import optuna
import psutil
import pytest

from tests.postgres import has_postgres, postgres_server

pytest.importorskip("psycopg", reason="needs psycopg: pip install 'psycopg[binary]'")
pytestmark = pytest.mark.skipif(not has_postgres(), reason="needs a PostgreSQL server: apt-get install postgresql")


def servers() -> list[psutil.Process]:
    """This process's own servers and their sessions; what else runs on the machine is none of its business."""
    return [child for child in psutil.Process().children(recursive=True) if child.name() == "postgres"]


def test_a_study_outlives_the_connection_that_wrote_it() -> None:
    with postgres_server() as url:
        writer = optuna.storages.RDBStorage(url)
        study = optuna.create_study(storage=writer, study_name="kept", sampler=optuna.samplers.RandomSampler(seed=0))
        study.optimize(lambda trial: trial.suggest_float("sigma", 0.01, 1.0, log=True), n_trials=3)
        told = [(trial.params, trial.value) for trial in study.trials]
        writer.engine.dispose()
        reader = optuna.storages.RDBStorage(url)
        kept = optuna.load_study(storage=reader, study_name="kept")
        assert [(trial.params, trial.value) for trial in kept.trials] == told
        assert len(told) == 3
        reader.engine.dispose()


def test_the_server_ends_with_its_block_also_when_the_block_raises() -> None:
    family: list[psutil.Process] = []
    folders: list[Path] = []

    def block() -> None:
        with postgres_server() as url:
            optuna.storages.RDBStorage(url)  # its connections stay open, and must not hold the server up
            family.extend(servers())
            folders.append(Path(family[0].cwd()).parent)  # a server works in its data folder
            assert folders[0].name.startswith("postgres-")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        block()
    assert len(family) > 1
    assert not any(process.is_running() for process in family)
    assert not folders[0].exists()
