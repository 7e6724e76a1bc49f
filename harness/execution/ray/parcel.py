"""What a submitted job needs on a cluster: the command that runs there, and a folder with the job file and the code."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from ...errors import ClusterError
from ...job.extensions import own_packages
from ...job.reading import AnyJob, dump_job
from ...job.tune import TuneJob

STORAGE_VARIABLE = "HARNESS_STORAGE"
"""Of ``harness tune``, for ``--storage``: a command is seen by everybody who sees the cluster's jobs, so a URL with a
password is no part of it."""
_JOB_FILE = "job.yaml"
_LEFT_HERE = shutil.ignore_patterns(".venv", ".git", "results", "__pycache__")


@dataclass(frozen=True)
class Command:
    """What runs on the cluster.

    Attributes:
      words: The command.
      results: Where its results go: a URI, or an absolute folder of the cluster's machines.
      variables: Of its environment.
    """

    words: Sequence[str]
    results: str
    variables: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def destination(self) -> str:
        """Where its results go, for a person."""
        if "://" in self.results:
            return f"results go to {self.results}"
        return f"results go to the folder {self.results} on the cluster's machines, which is one here only if shared"


def command_for(
    job: AnyJob | TuneJob,
    *,
    results: str,
    retry: Sequence[str] = (),
    storage: str | None = None,
    warm_start: str | None = None,
) -> Command:
    """The command that does a job on a cluster: ``harness run`` of a grid, ``harness tune`` of a search.

    Args:
      job: The job.
      results: Root of the store; a relative folder is made absolute here, as that of the job there is deleted.
      retry: Of a grid: statuses to compute again.
      storage, warm_start: Of a search, as ``harness tune`` has them.

    Raises:
      ClusterError: If the job cannot work there as it is submitted.
    """
    results = _absolute(results)
    words = ["python", "-m", "harness", "tune" if isinstance(job, TuneJob) else "run", _JOB_FILE, "--results", results]
    if not isinstance(job, TuneJob):
        for option, value in (("--storage", storage), ("--warm-start", warm_start)):
            if value is not None:
                raise ClusterError(f"{option}: is for searches; {job.name} is of protocol {job.protocol}")
        return Command([*words, *(["--retry", ",".join(retry)] if retry else [])], results)
    if retry:
        raise ClusterError(f"--retry: is for grids; {job.name} is a search, and 'harness tune' has no such option")
    if storage is None and "://" in results:
        raise ClusterError(f"--results {results} is no folder: name a database for the search with --storage URL")
    if storage is not None and re.match(r"sqlite(\+\w+)?:(?!////)", storage):
        raise ClusterError(
            f"--storage {storage}: would be a file in a folder of the cluster that is deleted with the job; "
            "name an absolute one, sqlite:////folder/study.db, or another database"
        )
    words += [] if warm_start is None else ["--warm-start", warm_start]
    return Command(words, results, {} if storage is None else {STORAGE_VARIABLE: _unexpanded(storage)})


@dataclass(frozen=True)
class Parcel:
    """A folder that travels.

    Attributes:
      folder: Where it is, while it is.
      contents: Names of what is in it: the job file, this package, those of the job's own parts, a folder of the user.
    """

    folder: Path
    contents: Sequence[str]

    @property
    def size(self) -> int:
        """Of all its files, bytes."""
        return sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file())

    def __str__(self) -> str:
        return f"{', '.join(self.contents)} ({self.size / 1e6:.1f} MB)"


@contextmanager
def packed(job: AnyJob | TuneJob, working_dir: str | None) -> Iterator[Parcel]:
    """The parcel of a job, with what is in a folder of the user; it is deleted after the block.

    The job file, this package and those that the job's own parts come from travel, so the cluster needs the
    dependencies only.

    Raises:
      ClusterError: If there is no such folder.
    """
    if working_dir is not None and not Path(working_dir).is_dir():
        raise ClusterError(f"--working-dir {working_dir}: no such folder on this machine")
    packages = [Path(__file__).parents[2], *own_packages(job)]
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "work"
        if working_dir is not None:
            shutil.copytree(working_dir, folder, ignore=_LEFT_HERE)
        folder.mkdir(exist_ok=True)
        (folder / _JOB_FILE).write_text(dump_job(job), encoding="utf-8")
        for package in packages:
            _copy(package, folder / package.name)
        ours = [_JOB_FILE, *(package.name for package in packages)]
        _have_it_sent(ours, folder)
        given = [] if working_dir is None else [f"the files of {working_dir}"]
        yield Parcel(folder, [*ours, *given])


def _absolute(results: str) -> str:
    """A place under a name that holds on other machines."""
    if "://" not in results:
        if not results:
            raise ClusterError("--results: '' is no place; name a folder or a URI such as s3://bucket/prefix")
        return str(Path(results).absolute())
    if urlsplit(results).password:
        raise ClusterError(
            "--results: has a password in it, which everybody would see who sees the cluster's jobs; leave it out, and "
            "give the cluster's machines the credentials, or the job by env_vars of --runtime-env"
        )
    return results


def _have_it_sent(names: Sequence[str], folder: Path) -> None:
    """Ray leaves out what a user's own ``.gitignore`` names, which may be meant for other files of these names."""
    for ignoring in (folder / ".gitignore", folder / ".rayignore"):
        if ignoring.is_file():
            lines = "".join(f"!/{name}\n!/{name}/**\n" for name in names)
            ignoring.write_bytes(ignoring.read_bytes() + b"\n" + lines.encode())


def _unexpanded(storage: str) -> str:
    """A URL in whose password Ray finds no variable to put in, as it does in the values of an environment."""
    account, at, rest = storage.rpartition("@")
    return f"{account.replace('$', '%24')}{at}{rest}"


def _copy(source: Path, target: Path) -> None:
    """A package, or a module that is a single file."""
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
    else:
        shutil.copy2(source, target)
