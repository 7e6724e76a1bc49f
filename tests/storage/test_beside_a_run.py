"""Commands for stores while a run writes to one: nothing is lost, nothing is doubled."""

from __future__ import annotations

import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

import harness
from harness.job.job import Job
from harness.job.reading import dump_job
from harness.storage.query import Results
from harness.storage.store import Store
from tests.execution.test_cluster import ENVIRONMENT, command, numbers, wait_for
from tests.in_process import harness as ours

JobMaker = Callable[..., Job]


@pytest.mark.slow
def test_compact_gc_publish_and_merge_beside_a_run(probe_job: JobMaker, tmp_path: Path) -> None:
    job = probe_job(probe={"iterations": 40}, resources={"pack": 1})
    (tmp_path / "job.yaml").write_text(dump_job(job))
    store = tmp_path / "results"
    arguments = command("run", "job.yaml", "--results", str(store), "--executor", "serial")
    run = subprocess.Popen(
        arguments, env=ENVIRONMENT, cwd=tmp_path, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    codes = Counter[tuple[str, int]]()
    parts: list[int] = []
    try:
        cells = store / "probed" / "cells"
        wait_for(lambda: cells.is_dir() and any(cells.glob("*.parquet")), seconds=60, process=run)
        while run.poll() is None:
            for words in (
                ("compact", "probed", "--results", str(store)),
                ("gc", "--yes", "--results", str(store)),
                ("publish", "probed", "--results", str(store), "--output", str(tmp_path / f"published-{len(parts)}")),
                ("merge", str(store), "--into", str(tmp_path / "merged")),
            ):
                answer = ours(*words)
                is_working = answer.returncode == 2 and "another process works on it" in answer.stderr
                assert answer.returncode == 0 or is_working, answer.stderr
                codes[words[0], answer.returncode] += 1
            parts.append(len(numbers(store)))
    finally:
        run.kill()
    assert run.wait() == 0
    assert codes["publish", 0] == codes["merge", 0] == len(parts) > 1
    assert codes["compact", 2] > 0 < codes["gc", 2]  # these wait for the end
    for last in (("compact", "probed"), ("gc", "--yes")):
        assert ours(*last, "--results", str(store)).returncode == 0
    assert ours("merge", str(store), "--into", str(tmp_path / "merged")).returncode == 0
    undisturbed = tmp_path / "undisturbed"
    harness.run(job, results=undisturbed, executor="serial")
    for root in (store, tmp_path / "merged"):
        assert numbers(root) == numbers(undisturbed)
        assert len(Store(root).dataset("cells").to_table()) == 24
        for table in ("curves", "training"):
            counted = [
                Results(place).query(f"SELECT count(*) AS num FROM {table}").to_pylist()
                for place in (root, undisturbed)
            ]
            assert counted[0] == counted[1]
    assert not harness.plan(job, results=tmp_path / "merged").missing
