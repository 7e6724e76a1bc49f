"""Jobs on a Ray cluster through Ray Jobs: submit, status, logs, stop."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import shlex
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO, TypeVar

from ...errors import ClusterError
from ...job.reading import AnyJob
from ...job.tune import TuneJob
from . import environment
from .parcel import Command, packed

_AGENT_SECONDS = 60
_ENDED = ("SUCCEEDED", "FAILED", "STOPPED")
_ADDRESS_VARIABLE = "RAY_API_SERVER_ADDRESS"
_DEFAULT_ADDRESS = "http://127.0.0.1:8265"

T = TypeVar("T")


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


@dataclass(frozen=True)
class JobState:
    """How a submitted job stands.

    Attributes:
      submission_id: Its id.
      job: The name in its job file; None if it is none of ours.
      status: ``PENDING``, ``RUNNING``, ``SUCCEEDED``, ``FAILED`` or ``STOPPED``.
      started, ended: When it was submitted, and when it ended.
      exit_code: Of its driver; None before it has ended, or where Ray knows none.
      message: What Ray says of it; of a failed job the end of its log too.
      entrypoint: The command that runs on the cluster.
    """

    submission_id: str
    job: str | None
    status: str
    started: datetime | None
    ended: datetime | None
    exit_code: int | None
    message: str | None
    entrypoint: str

    @property
    def has_ended(self) -> bool:
        """Whether it runs no more."""
        return self.status in _ENDED

    @property
    def has_succeeded(self) -> bool:
        """Whether it has ended, and well."""
        return self.status == "SUCCEEDED"

    @property
    def seconds(self) -> float | None:
        """How long it took, or has taken by this machine's clock."""
        if self.started is None or (self.has_ended and self.ended is None):
            return None
        return max(0.0, ((self.ended or datetime.now(UTC)) - self.started).total_seconds())


