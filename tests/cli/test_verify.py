"""``harness verify`` as a user meets it: verdicts, formats, exit codes, and checks that break."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from harness.cli.app import app
from harness.verification import measures
from harness.verification.findings import Assessment, assess
from harness.verification.statements import CHECKS, Check, run_checks

from ..in_process import harness

FIELDS = ["statement", "title", "measured", "theory", "margin", "passed", "seconds"]
Replace = Callable[[Callable[[], Assessment]], None]


def strict_json(text: str) -> Any:
    """JSON as its standard has it, without Python's Infinity and NaN."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(text, parse_constant=refuse)


@pytest.fixture
def replace_2_3(monkeypatch: pytest.MonkeyPatch) -> Replace:
    """Puts another check in the place of Theorem 2.3's."""
    return lambda check: monkeypatch.setattr(measures, "theorem_2_3", check)


def verify(*arguments: str) -> tuple[int, str]:
    answer = CliRunner().invoke(app, ["verify", *arguments])
    assert answer.exception is None or isinstance(answer.exception, SystemExit), answer.exception
    return answer.exit_code, answer.stdout


def verdicts(text: str) -> list[tuple[str, str]]:
    lines = [line.split() for line in text.splitlines()]
    return [(words[0], words[1]) for words in lines if words[0] in ("pass", "FAIL")]


def test_statements_that_hold_are_listed_with_a_verdict_each_and_exit_code_0() -> None:
    answer = harness("verify", "--only", "2.3,2.5,3.2")
    assert answer.returncode == 0, answer.stderr
    assert verdicts(answer.stdout) == [("pass", "2.3"), ("pass", "2.5"), ("pass", "3.2")]
    assert f"JSD {math.log(2):.11g}, KL inf" in answer.stdout
    assert answer.stdout.splitlines()[-1].startswith("3 of 3 statements hold, ")
    assert answer.stderr == ""


def test_json_is_one_object_a_statement_with_the_fields_of_a_finding() -> None:
    code, text = verify("--json", "--only", " 2.5 , 2.3")
    rows = strict_json(text)
    assert code == 0
    assert [row["statement"] for row in rows] == ["2.3", "2.5"]
    for row in rows:
        assert list(row) == FIELDS
        assert row["passed"] is True
        assert 0 <= row["margin"] <= 1
        assert row["seconds"] > 0
        assert row["title"]
        assert row["measured"]
        assert row["theory"]
    assert rows[0]["measured"].startswith(f"JSD {math.log(2):.12g}, KL inf (finite sets)")


def test_a_statement_that_fails_is_named_and_ends_with_exit_code_1(replace_2_3: Replace) -> None:
    replace_2_3(lambda: assess("JSD 1.386", "JSD 0.693", 0.5, -0.25))
    code, text = verify("--only", "2.3,2.5")
    assert code == 1
    assert verdicts(text) == [("FAIL", "2.3"), ("pass", "2.5")]
    assert "measured JSD 1.386;" in text
    assert "theory JSD 0.693" in text
    assert "margin -0.250 " in text
    assert text.splitlines()[-1].startswith("1 of 2 statements hold, ")
    assert text.endswith("; failed: 2.3\n")


def test_a_failure_in_json_has_passed_false_and_exit_code_1(replace_2_3: Replace) -> None:
    replace_2_3(lambda: assess("a", "b", math.nan))
    code, text = verify("--json", "--only", "2.3,2.5")
    assert code == 1
    assert [row["passed"] for row in strict_json(text)] == [False, True]
    assert strict_json(text)[0]["margin"] == -math.inf


def raising() -> Assessment:
    raise ZeroDivisionError("[/red] no\nquotient")


def test_a_check_that_raises_is_a_failure_and_the_others_are_still_checked(replace_2_3: Replace) -> None:
    replace_2_3(raising)
    code, text = verify("--only", "2.3,2.5")
    assert code == 1
    assert verdicts(text) == [("FAIL", "2.3"), ("pass", "2.5")]
    line = raising.__code__.co_firstlineno + 1
    assert f"measured ZeroDivisionError: [/red] no quotient (test_verify.py:{line});" in text
    assert "Traceback" not in text
    code, text = verify("--json", "--only", "2.3,2.5")
    first, second = strict_json(text)
    assert code == 1
    assert list(first) == FIELDS
    assert first["measured"].startswith("ZeroDivisionError: [/red] no quotient")
    assert (first["passed"], first["margin"], second["passed"]) == (False, -math.inf, True)
    assert first["seconds"] >= 0


def test_an_exception_without_a_text_is_named_by_its_type_and_place(replace_2_3: Replace) -> None:
    def asserting() -> Assessment:
        raise AssertionError

    replace_2_3(asserting)
    (finding,) = run_checks(["2.3"])
    assert str(finding.measured).startswith("AssertionError (test_verify.py:")
    assert not finding.passed


def test_a_check_that_cannot_be_loaded_is_a_failure_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CHECKS, "2.3", Check("a title", "nosuch", "function"))
    first, second = run_checks(["2.3", "2.5"])
    assert "No module named 'harness.verification.nosuch'" in str(first.measured)
    assert (first.title, first.passed, second.passed) == ("a title", False, True)


def test_threads_are_as_before_after_a_check_that_raised(replace_2_3: Replace) -> None:
    seen: list[int] = []

    def looking() -> Assessment:
        seen.append(torch.get_num_threads())
        raise RuntimeError

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        replace_2_3(looking)
        list(run_checks(["2.3"]))
        assert (seen, torch.get_num_threads()) == ([1], 2)
    finally:
        torch.set_num_threads(before)


def test_an_interruption_is_no_failure_of_a_statement(replace_2_3: Replace) -> None:
    def interrupted() -> Assessment:
        raise KeyboardInterrupt

    replace_2_3(interrupted)
    with pytest.raises(KeyboardInterrupt):
        list(run_checks(["2.3"]))


def test_an_unknown_statement_is_answered_with_a_near_one_and_exit_code_2() -> None:
    answer = harness("verify", "--only", "2.3,lema4")
    assert answer.returncode == 2
    assert "--only: unknown statement 'lema4'. Did you mean 'lemma4'?" in answer.stderr
    assert "Valid: 2.1, 2.2" in answer.stderr
    assert answer.stdout == ""
