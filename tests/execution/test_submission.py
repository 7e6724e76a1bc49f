"""What is asked of a cluster's Jobs API, and what its answers become; `test_jobs_api.py` asks a real one."""

from __future__ import annotations

import io
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
import requests
from ray.exceptions import AuthenticationError

import harness
from harness.errors import ClusterError
from harness.execution.ray.parcel import command_for
from harness.execution.ray.submission import Cluster, Submission, parse_json
from tests.conftest import TRAIN
from tests.searches import HEAD, search_of

GRID = harness.load_job(TRAIN)
SEARCH = search_of(HEAD + "epochs: 2\nspace: {schedule: {constant: {sigma: {low: 0.1, high: 1}}}}\n")
STARTED = 1_700_000_000_000  # 2023-11-14 22:13:20 UTC


class Head:
    """A Jobs API that refuses a number of times, and tells of a job what it is told to."""

    def __init__(self, refusals: int = 0, text: str = "", *, statuses: tuple[str, ...] = ("SUCCEEDED",)) -> None:
        self.refusals, self.text = refusals, text
        self.files: set[str] = set()
        self.request: dict[str, Any] = {}
        self.statuses = list(statuses)
        self.log: list[str | Exception] = []
        self.error: Exception | None = None

    def submit_job(self, **request: Any) -> str:
        if self.refusals:
            self.refusals -= 1
            raise RuntimeError(f"Request failed with status code 500: {self.text}")
        self.request = request
        if "runtime_env" in request:
            folder = Path(request["runtime_env"]["working_dir"])
            self.files = {path.relative_to(folder).as_posix() for path in folder.rglob("*.py")}
        return str(request["submission_id"])

    def get_job_info(self, submission_id: str) -> Any:
        if self.error:
            raise self.error
        if submission_id != "one":
            raise RuntimeError(f"Request failed with status code 404: Job {submission_id} does not exist.")
        return self._one()

    def _one(self) -> Any:
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        has_ended = status not in ("PENDING", "RUNNING")
        return SimpleNamespace(
            submission_id="one",
            metadata={"harness_job": "tiny"},
            status=SimpleNamespace(value=status),
            start_time=STARTED,
            end_time=STARTED + 90_000 if has_ended else None,
            driver_exit_code={"SUCCEEDED": 0, "FAILED": 3}.get(status),
            message="as told",
            entrypoint="python",
        )

    def list_jobs(self) -> list[Any]:
        return [self._one(), SimpleNamespace(submission_id=None)]

    async def tail_job_logs(self, submission_id: str) -> AsyncIterator[str]:
        """The log from its beginning, up to where the connection is closed; the next goes further."""
        for number, item in enumerate(self.log):
            if isinstance(item, Exception):
                del self.log[number]
                raise item
            yield item