class Cluster:
    """The Jobs API of a Ray cluster.

    Args:
      address: Of the dashboard, such as ``http://127.0.0.1:8265``; RAY_API_SERVER_ADDRESS or else RAY_ADDRESS where it
        is None.
      headers: Added to every request.
      verify: Whether TLS certificates are checked, or the file to check them with.

    Raises:
      ClusterError: If nothing answers there or the token is not accepted. So does whatever is asked of it later.
    """

    def __init__(
        self, address: str | None, *, headers: Mapping[str, Any] | None = None, verify: str | bool = True
    ) -> None:
        self.address = _named(address)
        _check_headers(headers or {})
        if isinstance(verify, str) and not Path(verify).exists():
            raise ClusterError(f"--verify {verify}: no such file; it is true, false, or a file of certificates")
        environment.prepare(self.address)
        from ray.job_submission import JobSubmissionClient

        for name in ("dashboard.modules.job.sdk", "dashboard.modules.dashboard_sdk", "_private.runtime_env.packaging"):
            logging.getLogger(f"ray.{name}").setLevel(logging.WARNING)  # not every upload needs a line

        def connect() -> Any:
            with _variable(_ADDRESS_VARIABLE, self.address):  # which, as RAY_ADDRESS, Ray prefers to what it is given
                return JobSubmissionClient(self.address, headers=dict(headers or {}), verify=verify)

        try:
            self._client = self._ask(connect)
        except (RuntimeError, ValueError, KeyError) as error:
            raise ClusterError(f"{self._nothing_answers()}: {_last_line(error)}") from error

    def submit(
        self,
        job: AnyJob | TuneJob,
        command: Command,
        submission: Submission,
        *,
        announce: Callable[[str], None] = lambda text: None,
    ) -> str:
        """Hands a job to the cluster; its id.

        Args:
          job: The job.
          command: From `command_for`.
          submission: How.
          announce: Told in one line what travels, and where results go.
        """
        self._check_is_new(submission.submission_id)
        given = dict(submission.runtime_env or {})
        if "working_dir" in given:
            raise ClusterError("--runtime-env: working_dir: name the folder with --working-dir")
        wanted = check_strings(given.pop("env_vars", None) or {}, option="--runtime-env: env_vars")
        variables = {**wanted, **command.variables}
        with packed(job, submission.working_dir) as parcel:
            named = f" and the variables {', '.join(sorted(variables))}" if variables else ""
            announce(f"sends {parcel}{named}; {command.destination}")
            environment = {**given, **({"env_vars": variables} if variables else {}), "working_dir": str(parcel.folder)}
            try:
                return str(
                    self._submit_when_ready(
                        entrypoint=shlex.join(command.words),
                        submission_id=submission.submission_id,
                        runtime_env=environment,
                        metadata={"harness_job": job.name, **(submission.metadata or {})},
                        entrypoint_num_cpus=submission.entrypoint_num_cpus,
                        entrypoint_num_gpus=submission.entrypoint_num_gpus,
                        entrypoint_memory=submission.entrypoint_memory,
                        entrypoint_resources=dict(submission.entrypoint_resources or {}) or None,
                    )
                )
            except (RuntimeError, ValueError, TypeError) as error:
                if "already exists" in str(error):  # submitted by another in the same moment
                    raise self._taken(submission.submission_id) from error
                raise ClusterError(f"{self.address} refused the job: {_last_line(error)}") from error

    def follow(self, submission_id: str, output: TextIO) -> int:
        """Copies a job's log until it ends; its exit code, or 1 where Ray knows none."""
        printed = 0
        while True:
            state = self.state(submission_id)
            printed = asyncio.run(self._tail(submission_id, output, skip=printed))
            if state.has_ended:
                return 0 if state.has_succeeded else int(state.exit_code or 1)
            if not self.state(submission_id).has_ended:
                time.sleep(1)  # a proxy between has closed the connection, and the job goes on

    def logs(self, submission_id: str) -> str:
        """Everything a job has printed so far."""
        self.state(submission_id)
        return str(self._answer(self._client.get_job_logs, submission_id))

    def state(self, submission_id: str) -> JobState:
        """How a job stands."""
        try:
            return _state(self._ask(self._client.get_job_info, submission_id))
        except RuntimeError as error:
            if "status code 404" not in str(error):
                raise self._unexpected(error) from error
            known = [state.submission_id for state in self.states()]
            listing = f" Known: {', '.join(known[-10:])}" if known else " It has none yet."
            raise ClusterError(f"{self.address} has no job '{submission_id}'.{listing}") from error

    def states(self) -> list[JobState]:
        """How every submitted job stands that the cluster remembers, oldest first."""
        jobs = [details for details in self._answer(self._client.list_jobs) if details.submission_id]
        return [_state(details) for details in sorted(jobs, key=lambda details: details.start_time or 0)]

    def stop(self, submission_id: str, *, timeout_seconds: float = 60.0) -> str:
        """Asks a job to stop and waits until it has; its final status. What it has computed stays in the store."""
        self.state(submission_id)
        self._answer(self._client.stop_job, submission_id)
        deadline = time.monotonic() + timeout_seconds
        while not (state := self.state(submission_id)).has_ended:
            if time.monotonic() > deadline:
                raise ClusterError(f"{submission_id} is still {state.status} after {timeout_seconds:g} s")
            time.sleep(0.5)  # the Jobs API has no call that waits
        return state.status

    # --- private

    def _submit_when_ready(self, **request: Any) -> str:
        """Submits; a head that has just started answers before its agent can take jobs."""
        deadline = time.monotonic() + _AGENT_SECONDS
        while True:
            try:
                return str(self._ask(self._client.submit_job, **request))
            except RuntimeError as error:
                if "No available agent" not in str(error) or time.monotonic() > deadline:
                    raise
                time.sleep(1)

    def _check_is_new(self, submission_id: str | None) -> None:
        if submission_id is not None and submission_id in {state.submission_id for state in self.states()}:
            raise self._taken(submission_id)

    async def _tail(self, submission_id: str, output: TextIO, *, skip: int) -> int:
        """Copies a job's log from a place on until the connection ends; how far the log was then read."""
        import aiohttp

        read = 0
        # `follow` asks what has become of the job
        with contextlib.suppress(aiohttp.ClientError, OSError, RuntimeError):
            async for text in self._client.tail_job_logs(submission_id):
                output.write(text[max(0, skip - read) :])
                output.flush()
                read += len(text)
        return max(skip, read)

    def _answer(self, call: Callable[..., T], *arguments: Any) -> T:
        """What Ray's client answers, whose refusals are not expected."""
        try:
            return self._ask(call, *arguments)
        except RuntimeError as error:
            raise self._unexpected(error) from error

    def _ask(self, call: Callable[..., T], *arguments: Any, **options: Any) -> T:
        """What Ray's client answers. What it says of headers is not passed on: they have the token.

        Raises:
          ClusterError: If there is no answer, or the token is not accepted.
          RuntimeError: If the cluster refuses.
        """
        from ray.exceptions import AuthenticationError, RayError

        try:
            return call(*arguments, **options)
        except AuthenticationError as error:
            is_wrong = "Authentication failed" in str(error)
            raise ClusterError(
                f"{self.address} {'does not accept the token' if is_wrong else 'asks for a token'}.\n  "
                "Set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN to what 'ray get-auth-token' prints on the head"
            ) from None
        except OSError as error:  # those of requests too
            if "CERTIFICATE_VERIFY_FAILED" in f"{error}{error.__context__}":
                raise ClusterError(
                    f"{self.address} has a certificate that this machine does not trust: name a file with the one that "
                    "signed it with --verify FILE"
                ) from None
            if "InvalidHeader" in type(error).__name__:
                raise ClusterError(
                    "RAY_AUTH_TOKEN cannot be sent: it has a space before it, or an end of line"
                ) from None
            if error.filename is not None:  # of this machine: what an environment names, or certificates
                raise ClusterError(f"{error.filename}: {error.strerror}") from None
            raise ClusterError(self._nothing_answers()) from None
        except RayError as error:
            raise ClusterError(f"{self._nothing_answers()}: {_last_line(error)}") from error

    def _nothing_answers(self) -> str:
        return (
            f"no Ray dashboard answers at {self.address}\n  --address is the dashboard's, such as {_DEFAULT_ADDRESS}; "
            "it needs ray[default] on the head.\n  If a head is lost, so are its jobs, but not what they wrote: submit "
            "them again to go on"
        )

    def _taken(self, submission_id: str | None) -> ClusterError:
        return ClusterError(
            f"--submission-id {submission_id}: {self.address} already has a job of this id. Each submission needs a "
            "new one, also of the same job; without the option Ray makes one up"
        )

    def _unexpected(self, error: RuntimeError) -> ClusterError:
        return ClusterError(f"{self.address} answers with an error: {_last_line(error)}")


