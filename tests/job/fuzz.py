"""Mutated job files: whatever is in a file, the answer is a job or a `JobError`, and soon.

    python -m tests.job.fuzz --num 10000 --seed 0

Each mutation is determined by the seed and its number, so that a finding can be made again with ``--only NUMBER``.
"""

from __future__ import annotations

import argparse
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import FrameType

from harness.errors import JobError
from harness.job.reading import parse_job
from harness.job.yaml_text import decode
from tests.job.mutations import mutated, texts

HANGS_AFTER = 10.0
"""Seconds after which a reading is stopped."""
SLOW_AFTER = 5.0
"""Seconds of a reading that are reported."""


@dataclass(frozen=True)
class Finding:
    """A reading that ended in something else than a job or a `JobError`, or too late."""

    number: int
    what: str
    seconds: float
    content: bytes
    trace: str = ""


def examine(number: int, content: bytes, reader: Callable[[bytes], object] | None = None) -> Finding | None:
    """Reads one file; None if the answer is a job or a `JobError`, and soon."""
    start = time.perf_counter()
    what = trace = ""
    try:
        with _alarm(HANGS_AFTER):
            (reader or read)(content)
    except JobError:
        pass
    except (Exception, SystemExit) as error:  # noqa: BLE001 - finding those is the purpose
        trace = traceback.format_exc()
        what = f"{type(error).__name__} at {_last_place(error)}"
    seconds = time.perf_counter() - start
    if not what and seconds > SLOW_AFTER:
        what = "slow"
    return Finding(number, what, seconds, content, trace) if what else None


def findings(num: int, seed: int, first: int = 0) -> Iterator[Finding]:
    """What `num` mutated job files bring to light."""
    corpus = texts()
    for number in range(first, first + num):
        found = examine(number, mutated(seed, number, corpus))
        if found:
            yield found


def shrunk(finding: Finding) -> bytes:
    """The finding's file without the lines that it needs not."""
    lines = finding.content.splitlines(keepends=True)
    index = 0
    while index < len(lines):
        fewer = lines[:index] + lines[index + 1 :]
        found = examine(finding.number, b"".join(fewer))
        if found and found.what == finding.what:
            lines = fewer
        else:
            index += 1
    return b"".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num", type=int, default=1000, help="how many job files")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="this number alone, and what is in its file")
    arguments = parser.parse_args()
    if arguments.only is not None:
        content = mutated(arguments.seed, arguments.only, texts())
        print(content.decode("utf-8", "backslashreplace"))
        found = examine(arguments.only, content)
        print(found.trace or found.what if found else "a job or a JobError, as it should be")
        return int(found is not None)
    # a file that makes the reading take all memory is to end in a MemoryError, not to take the machine down
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (8 * 2**30, hard))
    start = time.perf_counter()
    kinds: dict[str, list[Finding]] = {}
    for finding in findings(arguments.num, arguments.seed):
        kinds.setdefault(finding.what, []).append(finding)
    for what, same in kinds.items():
        smallest = min(same, key=lambda finding: len(finding.content))
        print(f"== {what}: {len(same)} files, such as --only {smallest.number} ({smallest.seconds:.1f} s)")
        print((shrunk(smallest) if what != "slow" else smallest.content[:2000]).decode("utf-8", "backslashreplace"))
        print(smallest.trace)
    num = sum(map(len, kinds.values()))
    print(
        f"{arguments.num} mutated job files in {time.perf_counter() - start:.0f} s: {num} wrongs of {len(kinds)} kinds"
    )
    return int(num > 0)


def read(content: bytes) -> object:
    return parse_job(decode(content, source="job.yaml"), source="job.yaml")


class _alarm:  # noqa: N801 - used like a function
    """Raises TimeoutError in the main thread after some seconds."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def __enter__(self) -> None:
        self._before = signal.signal(signal.SIGALRM, self._ring)
        signal.setitimer(signal.ITIMER_REAL, self._seconds)

    def __exit__(self, *_: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, self._before)

    @staticmethod
    def _ring(_signum: int, _frame: FrameType | None) -> None:
        raise TimeoutError(f"no answer after {HANGS_AFTER:g} s")


def _last_place(error: BaseException) -> str:
    """The innermost line of the harness that an exception went through."""
    places = [frame for frame in traceback.extract_tb(error.__traceback__) if "/harness/" in frame.filename]
    if not places:
        return "no line of the harness"
    return f"harness/{places[-1].filename.rpartition('/harness/')[2]}:{places[-1].lineno} in {places[-1].name}"


if __name__ == "__main__":
    sys.exit(main())
