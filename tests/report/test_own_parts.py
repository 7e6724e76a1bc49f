"""Parts that a user brings have their own names in the report, with their values."""

from __future__ import annotations

import json
from pathlib import Path

import harness
from harness.report.page import parts
from harness.storage.query import Results
from tests.test_plugin import JOB


def test_a_loss_a_problem_and_metrics_of_the_users_own_are_in_the_report(tmp_path: Path) -> None:
    harness.run(JOB, results=tmp_path, executor="serial")
    results = Results(tmp_path)
    found = parts(results, ["brought"])
    (job,) = json.loads(found.data)["jobs"]
    rows = [dict(zip(job["details"], values, strict=True)) for values in job["rows"]]
    assert {row["loss"] for row in rows} == {"hinge", "noiselab.parts:squared_hinge"}
    assert all("noiselab.data:Spiral" in row["problem"] for row in rows)
    told = results.query("SELECT cell_id, name, value FROM metrics ORDER BY name, cell_id").to_pylist()
    assert {metric["name"].split("(")[0] for metric in told} == {
        "noiselab.metrics:mean_shift",
        "noiselab.metrics:ShareBeyond",
    }
    by_cell = {row["cell_id"]: row for row in rows}
    for metric in told:
        shown = by_cell[metric["cell_id"]][metric["name"]]
        assert shown == float(f"{metric['value']:.12g}")
        assert metric["name"] in [option["key"] for option in job["options"]["metric"]]
        assert metric["name"] in job["pictures"][0]["specs"]
    assert "noiselab.parts:squared_hinge" in found.body  # a reader can choose it