def _named(address: str | None) -> str:
    """The address to ask; RAY_ADDRESS may be that of a cluster, whose dashboard Ray finds."""
    dashboard = address or os.environ.get(_ADDRESS_VARIABLE)
    if dashboard:
        return dashboard if "://" in dashboard or dashboard == "auto" else f"http://{dashboard}"
    return os.environ.get("RAY_ADDRESS") or _DEFAULT_ADDRESS


def parse_json(text: str | None, *, option: str) -> dict[str, Any] | None:
    """The value of a JSON option, which may be a secret and is not repeated."""
    if text is None:
        return None
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise ClusterError(f"{option}: not JSON: {error}") from None
    if not isinstance(value, dict):
        raise ClusterError(f'{option}: must be a JSON object, such as {{"name": "value"}}')
    return value


def check_strings(value: Any, *, option: str) -> dict[str, str]:
    """Refuses what is no mapping of texts, without repeating it."""
    if isinstance(value, Mapping) and all(isinstance(item, str) for pair in value.items() for item in pair):
        return dict(value)
    raise ClusterError(f"{option}: must be names with texts, such as {{NAME: 'value'}}; put numbers in quotes")


def _state(details: Any) -> JobState:
    return JobState(
        submission_id=str(details.submission_id),
        job=(details.metadata or {}).get("harness_job"),
        status=str(details.status.value),
        started=_time(details.start_time),
        ended=_time(details.end_time),
        exit_code=details.driver_exit_code,
        message=details.message,
        entrypoint=details.entrypoint,
    )


def _time(milliseconds: int | None) -> datetime | None:
    return datetime.fromtimestamp(milliseconds / 1000, UTC) if milliseconds else None


def _check_headers(headers: Mapping[str, Any]) -> None:
    """Refuses what no request can have, without repeating it."""
    for name, value in headers.items():
        if not (isinstance(value, str) and value.isascii() and value.isprintable() and value == value.strip()):
            raise ClusterError(f"--headers: {name}: must be a text of one line in ASCII, without space around it")


@contextlib.contextmanager
def _variable(name: str, value: str) -> Iterator[None]:
    """Has a variable in the environment for the block."""
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def _last_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if any(letter.isalpha() for letter in line)]
    return lines[-1] if lines else type(error).__name__
