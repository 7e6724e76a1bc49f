"""A job's results as a folder that stands alone: what one attaches to a paper."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path

from ruamel.yaml import YAML

from ..errors import StoreError
from .parts import as_parquet
from .query import Results
from .records import VIEWS

_JOB_FILE = re.compile(r"job(-\d+)?\.yaml")  # several where stores were merged
CHECKSUMS = "SHA256SUMS"


def publish(results: Results, job: str, folder: Path) -> dict[str, int]:
    """Writes a job's tables, its file, a description, a citation and checksums to a new folder.

    Every table is one Parquet file with the rows that count: neither the store nor the harness is needed to read it.

    Returns:
      The number of rows of each table that has some.

    Raises:
      StoreError: If the folder is there already, or cannot be written.
    """
    if folder.exists():
        raise StoreError(f"{folder}: is there already; name a new folder")
    unfinished = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}.tmp")
    try:
        unfinished.mkdir(parents=True)
        counts = _write_tables(results, job, unfinished)
        for name in results.store.place.names(job):
            if _JOB_FILE.fullmatch(name):
                (unfinished / name).write_bytes(results.store.place.content(f"{job}/{name}") or b"")
        made_by = _made_by(results, job)
        (unfinished / "README.md").write_text(_description(job, counts, made_by), encoding="utf-8")
        _write_citation(job, made_by, unfinished / "CITATION.cff")
        files = sorted(path for path in unfinished.iterdir())
        sums = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in files]
        (unfinished / CHECKSUMS).write_text("".join(sums), encoding="utf-8")
        unfinished.rename(folder)
    except OSError as error:
        raise StoreError(f"{folder}: cannot be written: {error}") from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return counts


def _write_tables(results: Results, job: str, folder: Path) -> dict[str, int]:
    counts = {}
    for table in VIEWS:
        rows = results.table(table, job=job).cast(VIEWS[table])
        if len(rows):
            (folder / f"{table}.parquet").write_bytes(as_parquet(rows))
            counts[table] = len(rows)
    return counts


def _made_by(results: Results, job: str) -> Mapping[str, list[str]]:
    """What the rows say of how they came about: each distinct value of some columns."""
    cells = results.cells(job)
    columns = ("versions", "git_commit", "device")
    return {name: sorted({value for value in cells[name].to_pylist() if value}) for name in columns}


def _description(job: str, counts: Mapping[str, int], made_by: Mapping[str, list[str]]) -> str:
    lines = [
        f"# Results of the job `{job}`",
        "",
        "Made by the GAN noise harness. Every table is a Parquet file with the rows that count; `job.yaml` is what was",
        f"computed. `sha256sum -c {CHECKSUMS}` checks the files. For example:",
        "",
        "```python",
        "import duckdb",
        "duckdb.sql(\"SELECT loss, sigma, avg(w1), avg(bound_best) FROM 'cells.parquet' GROUP BY ALL ORDER BY ALL\")",
        "```",
        "",
        "| made with | |",
        "|---|---|",
        *(f"| versions | {_versions(text)} |" for text in made_by["versions"]),
        *(f"| commit of the harness | {commit} |" for commit in made_by["git_commit"]),
        *(f"| device | {device} |" for device in made_by["device"]),
    ]
    for table, num in counts.items():
        lines += ["", f"## {table}.parquet: {num} rows", "", "| column | unit | meaning |", "|---|---|---|"]
        for field in VIEWS[table]:
            meaning, unit = (
                field.metadata.get(name, b"").decode().replace("|", "\\|") for name in (b"meaning", b"unit")
            )
            lines.append(f"| {field.name} | {unit} | {meaning} |")
    return "\n".join(lines) + "\n"


def _versions(text: str) -> str:
    return ", ".join(f"{name} {version}" for name, version in json.loads(text).items())


def _write_citation(job: str, made_by: Mapping[str, list[str]], path: Path) -> None:
    """In the Citation File Format; whose the results are is for their owner to fill in."""
    versions = [json.loads(text).get("harness") for text in made_by["versions"]]
    software = {
        "type": "software",
        "title": "GAN noise harness",
        "authors": [{"name": "The GAN noise harness maintainers"}],
        **({"version": versions[-1]} if versions and versions[-1] else {}),
    }
    paper = {
        "type": "conference-paper",
        "title": "Towards Principled Methods for Training Generative Adversarial Networks",
        "authors": [
            {"family-names": "Arjovsky", "given-names": "Martin"},
            {"family-names": "Bottou", "given-names": "Léon"},
        ],
        "year": 2017,
        "url": "https://arxiv.org/abs/1701.04862",
    }
    citation = {
        "cff-version": "1.2.0",
        "message": "If you use these results, please cite them, the software, and the paper whose bound it computes.",
        "type": "dataset",
        "title": f"Results of the job {job}",
        "authors": [{"name": "YOUR NAME"}],
        "references": [software, paper],
    }
    with path.open("w", encoding="utf-8") as file:
        YAML().dump(citation, file)
