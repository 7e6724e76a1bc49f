"""A store as large jobs leave it: 2,000 parts of 50 cells and of 5,000 rows of curves, with the schemas of the harness.

python benchmarks/large_store.py FOLDER
"""

from __future__ import annotations

import argparse
import datetime
import uuid
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet

PARTS, CELLS_A_PART, ROWS_A_CELL = 2_000, 50, 100
JOB = "large"


def make(root: Path) -> None:
    """Writes the job; its numbers are random."""
    from harness.storage.parts import as_parquet, file_name
    from harness.storage.records import TABLES

    random = np.random.default_rng(0)
    started = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    for table in ("cells", "curves"):
        (root / JOB / table).mkdir(parents=True)
    (root / JOB / "job.yaml").write_text(f"name: {JOB}\n")
    for number in range(PARTS):
        part = uuid.uuid4().hex
        name = file_name(part, suffix=uuid.uuid4().hex[:8])
        ids = [uuid.uuid4().hex[:16] for _ in range(CELLS_A_PART)]
        coordinates = {
            "job": JOB,
            "cell_id": ids,
            "part": part,
            "status": "completed",
            "loss": ["minimax", "non_saturating"] * (CELLS_A_PART // 2),
            "penalty": "none",
            "schedule": [f"constant {0.1 * (index % 5):g}" for index in range(CELLS_A_PART)],
            "learning_rate": 2e-4,
            "epoch": 10,
            "seed": [number * CELLS_A_PART + index for index in range(CELLS_A_PART)],
            "finished_at": started + datetime.timedelta(seconds=number),
            "started_at": started,
            "identity": '{"loss": "minimax", "protocol": "probe"}' * 10,
            "attempt": 1,
        }
        curves = {
            "job": JOB,
            "part": part,
            "cell_id": np.repeat(ids, ROWS_A_CELL).tolist(),
            "iteration": np.tile(np.arange(ROWS_A_CELL), CELLS_A_PART),
        }
        for table, values, num in (("cells", coordinates, CELLS_A_PART), ("curves", curves, len(ids) * ROWS_A_CELL)):
            columns = []
            for field in TABLES[table]:
                if field.name in values:
                    value = values[field.name]
                    column = [value] * num if isinstance(value, (str, int, float, datetime.datetime)) else value
                elif pa.types.is_floating(field.type):
                    column = random.normal(size=num)
                else:
                    column = pa.nulls(num, field.type)
                columns.append(pa.array(column, field.type))
            rows = pa.Table.from_arrays(columns, schema=TABLES[table])
            (root / JOB / table / name).write_bytes(as_parquet(rows))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    make(parser.parse_args().folder)
