"""The parts of a table: Parquet files that are written once, merged some day, and read together.

A merged part names those it stands for, and readers pass over these; only then are they deleted. So a reader sees
every row once, whenever merging is interrupted.
"""

from __future__ import annotations

import functools
import json
import re
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet
from pyarrow.fs import FileInfo, FileSystem

from .records import TABLES

if TYPE_CHECKING:
    import pyarrow.dataset

_NAME = re.compile(r"part-[\w-]+\.parquet")
_MERGED = "part-merged-"
_MERGED_BYTES = 2**26  # of a merged part; it is made in memory
_REPLACES = b"replaces"  # in a merged part's metadata: the names of those it stands for
_ALWAYS = {
    table: ["job", "part", next(name for name in ("cell_id", "run_id", "trial") if name in schema.names)]
    for table, schema in TABLES.items()
}
"""Columns without which there is no row."""


@dataclass(frozen=True)
class Part:
    """A file of rows.

    Attributes:
      job: Whose folder it is in.
      written_as: Names of the files its rows were written as: its own, or those it stands for.
    """

    job: str
    info: FileInfo
    written_as: tuple[str, ...]

    @property
    def path(self) -> str:
        return str(self.info.path)

    @functools.cached_property
    def executions(self) -> frozenset[str]:
        """What its rows have in the column `part`."""
        return frozenset(name.split("-")[1] for name in self.written_as)


def file_name(part: str, *, suffix: str) -> str:
    """Of what one execution of a pack writes to a table at once.

    Rows of other tables that belong to rows of `cells`, and were written just before, have the same name.
    """
    return f"part-{part}-{suffix}.parquet"


def merged_name() -> str:
    """A fresh one."""
    return f"{_MERGED}{uuid.uuid4().hex}.parquet"


def among(infos: Iterable[FileInfo], *, job: str, files: FileSystem) -> tuple[list[Part], list[str]]:
    """Of the files in a table's folder the parts to be read, and the paths of those that merged ones stand for."""
    parts = [Part(job, info, _written_as(info, files)) for info in infos if _NAME.fullmatch(info.base_name)]
    replaced = {name for part in parts if part.info.base_name.startswith(_MERGED) for name in part.written_as}
    return (
        [part for part in parts if part.info.base_name not in replaced],
        [part.path for part in parts if part.info.base_name in replaced],
    )


def _written_as(info: FileInfo, files: FileSystem) -> tuple[str, ...]:
    if not info.base_name.startswith(_MERGED):
        return (info.base_name,)
    with files.open_input_file(info.path) as file:
        content = file if info.size else pa.BufferReader(b"")
        try:
            return tuple(json.loads(pyarrow.parquet.read_schema(content).metadata[_REPLACES]))
        except (pa.ArrowException, KeyError, TypeError):  # `damage` will say more
            return (info.base_name,)


def foreign(infos: Iterable[FileInfo]) -> list[str]:
    """Paths of Parquet files in a table's folder that no harness has named."""
    return [
        info.path
        for info in infos
        if info.base_name.endswith(".parquet")
        and not info.base_name.startswith(".")
        and not _NAME.fullmatch(info.base_name)
    ]


def damage(content: bytes, table: str) -> str | None:
    """What keeps a file from being read as a part of a table; None if nothing does."""
    try:
        rows = pyarrow.parquet.ParquetFile(pa.BufferReader(content), page_checksum_verification=True).read()
    except (pa.ArrowException, OSError) as error:
        return f"is damaged: {str(error).splitlines()[0].rstrip('.')}"
    ours = TABLES[table]
    lacking = [name for name in _ALWAYS[table] if name not in rows.column_names or rows[name].null_count]
    other = [
        field.name for field in rows.schema if field.name in ours.names and field.type != ours.field(field.name).type
    ]
    if lacking or other:
        return f"holds no rows of {table}: see {', '.join(lacking or other)}"
    return None


def opened(parts: Sequence[Part], table: str, files: FileSystem) -> pyarrow.dataset.Dataset:
    """All rows of some parts of a table; of a filter by job only that job's files are opened."""
    # here, because it loads pandas
    from pyarrow.dataset import FileSystemDataset, ParquetFileFormat, ParquetFragmentScanOptions, field

    form = ParquetFileFormat(default_fragment_scan_options=ParquetFragmentScanOptions(page_checksum_verification=True))
    fragments = [form.make_fragment(part.path, files, partition_expression=field("job") == part.job) for part in parts]
    return FileSystemDataset(fragments, TABLES[table], form, files)


def mergeable(parts: Sequence[Part]) -> Iterator[list[Part]]:
    """Consecutive small parts in groups, each of which makes one merged part."""
    groups: list[list[Part]] = []
    total = _MERGED_BYTES
    for part in parts:
        if part.info.size >= _MERGED_BYTES:
            continue
        total += part.info.size
        if total > _MERGED_BYTES:
            groups.append([])
            total = part.info.size
        groups[-1].append(part)
    yield from (group for group in groups if len(group) > 1)


def merged(parts: Sequence[Part], table: str, files: FileSystem) -> bytes:
    """One file with the rows of some."""
    rows = opened(parts, table, files).to_table()
    names = json.dumps([name for part in parts for name in part.written_as])
    return as_parquet(rows.replace_schema_metadata({**(rows.schema.metadata or {}), _REPLACES: names}))


def as_parquet(rows: pa.Table) -> bytes:
    """The content of a file."""
    sink = pa.BufferOutputStream()
    floats = [field.name for field in rows.schema if pa.types.is_floating(field.type)]
    pyarrow.parquet.write_table(
        rows,
        sink,
        compression="zstd",
        use_dictionary=[name for name in rows.schema.names if name not in floats],
        use_byte_stream_split=floats,
        write_page_checksum=True,
    )
    return bytes(sink.getvalue().to_pybytes())
