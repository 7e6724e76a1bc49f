"""Jobs on a Ray cluster through Ray Jobs: submit, status, logs, stop."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import shlex
import shutil
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from ..errors import ClusterError
from ..job.extensions import own_packages
from ..job.reading import AnyJob, dump_job
from . import ray_environment

_AGENT_SECONDS = 60
_ENDED = ("SUCCEEDED", "FAILED", "STOPPED")


@dataclass(frozen=True)
class Submission:
    """How a job file is handed to a cluster; the fields are those of ``ray job submit``."""

    submission_id: str | None = None
    runtime_env: Mapping[str, Any] | None = None
    working_dir: str | None = None
    metadata: Mapping[str, str] | None = None
    entrypoint_num_cpus: float | None = None
    entrypoint_num_gpus: float | None = None
    entrypoint_memory: int | None = None
    entrypoint_resources: Mapping[str, float] | None = None


class Cluster:
    """The Jobs API of a Ray cluster.

    Args:
      address: Of the dashboard, such as ``http://127.0.0.1:8265``; RAY_API_SERVER_ADDRESS where it is None.
      headers: Added to every request.
      verify: Whether TLS certificates are checked, or the file to check them with.
    """

    def __init__(
        self, address: str | None, *, headers: Mapping[str, Any] | None = None, verify: str | bool = True
    ) -> None:
        address = address or os.environ.get("RAY_API_SERVER_ADDRESS") or "http://127.0.0.1:8265"
        self.address = address
        ray_environment.prepare(address)
        from ray.exceptions import AuthenticationError
        from ray.job_submission import JobSubmissionClient

        for name in ("job.sdk", "dashboard_sdk"):  # not every upload needs a line
            logging.getLogger(f"ray.dashboard.modules.{name}").setLevel(logging.WARNING)
        try:
            self._client = JobSubmissionClient(address, headers=dict(headers or {}), verify=verify)
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise ClusterError(
                f"no Ray dashboard answers at {address}: {error}\n  --address is the dashboard's, such as "
                "http://127.0.0.1:8265; it needs ray[default] on the head"
            ) from error
        except AuthenticationError as error:
            raise ClusterError(
                f"{address} asks for a token.\n  Set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN to what "
                "'ray get-auth-token' prints on the head"
            ) from error

    def submit(self, job: AnyJob, *, results: str, arguments: list[str], submission: Submission) -> str:
        """Hands a job to the cluster; its id.

        The job file, this package and those that the job's own parts come from travel in the working directory, so the
        cluster needs the dependencies only.
        """
        environment = dict(submission.runtime_env or {})
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch) / "work"
            if submission.working_dir is not None:
                if not Path(submission.working_dir).is_dir():
                    raise ClusterError(f"--working-dir {submission.working_dir}: no such folder on this machine")
                shutil.copytree(
                    submission.working_dir, folder, ignore=shutil.ignore_patterns(".venv", ".git", "results")
                )
            folder.mkdir(exist_ok=True)
            (folder / "job.yaml").write_text(dump_job(job), encoding="utf-8")
            _copy(Path(__file__).parents[1], folder / "harness")
            for package in own_packages(job):
                _copy(package, folder / package.name)
            command = ["python", "-m", "harness", "run", "job.yaml", "--results", results, *arguments]
            try:
                return str(
                    self._submit_when_ready(
                        entrypoint=shlex.join(command),
                        submission_id=submission.submission_id,
                        runtime_env={**environment, "working_dir": str(folder)},
                        metadata={"harness_job": job.name, **(submission.metadata or {})},
                        entrypoint_num_cpus=submission.entrypoint_num_cpus,
                        entrypoint_num_gpus=submission.entrypoint_num_gpus,
                        entrypoint_memory=submission.entrypoint_memory,
                        entrypoint_resources=dict(submission.entrypoint_resources or {}) or None,
                    )
                )
            except (RuntimeError, ValueError, OSError) as error:
                raise ClusterError(f"{self.address} refused the job: {_last_line(error)}") from error

    def _submit_when_ready(self, **request: Any) -> str:
        """Submits; a head that has just started answers before its agent can take jobs."""
        deadline = time.monotonic() + _AGENT_SECONDS
        while True:
            try:
                return str(self._client.submit_job(**request))
            except RuntimeError as error:
                if "No available agent" not in str(error) or time.monotonic() > deadline:
                    raise
                time.sleep(1)

    def follow(self, submission_id: str, output: TextIO) -> int:
        """Copies a job's log until it ends; its exit code."""
        self._details(submission_id)
        asyncio.run(self._tail(submission_id, output))
        return self.exit_code(submission_id)

    def logs(self, submission_id: str) -> str:
        """Everything a job has printed so far."""
        self._details(submission_id)
        return str(self._client.get_job_logs(submission_id))

    def status(self, submission_id: str) -> dict[str, Any]:
        """A job's state as a flat dictionary."""
        details = self._details(submission_id)
        return {
            "submission_id": submission_id,
            "job": (details.metadata or {}).get("harness_job"),
            "status": str(details.status.value),
            "exit_code": details.driver_exit_code,
            "message": details.message,
            "entrypoint": details.entrypoint,
        }

    def submissions(self) -> list[dict[str, Any]]:
        """The state of every job the cluster remembers, oldest first."""
        jobs = [details for details in self._client.list_jobs() if details.submission_id]
        jobs.sort(key=lambda details: details.start_time or 0)
        return [self.status(details.submission_id) for details in jobs]

    def stop(self, submission_id: str, *, timeout_seconds: float = 60.0) -> str:
        """Asks a job to stop and waits until it has; its final status. What it has computed stays in the store."""
        self._details(submission_id)
        self._client.stop_job(submission_id)
        deadline = time.monotonic() + timeout_seconds
        while (details := self._details(submission_id)).status.value not in _ENDED:
            if time.monotonic() > deadline:
                raise ClusterError(f"{submission_id} is still {details.status.value} after {timeout_seconds:g} s")
            time.sleep(0.5)  # the Jobs API has no call that waits
        return str(details.status.value)

    def exit_code(self, submission_id: str) -> int:
        """The exit code of an ended job; 1 where Ray knows none."""
        details = self._details(submission_id)
        if details.status.value == "SUCCEEDED":
            return 0
        return int(details.driver_exit_code or 1)

    async def _tail(self, submission_id: str, output: TextIO) -> None:
        async for text in self._client.tail_job_logs(submission_id):
            output.write(text)
            output.flush()

    def _details(self, submission_id: str) -> Any:
        try:
            return self._client.get_job_info(submission_id)
        except RuntimeError as error:
            known = [str(details.submission_id) for details in self._client.list_jobs() if details.submission_id]
            listing = f" Known: {', '.join(known[-10:])}" if known else " It has none yet."
            raise ClusterError(
                f"{self.address} has no job '{submission_id}' ({_last_line(error)}).{listing}"
            ) from error


def parse_json(text: str | None, *, option: str) -> dict[str, Any] | None:
    """The value of a JSON option."""
    if text is None:
        return None
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise ClusterError(f"{option}: not JSON: {error}") from error
    if not isinstance(value, dict):
        raise ClusterError(f"{option}: must be a JSON object, got {text}")
    return value


def _copy(source: Path, target: Path) -> None:
    """A package, or a module that is a single file."""
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
    else:
        shutil.copy2(source, target)


def _last_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if any(letter.isalpha() for letter in line)]
    return lines[-1] if lines else type(error).__name__