def cluster(head: Head, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    made = object.__new__(Cluster)
    made._client, made.address = head, "http://head:8265"
    return made


# --- submitting


def test_a_head_that_has_just_started_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    head = Head(3, "No available agent to submit job, please try again later.")
    assert cluster(head, monkeypatch)._submit_when_ready(submission_id="one") == "one"


def test_any_other_refusal_is_an_error_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    head = Head(1, "no room")
    with pytest.raises(RuntimeError, match="no room"):
        cluster(head, monkeypatch)._submit_when_ready(submission_id="one")
    assert head.refusals == 0


def test_the_packages_that_the_jobs_own_parts_come_from_travel_along(monkeypatch: pytest.MonkeyPatch) -> None:
    head = Head()
    job = harness.load_job({**TRAIN, "grid": {**TRAIN["grid"], "penalty": ["noiselab.parts:LogitNorm"]}})
    said: list[str] = []
    made = cluster(head, monkeypatch)
    submission = Submission(submission_id="two")
    assert made.submit(job, command_for(job, results="/r"), submission, announce=said.append) == "two"
    wanted = {"noiselab/parts.py", "noiselab/constants.py", "harness/__init__.py", "harness/job/parts/penalties.py"}
    assert wanted <= head.files
    assert not any(name.startswith("pydantic") for name in head.files)
    (line,) = said
    assert line.startswith("sends job.yaml, harness, noiselab (")
    assert line.endswith("; results go to the folder /r on the cluster's machines, which is one here only if shared")


def test_the_environment_of_a_job_is_passed_and_its_names_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    head, said = Head(), list[str]()
    given = {"env_vars": {"AWS_REGION": "eu", "AWS_SECRET_ACCESS_KEY": "hidden"}, "pip": ["x"]}
    command = command_for(SEARCH, results="/r", storage="postgresql://me:hidden@db/studies")
    submission = Submission(submission_id="two", runtime_env=given)
    cluster(head, monkeypatch).submit(SEARCH, command, submission, announce=said.append)
    environment = head.request["runtime_env"]
    assert environment["env_vars"] == {
        "AWS_REGION": "eu",
        "AWS_SECRET_ACCESS_KEY": "hidden",
        "HARNESS_STORAGE": "postgresql://me:hidden@db/studies",
    }
    assert environment["pip"] == ["x"]
    assert "hidden" not in head.request["entrypoint"] + str(head.request["metadata"]) + said[0]
    assert " and the variables AWS_REGION, AWS_SECRET_ACCESS_KEY, HARNESS_STORAGE; " in said[0]
    assert given["env_vars"] == {"AWS_REGION": "eu", "AWS_SECRET_ACCESS_KEY": "hidden"}


@pytest.mark.parametrize("variables", [["hidden"], {"NAME": 3}, "hidden"])
def test_an_environment_of_other_than_texts_is_refused(variables: object, monkeypatch: pytest.MonkeyPatch) -> None:
    submission = Submission(runtime_env={"env_vars": variables})
    with pytest.raises(ClusterError, match="--runtime-env: env_vars: must be names with texts") as refusal:
        cluster(Head(), monkeypatch).submit(GRID, command_for(GRID, results="/r"), submission)
    assert "hidden" not in str(refusal.value)


def test_a_working_dir_in_the_environment_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    submission = Submission(runtime_env={"working_dir": "."})
    with pytest.raises(ClusterError, match="working_dir: name the folder with --working-dir"):
        cluster(Head(), monkeypatch).submit(GRID, command_for(GRID, results="/r"), submission)


@pytest.mark.parametrize("given", ["one", "raced"])
def test_an_id_that_is_used_is_said(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Known before anything travels, or, where another takes it meanwhile, from the cluster's refusal."""
    head = Head(1, "Job with submission_id raced already exists. Please use a different submission_id.")
    with pytest.raises(ClusterError, match=f"--submission-id {given}: http://head:8265 already has a job of this id"):
        cluster(head, monkeypatch).submit(GRID, command_for(GRID, results="/r"), Submission(submission_id=given))
    assert head.refusals == (1 if given == "one" else 0)


# --- asking


def test_a_state_has_times_and_an_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    made = cluster(Head(statuses=("RUNNING", "FAILED")), monkeypatch)
    running, failed = made.state("one"), made.state("one")
    assert (running.has_ended, running.has_succeeded, running.exit_code) == (False, False, None)
    assert (failed.has_ended, failed.has_succeeded, failed.exit_code, failed.seconds) == (True, False, 3, 90.0)
    assert failed.started is not None
    assert failed.started.isoformat() == "2023-11-14T22:13:20+00:00"


def test_an_unknown_id_and_another_error_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    head = Head()
    made = cluster(head, monkeypatch)
    with pytest.raises(ClusterError, match=r"has no job 'two'\. Known: one"):
        made.state("two")
    head.error = RuntimeError("Request failed with status code 500: Traceback\n  File x\nKeyError: 'what'")
    with pytest.raises(ClusterError, match="answers with an error: KeyError: 'what'"):
        made.state("one")


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (AuthenticationError("Authentication required: Unauthorized"), "asks for a token"),
        (AuthenticationError("Authentication failed: Forbidden"), "does not accept the token"),
        (requests.exceptions.ConnectionError("HTTPConnectionPool(...)"), "no Ray dashboard answers at http://head"),
        (requests.exceptions.SSLError("CERTIFICATE_VERIFY_FAILED"), "a certificate that .* with --verify FILE"),
        (requests.exceptions.InvalidHeader("in header value: 'Bearer hidden'"), "RAY_AUTH_TOKEN cannot be sent"),
        (requests.exceptions.JSONDecodeError("hidden", "hidden", 0), "no Ray dashboard answers"),
        (FileNotFoundError(2, "No such file or directory", "needs.txt"), "^needs.txt: No such file or directory$"),
    ],
)
def test_what_goes_wrong_between_is_a_sentence_that_repeats_no_token(
    error: Exception, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = Head()
    head.error = error
    with pytest.raises(ClusterError, match=text) as sentence:
        cluster(head, monkeypatch).state("one")
    assert "hidden" not in str(sentence.value)
    assert sentence.value.__cause__ is None
    if isinstance(error, AuthenticationError):
        assert all(word in str(sentence.value) for word in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "ray get-auth-token"))


