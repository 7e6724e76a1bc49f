"""Tables on terminals of any width, and text that a terminal shows and does not obey."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from rich.cells import cell_len

from harness.cli.options import plain, say
from harness.cli.printing.rendering import fit, form_of, listing, print_fitted, print_table, to_text, write_file
from harness.errors import HarnessError

WIDTHS = [40, 60, 80, 120, 200]
LONG = "exponential(end=0.05, start=0.5)"
NUMBERS = {"w1": [0.125, 0.25], "bound best": [1.5, 2.5], "grad norm": [11230.0, 0.5], "real w1": [0.1, 0.1]}
MEANS = pa.table({"loss": ["minimax", "non_saturating"], "sigma": ["0", LONG], "cells": [3, 3], **NUMBERS})
AXES, IMPORTANCE = ["loss", "sigma"], ["w1", "real w1", "bound best", "grad norm", "cells"]
OnTerminal = Callable[[int], None]


@pytest.fixture
def on_terminal(monkeypatch: pytest.MonkeyPatch) -> OnTerminal:
    """Makes rich take standard output for a terminal of a width."""

    def set_width(columns: int) -> None:
        monkeypatch.setenv("FORCE_COLOR", "1")
        monkeypatch.setenv("COLUMNS", str(columns))

    return set_width


def shown(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """What was printed, without colours."""
    return re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out).splitlines()


# --- what fits


@pytest.mark.parametrize("width", WIDTHS)
def test_axes_are_always_whole_and_no_number_is_cut(
    width: int, on_terminal: OnTerminal, capsys: pytest.CaptureFixture[str]
) -> None:
    on_terminal(width)
    left_out = print_fitted(MEANS, axes=AXES, importance=IMPORTANCE, way_out="Ask for them.")
    text = "\n".join(shown(capsys))
    assert all(axis in text for axis in ("minimax", "non_saturating", LONG))
    assert "…" not in text
    numbers = {"w1": ("0.125", "0.25"), "bound best": ("1.5", "2.5"), "grad norm": (r"1\.123e\+04", "0.5")}
    for name, values in numbers.items():
        assert all(re.search(rf"(^|\s){value}(\s|$)", text) for value in values) == (name not in left_out), name


@pytest.mark.parametrize(
    ("width", "names"),
    [
        # axes: 14 + 2 + 32 = 48; w1 takes 2 + 5 more, bound best 2 + 5, grad norm 2 + 9
        (47, []),
        (54, []),
        (55, ["w1"]),
        (61, ["w1"]),
        (62, ["w1", "bound best"]),
        (72, ["w1", "bound best"]),
        (73, ["w1", "bound best", "grad norm"]),
        (10_000, ["w1", "bound best", "grad norm"]),
    ],
)
def test_what_matters_most_is_shown_first_and_the_rest_is_named(width: int, names: list[str]) -> None:
    fitted = fit(MEANS, axes=AXES, importance=IMPORTANCE, width=width)
    assert fitted.table.column_names == [*AXES, *names]
    assert fitted.left_out == [name for name in ("w1", "bound best", "grad norm") if name not in names]


def test_a_table_as_wide_as_the_terminal_fits_in_its_lines(
    on_terminal: OnTerminal, capsys: pytest.CaptureFixture[str]
) -> None:
    """The arithmetic of `fit` is that of the table as printed."""
    on_terminal(73)
    print_fitted(MEANS, axes=AXES, importance=IMPORTANCE, way_out="")
    assert max(len(line) for line in shown(capsys)) == 73


def test_columns_that_are_the_same_in_every_row_are_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    print_fitted(MEANS, axes=AXES, importance=IMPORTANCE, way_out="")
    first, *table = shown(capsys)
    assert first == "In every row: cells 3, real w1 0.1"
    assert not any("real" in line for line in table)


def test_a_table_of_one_row_is_shown_as_it_is() -> None:
    fitted = fit(MEANS.slice(0, 1), axes=AXES, importance=IMPORTANCE, width=200)
    assert (fitted.constant, fitted.table.column_names) == ({}, MEANS.column_names)


def test_an_axis_whose_values_only_look_alike_is_shown() -> None:
    table = pa.table({"learning rate": [0.1, 0.1 + 1e-12], "w1": [1.0, 2.0]})
    fitted = fit(table, axes=["learning rate"], importance=["w1"], width=80)
    assert fitted.table.column_names == ["learning rate", "w1"]


def test_what_is_left_out_is_counted(on_terminal: OnTerminal, capsys: pytest.CaptureFixture[str]) -> None:
    # with numbers for labels: axes 7 + 2 + 5, w1 2 + 5, bound best 2 + 5, grad norm 2 + 9
    on_terminal(24)
    print_fitted(MEANS, axes=AXES, importance=IMPORTANCE, way_out="Ask for them.")
    assert shown(capsys)[-3:] == ["2 more columns:", "  bound best, grad norm", "Ask for them."]
    on_terminal(38)
    print_fitted(MEANS, axes=AXES, importance=IMPORTANCE, way_out="Ask for them.")
    assert shown(capsys)[-2] == "1 more column: grad norm"


COMPOUND = "roth(gamma=0.01) + gradient_penalty(weight=cosine(end=0, start=5)) + weight_clip(limit=0.01)"


def test_long_labels_give_way_to_numbers(on_terminal: OnTerminal, capsys: pytest.CaptureFixture[str]) -> None:
    penalties = [COMPOUND, COMPOUND.replace("0.01)", "0.02)"), "none"]
    table = pa.table({"loss": ["hinge"] * 3, "penalty": penalties, "w1": [0.125, 0.25, 0.5], "bound": [1.5, 2.5, 3.5]})
    on_terminal(80)
    assert print_fitted(table, axes=["loss", "penalty"], importance=["w1", "bound"], way_out="") == []
    lines = shown(capsys)
    assert lines[0] == "In every row: loss hinge"
    assert [line.split() for line in lines[3:6]] == [
        ["[1]", "0.125", "1.5"],
        ["[2]", "0.25", "2.5"],
        ["none", "0.5", "3.5"],
    ]
    assert max(map(len, lines[6:])) <= 80
    assert " ".join(line.strip() for line in lines[6:]) == f"[1] {penalties[0]} [2] {penalties[1]}"
    on_terminal(200)
    print_fitted(table, axes=["loss", "penalty"], importance=["w1", "bound"], way_out="")
    assert "[1]" not in "".join(shown(capsys))  # where there is room labels stay


def test_in_a_pipe_everything_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert print_fitted(MEANS, axes=AXES, importance=IMPORTANCE, way_out="") == []
    assert all("…" not in line for line in shown(capsys))


def test_a_list_breaks_between_its_items() -> None:
    text = listing(["w1 sliced 0.5", "bound best 2", "cells 3"], first="Same:", width=24)
    assert text == "Same: w1 sliced 0.5,\n  bound best 2, cells 3"


# --- answers of queries


WIDE: dict[str, Any] = {**{f"number_{n}": [1234.5, 0.125] for n in range(6)}, "text": ["word " * 20, "b"]}


def test_text_is_folded_before_a_number_would_be(on_terminal: OnTerminal, capsys: pytest.CaptureFixture[str]) -> None:
    on_terminal(80)
    print_table(pa.table(WIDE))
    lines = shown(capsys)
    assert max(map(len, lines)) <= 80
    assert [line.split()[:6] for line in lines if "1234" in line] == [["1234"] * 6]
    assert " ".join(lines).count("word") == 20


def test_an_answer_too_wide_is_a_block_of_lines_a_row(
    on_terminal: OnTerminal, capsys: pytest.CaptureFixture[str]
) -> None:
    on_terminal(40)
    print_table(pa.table(WIDE))
    lines = shown(capsys)
    assert lines[:2] == ["row 1 of 2", "number_0  1234"]
    assert lines.count("number_5  1234") == lines.count("number_5  0.125") == 1
    assert "row 2 of 2" in lines


def test_an_answer_in_a_pipe_is_one_table_however_wide(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(pa.table(WIDE))
    header, _, *rows = shown(capsys)
    assert header.split() == list(WIDE)
    assert len(rows) == 2


# --- files


@pytest.mark.parametrize("form", ["table", "json", "csv", "parquet"])
def test_a_file_in_a_missing_folder_is_a_clear_error(tmp_path: Path, form: Any) -> None:
    with pytest.raises(HarnessError, match=r"--output .*nowhere/a: there is no folder .*nowhere"):
        write_file(MEANS, tmp_path / "nowhere" / "a", form=form)


@pytest.mark.parametrize("form", ["table", "json", "csv", "parquet"])
def test_what_cannot_be_written_to_is_a_clear_error(tmp_path: Path, form: Any) -> None:
    with pytest.raises(HarnessError, match="cannot be written: Is a directory"):
        write_file(MEANS, tmp_path, form=form)
    (tmp_path / "file").touch()
    with pytest.raises(HarnessError, match="cannot be written: Not a directory"):
        write_file(MEANS, tmp_path / "file" / "a", form=form)
    with pytest.raises(HarnessError, match="cannot be written: "):
        write_file(MEANS, tmp_path / "a\0b", form=form)


def test_a_type_that_parquet_lacks_is_a_clear_error_and_leaves_no_file(tmp_path: Path) -> None:
    union = pa.UnionArray.from_sparse(pa.array([0], pa.int8()), [pa.array([1])])
    with pytest.raises(HarnessError, match=r"cannot be written: .*union"):
        write_file(pa.table({"a": union}), tmp_path / "a.parquet", form="parquet")
    assert list(tmp_path.iterdir()) == []


# --- text of users

EVIL = "[bold red]x[/] :smile: \x1b]0;title\x07\x1b[2J\r\x9b31m\ud800 \u202eabc\u2028"
HARMLESS = r"[bold red]x[/] :smile: \x1b]0;title\x07\x1b[2J\r\x9b31m\ud800 \u202eabc\u2028"


def test_what_a_terminal_would_obey_is_escaped_and_nothing_else() -> None:
    assert plain(EVIL) == HARMLESS
    readable = "Wärme, 温度, é, 😀, two\n\tlines: 0.5 ± 0.1"
    assert plain(readable) == readable


def test_a_message_is_printed_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    say(EVIL)
    assert capsys.readouterr().out == HARMLESS + "\n"


def test_cells_and_headers_of_a_table_are_printed_as_they_are(
    on_terminal: OnTerminal, capsys: pytest.CaptureFixture[str]
) -> None:
    name = EVIL.replace("\ud800", "")
    table = pa.table({name: [name, "温度\ttab"]})
    print_table(table)
    header, _, first, second = capsys.readouterr().out.splitlines()
    assert header.rstrip() == first.rstrip() == HARMLESS.replace(r"\ud800", "")
    assert second.rstrip() == "温度  tab"
    on_terminal(20)
    print_table(pa.table({**{f"n{n}": [1] for n in range(9)}, "text": [name]}))
    assert "\x1b[2J" not in capsys.readouterr().out


def test_wide_characters_count_for_the_room_they_take() -> None:
    table = pa.table({"loss": ["温度" * 5, "a"], "w1": [1.0, 2.0]})
    assert cell_len("温度" * 5) == 20
    assert fit(table, axes=["loss"], importance=["w1"], width=23).left_out == ["w1"]
    assert fit(table, axes=["loss"], importance=["w1"], width=24).left_out == []


def test_json_in_a_file_has_text_as_it_is(tmp_path: Path) -> None:
    write_file(pa.table({"a": ["\x1b[1m[b]"]}), tmp_path / "a.json", form="json")
    assert json.loads((tmp_path / "a.json").read_text()) == [{"a": "\x1b[1m[b]"}]


# --- Markdown and LaTeX

ODD = r"a_b|c & 50% $x^2$ #1 {q} ~ \ <b> [1] *"


def odd_table() -> pa.Table:
    return pa.table(
        {
            "odd_name|&": [ODD, "[1] first\nand second"],
            "w1": [-0.123456, None],
            "real w1": pa.array([float("-inf"), 2.0]),
        }
    )


def test_markdown_has_a_row_a_line_and_reads_back_as_what_it_was() -> None:
    text = to_text(odd_table(), form="markdown")
    lines = [re.split(r"(?<!\\)\|", line)[1:-1] for line in text.splitlines()]
    assert [cell.strip() for cell in lines[1]] == ["---", "--:", "--:"]
    back = [[re.sub(r"\\(.)", r"\1", cell.strip()).replace("<br>", "\n") for cell in line] for line in lines]
    assert back[0] == ["odd_name|&", "w1", "real w1"]
    assert back[2:] == [[ODD, "-0.1235", "-inf"], ["[1] first\nand second", "-", "2"]]


def test_markup_in_markdown_is_text_to_a_reader_of_it() -> None:
    from markdown_it import MarkdownIt

    tokens = MarkdownIt("commonmark").enable("table").parse(to_text(odd_table(), form="markdown"))
    texts = [token.children or [] for token in tokens if token.type == "inline"]
    assert "".join(child.content for child in texts[3]) == ODD
    assert {child.type for children in texts for child in children} <= {"text", "text_special", "html_inline"}


def test_latex_is_a_tabular_of_booktabs_in_which_nothing_acts() -> None:
    lines = to_text(odd_table(), form="latex").splitlines()
    assert lines[:3] == [r"\begin{tabular}{lrr}", r"\toprule", r"odd\_name\textbar{}\& & w1 & real w1 \\"]
    assert lines[3] == r"\midrule"
    assert lines[4].startswith(r"a\_b\textbar{}c \& 50\% \$x\textasciicircum{}2\$ \#1 \{q\} \textasciitilde{} ")
    assert lines[4].endswith(r" \textbackslash{} \textless{}b\textgreater{} {[}1] * & $-$0.1235 & $-$inf \\")
    # a row that begins with [ would be an option of the \\ before it
    assert lines[5:] == [r"{[}1] first and second & - & 2 \\", r"\bottomrule", r"\end{tabular}"]
    for line in lines[2:6]:
        if line != r"\midrule":
            assert len(re.findall(r"(?<!\\)&", line)) == 2


def test_the_end_of_a_name_says_which(tmp_path: Path) -> None:
    forms = {"x.md": "markdown", "X.MD": "markdown", "x.tex": "latex", "x.txt": "csv"}
    assert {name: form_of(Path(name)) for name in forms} == forms
    for name, form in (("x.md", "markdown"), ("x.tex", "latex")):
        write_file(odd_table(), tmp_path / name, form=form_of(tmp_path / name))
        assert (tmp_path / name).read_text() == to_text(odd_table(), form=form)  # type: ignore[arg-type]
