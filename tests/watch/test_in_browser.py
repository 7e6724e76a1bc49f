"""``harness watch`` beside a real run, in a real browser: rows appear, the run is killed, and that is said."""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from harness.job.job import Job
from harness.storage.query import Results
from harness.storage.store import Store
from tests.browser import Tab, chromium
from tests.execution.test_cluster import ENVIRONMENT, command, wait_for
from tests.execution.test_live import started

COUNT = "() => Number((document.querySelector('.shown')?.textContent.match(/\\d+(?= rows)/) || [0])[0])"


def watching(*words: str) -> tuple[subprocess.Popen[str], str]:
    """The command in a process of its own, and the address that it prints."""
    process = subprocess.Popen(
        command("watch", *words), env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Its exit code, and what it has said, after Ctrl-C."""
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=20)
    return process.returncode, said


@pytest.mark.slow
def test_rows_appear_and_a_killed_run_is_said_to_be(
    train_job: Callable[..., Job], store: Store, tmp_path: Path
) -> None:
    job = train_job(training={"steps_per_epoch": 300}, grid={"seed": list(range(20))}, resources={"pack": 2})
    run = started(job, store.root, tmp_path)
    server = None
    try:
        wait_for(lambda: bool(store.jobs() and store.parts("cells", job="tiny")), seconds=60, process=run)
        server, url = watching("tiny", "--results", store.root)
        with chromium() as browser:
            tab = Tab(browser)
            page = tab.open(url)
            page.set_default_timeout(120_000)  # a report is read a quarter of the time at most, however long that takes
            page.wait_for_function(f"({COUNT})() > 0")
            assert page.inner_text("#live .standing") == "running"
            assert str(run.pid) in page.inner_text("#live .packs")
            page.focus("select[name=metric]")  # where a reader's choice leaves it
            page.select_option("select[name=metric]", index=2)
            chosen = page.input_value("select[name=metric]")
            first = page.evaluate(COUNT)
            page.wait_for_function(f"({COUNT})() > {first}")
            assert page.input_value("select[name=metric]") == chosen
            run.kill()
            run.wait()
            page.wait_for_function("document.querySelector('#live .standing').textContent === 'killed'")
            num = len(Results(store.root).cells("tiny"))
            page.wait_for_function(
                f"document.querySelector('#live .sentence').textContent.includes(', {num} of 160 cells')"
            )
            assert re.match(r"The run was killed at \d\d:\d\d:\d\d, ", page.inner_text("#live .sentence"))
            assert page.inner_text("#live .again").startswith(f"harness run {store.root}/tiny/job.yaml")
            assert "The run was killed" in page.text_content("#live .said")  # for those who listen
            # Vega warns of pictures in which there is no number yet
            assert [text for text in tab.complaints if not text.startswith("warning: WARN Infinite extent")] == []
            assert {urlsplit(asked).path for asked in tab.requests} <= {"/state", "/report", "/"}
            assert ended(server) == (0, "Ctrl-C ends it\n")
            page.wait_for_selector("#live .problem:visible")
            assert "The server of this page does not answer" in page.inner_text("#live .problem")
    finally:
        run.kill()
        if server is not None:
            server.kill()
