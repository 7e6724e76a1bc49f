"""A PostgreSQL server for a test: its own data, its own port, stopped by its process id, nothing left behind."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

DEBIAN = Path("/usr/lib/postgresql")
HOST = "127.0.0.1"
NAME = "optuna"  # of the superuser and of the database
PACKAGE_USER = "postgres"
PROGRAMS = ["initdb", "postgres", "pg_isready", "createdb"]
SETTINGS = [
    *("fsync=off", "synchronous_commit=off", "full_page_writes=off"),  # no test's data need survive a power cut
    "unix_socket_directories=",  # one more way in and one more thing to remove
    "dynamic_shared_memory_type=mmap",  # in the data folder: even a killed server leaves nothing in /dev/shm
]
# fast shutdown (ends the clients' sessions too), immediate shutdown, last resort; each with the seconds it gets
STOPS = [(signal.SIGINT, 30), (signal.SIGQUIT, 10), (signal.SIGKILL, 10)]


def _binaries() -> Path | None:
    """The folder of the newest server; Debian keeps one folder a version, none of them on the PATH.

    What is on the PATH may be a link to one program of that folder, without the others.
    """
    packaged = sorted(DEBIAN.glob("[0-9]*/bin"), key=lambda folder: [int(n) for n in folder.parent.name.split(".")])
    found = shutil.which("initdb")
    candidates = [*reversed(packaged), *([Path(found).resolve().parent] if found else [])]
    return next((folder for folder in candidates if all((folder / name).exists() for name in PROGRAMS)), None)


def has_postgres() -> bool:
    """Whether a server is installed; a test that needs one is skipped otherwise."""
    return _binaries() is not None


def _identity() -> dict[str, Any]:
    """Who runs the server, as arguments of subprocess: PostgreSQL refuses to run as root."""
    return {"user": PACKAGE_USER, "group": PACKAGE_USER, "extra_groups": []} if os.geteuid() == 0 else {}


def _run(*command: str | Path, cwd: Path, **identity: Any) -> None:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, **identity)
    if done.returncode:
        raise RuntimeError(f"{Path(command[0]).name} failed:\n{done.stdout}{done.stderr}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _wait_until_ready(server: subprocess.Popen[Any], check: list[str | Path], log: Path, seconds: float) -> None:
    """Returns when the server accepts connections; otherwise raises with what the server said."""
    deadline = time.monotonic() + seconds
    while subprocess.run(check, stdout=subprocess.DEVNULL, check=False).returncode:
        if server.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"PostgreSQL did not start:\n{log.read_text()}")
        time.sleep(0.05)


def _stop(server: subprocess.Popen[Any]) -> None:
    for number, seconds in STOPS:
        server.send_signal(number)
        try:
            server.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            continue
        return


@contextmanager
def postgres_server() -> Iterator[str]:
    """A PostgreSQL server of its own, from Debian's package, with an empty database; yields a URL for SQLAlchemy.

    The data are in the system's temporary folder, not in pytest's: that one is root's alone when root runs the tests.
    """
    binaries = _binaries()
    if binaries is None:
        raise RuntimeError("no PostgreSQL server here: apt-get install postgresql")
    with tempfile.TemporaryDirectory(prefix="postgres-") as name:
        folder, identity = Path(name), _identity()
        if identity:
            shutil.chown(folder, PACKAGE_USER, PACKAGE_USER)
        data, log = folder / "data", folder / "log"
        options = [f"--username={NAME}", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"]
        _run(binaries / "initdb", *options, "-D", data, cwd=folder, **identity)
        port = _free_port()
        settings = [argument for setting in SETTINGS for argument in ("-c", setting)]
        start: list[str | Path] = [binaries / "postgres", "-D", data, "-h", HOST, "-p", str(port), *settings]
        with log.open("wb") as output:
            server = subprocess.Popen(
                start, cwd=folder, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, **identity
            )
        try:
            address: list[str | Path] = ["-h", HOST, "-p", str(port), "-U", NAME]
            _wait_until_ready(server, [binaries / "pg_isready", *address, "-d", "postgres"], log, seconds=60)
            _run(binaries / "createdb", *address, NAME, cwd=folder)
            yield f"postgresql+psycopg://{NAME}@{HOST}:{port}/{NAME}"
        finally:
            _stop(server)
