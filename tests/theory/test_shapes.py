"""Wrong shapes are caught under test, in every module whose annotations give them, and cost users nothing."""

from __future__ import annotations

import importlib
import inspect
import subprocess
import sys

import pytest
import torch
from jaxtyping import TypeCheckError

from harness.theory.sliced import Projections, project
from harness.theory.statistics import hill_tail_index, standardised
from harness.theory.transport import w1
from tests.shapes import MODULES


@pytest.mark.parametrize("name", MODULES)
def test_the_functions_of_the_module_are_checked(name: str) -> None:
    module = importlib.import_module(name)
    functions = [
        function
        for function in vars(module).values()
        if inspect.isfunction(function) and function.__module__ == name and function.__annotations__
    ]
    assert functions
    assert all(hasattr(function, "__wrapped__") for function in functions)


def test_an_axis_too_few_is_caught() -> None:
    with pytest.raises(TypeCheckError, match="parameter 'samples'"):
        standardised(torch.zeros(10))


def test_an_axis_too_many_is_caught() -> None:
    with pytest.raises(TypeCheckError, match="parameter 'values'"):
        hill_tail_index(torch.zeros(10, 1))


def test_two_arguments_that_do_not_fit_together_are_caught() -> None:
    with pytest.raises(TypeCheckError, match="parameter 'fake'"):
        w1(torch.zeros(4, 2), torch.zeros(4, 3))
    with pytest.raises(TypeCheckError, match="fake"):
        Projections(torch.zeros(3, 4, dtype=torch.float64), torch.zeros(2, 4, dtype=torch.float64))


def test_another_kind_of_number_is_caught() -> None:
    with pytest.raises(TypeCheckError, match="parameter 'real'"):
        w1(torch.zeros(4, 2, dtype=torch.int64), torch.zeros(4, 2))
    with pytest.raises(TypeCheckError, match="parameter 'directions'"):
        project(torch.zeros(4, 2), torch.zeros(4, 2), torch.ones(1, 2))


def test_a_result_of_the_wrong_shape_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    projections = Projections(torch.zeros(3, 4, dtype=torch.float64), torch.ones(3, 4, dtype=torch.float64))
    monkeypatch.setattr(torch, "maximum", lambda a, b: torch.ones(2, 3, dtype=torch.float64))
    with pytest.raises(TypeCheckError, match="return value"):
        projections.ranges()


def test_outside_of_tests_nothing_is_checked_and_no_checker_is_loaded() -> None:
    code = (
        f"import sys, importlib; modules = [importlib.import_module(name) for name in {MODULES}]\n"
        "values = [value for module in modules for value in vars(module).values()]\n"
        "print([value for value in values if hasattr(value, '__wrapped__')], 'beartype' in sys.modules)"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[] False"