# --- following


def test_a_log_whose_connection_breaks_goes_on_where_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    head = Head(statuses=("RUNNING", "RUNNING", "RUNNING", "RUNNING", "FAILED"))
    head.log = ["first\n", RuntimeError("closed unexpectedly"), "half a ", aiohttp.ClientError("cut"), "line\n"]
    output = io.StringIO()
    assert cluster(head, monkeypatch).follow("one", output) == 3
    assert output.getvalue() == "first\nhalf a line\n"


def test_a_stopped_job_has_exit_code_1(monkeypatch: pytest.MonkeyPatch) -> None:
    assert cluster(Head(statuses=("STOPPED",)), monkeypatch).follow("one", io.StringIO()) == 1


# --- connecting


def test_the_address_that_is_given_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray would take those of its variables first; nothing listens at any of these."""
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", "http://127.0.0.1:2")
    monkeypatch.setenv("RAY_ADDRESS", "http://127.0.0.1:3")
    asked: list[str] = []

    def request(method: str, url: str, **options: Any) -> Any:
        asked.append(url)
        raise requests.exceptions.ConnectionError

    monkeypatch.setattr(requests, "request", request)
    with pytest.raises(ClusterError, match=r"no Ray dashboard answers at http://127\.0\.0\.1:1\n"):
        Cluster("127.0.0.1:1")
    with pytest.raises(ClusterError, match=r"no Ray dashboard answers at http://127\.0\.0\.1:2\n"):
        Cluster(None)
    assert os.environ["RAY_API_SERVER_ADDRESS"] == "http://127.0.0.1:2"
    monkeypatch.delenv("RAY_API_SERVER_ADDRESS")
    with pytest.raises(ClusterError, match=r"no Ray dashboard answers at http://127\.0\.0\.1:3\n"):
        Cluster(None)
    assert asked == [f"http://127.0.0.1:{port}/api/version" for port in (1, 2, 3)]


@pytest.mark.parametrize("value", ["hid\nden", " hidden", "hiddén", 3])
def test_headers_that_cannot_be_sent_are_not_repeated(value: object) -> None:
    with pytest.raises(ClusterError, match="--headers: Authorization: must be a text") as refusal:
        Cluster("http://127.0.0.1:1", headers={"Authorization": value})
    assert "hid" not in str(refusal.value)


def test_json_that_is_none_is_not_repeated() -> None:
    for text in ('"hidden"', "hidden"):
        with pytest.raises(ClusterError, match="--headers: ") as refusal:
            parse_json(text, option="--headers")
        assert "hidden" not in str(refusal.value)


def test_a_file_of_certificates_that_is_not_there_is_named() -> None:
    with pytest.raises(ClusterError, match=r"--verify nowhere\.pem: no such file"):
        Cluster("http://127.0.0.1:1", verify="nowhere.pem")
