"""All checks pass, and the table of statements is what the command line can rely on."""

from __future__ import annotations

import subprocess
import sys

import pytest

from harness.verification.findings import Finding, assess, at_least, at_most, close, holds
from harness.verification.statements import CHECKS, run_checks

EXPECTED = (
    *("optimal", "lemma1", "lemma2", "lemma3", "2.1", "2.2", "2.3", "2.4", "2.5", "asymmetry", "2.6", "bounded", "3.1"),
    *("corollary3.1", "3.2", "cancellation", "adversarial", "corollary3.2", "approach", "ownnoise", "lemma4", "3.3"),
    *("comparability", "dirac2", "dirac2.3", "dirac3.2", "dirac3.3", "plane", "momentum", "relativistic", "shares"),
    "ipm",
)


def test_the_statements_are_those_of_the_table_in_their_order() -> None:
    assert tuple(CHECKS) == EXPECTED


@pytest.mark.parametrize("statement", EXPECTED)
def test_the_statement_holds(statement: str) -> None:
    (finding,) = run_checks([statement])
    assert isinstance(finding, Finding)
    assert finding.statement == statement
    assert finding.passed, finding
    assert 0 <= finding.margin <= 1
    assert finding.seconds > 0


def test_two_runs_of_a_check_measure_the_same() -> None:
    first, second = (next(run_checks(["lemma4"])) for _ in range(2))
    assert (first.measured, first.margin) == (second.measured, second.margin)


def test_checks_run_in_the_order_of_the_table_whatever_was_asked_for() -> None:
    assert [finding.statement for finding in run_checks(["3.1", "2.5"])] == ["2.5", "3.1"]
    assert list(run_checks([])) == []


def test_an_unknown_statement_is_answered_at_the_call_with_the_valid_ones() -> None:
    with pytest.raises(
        ValueError, match=r"unknown statement 'lema4'. Did you mean 'lemma4'\?\n  Valid: 2.1, "
    ) as error:
        run_checks(["2.1", "lema4"])
    assert all(statement in str(error.value) for statement in EXPECTED)


def test_the_table_of_statements_loads_no_torch() -> None:
    code = "import sys, harness.verification; print({'torch', 'scipy', 'ray'} & set(sys.modules))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "set()"


def test_margins_are_shares_of_what_is_allowed() -> None:
    assert close(1.5, 1.0, tolerance=1.0) == 0.5
    assert close(3.0, 1.0, tolerance=1.0) == -1
    assert at_most(0.25, 1.0) == 0.75
    assert at_least(4.0, 1.0) == 0.75
    assert at_least(0.5, 1.0) == -1
    assert at_least(0.0, 1.0) < 0
    assert (holds(True), holds(False)) == (1, -1)


def test_the_worst_condition_decides_and_nan_is_a_failure() -> None:
    assert assess("", "", 0.5, 0.0).passed
    assert not assess("", "", 1.0, -1e-9).passed
    assert not assess("", "", 1.0, float("nan")).passed
    assert not assess("", "", float("nan"), 1.0).passed
