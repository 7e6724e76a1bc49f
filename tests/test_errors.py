"""Messages: safe for a terminal, whatever they quote."""

from __future__ import annotations

import pickle

import pytest

from harness.errors import HarnessError, JobError, printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("two\nlines\tand a tab", "two\nlines\tand a tab"),
        ("é 名前 😀 \u00a0.", "é 名前 😀 \u00a0."),
        ("\x1b[31mred\x07", "\\x1b[31mred\\x07"),
        ("over\rwritten", "over\\rwritten"),
        ("\x00\x7f\x9b", "\\x00\\x7f\\x9b"),
        ("\u202eright to left\u2066", "\\u202eright to left\\u2066"),
        ("half \ud800", "half \\ud800"),
        ("line\u2028line", "line\\u2028line"),
        ("tag \U000e0041", "tag \\U000e0041"),
        ("already \\x1b", "already \\x1b"),
    ],
)
def test_what_a_terminal_could_obey_is_escaped_and_newlines_stay(text: str, shown: str) -> None:
    assert printable(text) == shown
    assert str(HarnessError(text)) == shown
    shown.encode("utf-8")


def test_an_error_survives_its_way_between_processes() -> None:
    error = JobError("a\x1bb\nc")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is JobError
    assert str(again) == str(error) == "a\\x1bb\nc"


def test_an_error_without_a_text_is_empty() -> None:
    assert str(HarnessError()) == ""
