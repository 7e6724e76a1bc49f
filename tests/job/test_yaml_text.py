"""Hostile and broken YAML: a message with its place, soon, and no traceback."""

from __future__ import annotations

import math
import re
import time
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from harness.errors import JobError
from harness.job import yaml_text
from harness.job.reading import dump_job, load_job, parse_job
from harness.job.yaml_text import MAX_BYTES, MAX_DEPTH, MAX_NODES, decode, read_yaml
from tests.job.mutations import texts
from tests.job.test_reading import GOOD

LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)  # 9^9 values
MERGED_LAUGHS = "a: &a {x: 1}\n" + "".join(
    f"{name}: &{name} {{<<: [{', '.join([f'*{before}'] * 9)}]}}\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)

HOSTILE = {
    "a billion laughs": (LAUGHS, "5:28", "more than 50,000 values; its aliases repeat too much"),
    "a billion merged laughs": (MERGED_LAUGHS, "6:17", "more than 50,000 values; its aliases repeat too much"),
    "a list within itself": ("a: &a [*a]\n", "1:8", "the alias *a stands within what it stands for"),
    "a mapping merged into itself": ("a: &a {<<: *a}\n", "1:12", "the alias *a stands within what it stands for"),
    "the document within itself": ("&a\nname: *a\n", "2:7", "the alias *a stands within what it stands for"),
    "an alias of nothing": ("name: *a\n", "1:7", "not YAML: found undefined alias 'a'"),
    "an anchor twice": ("name: &a x\nb: &a y\n", "2:4", "the anchor &a is there twice; choose another name"),
    "a number merged": ("name: x\n<<: 3\n", "2:5", "<< merges a mapping or a list of mappings"),
    "a number merged in a list": ("a: &a {}\n<<: [*a, 3]\n", "2:10", "<< merges a mapping or a list of mappings"),
    "merged twice": ("a: &a {}\n<<: *a\n<<: *a\n", "3:1", 'duplicate key "<<"; remove one of them'),
    **{
        f"the tag {tag}": (f"name: x\nb: {tag}\n", "2:4", "a job file has no tags; write a number without one")
        for tag in (
            *(
                "!!float x",
                "!!int x",
                "!!float 1",
                "!!bool x",
                "!!timestamp x",
                "!!binary '@'",
                "!!set {a}",
                "!!null x",
            ),
            *(
                "!!python/object/apply:os.system [ls]",
                "!unknown x",
                "! x",
                "!<tag:yaml.org,2002:int> x",
                "!!omap [a: 1]",
            ),
            *("!!str", "!e!x y", "!!map [a]"),
        )
    },
    "a YAML directive": ("%YAML 1.1\n---\nname: on\n", "1:1", "no YAML directives; remove this line"),
    "a tag directive": ("%TAG ! tag:x,2000:\n---\nname: x\n", "1:1", "no YAML directives; remove this line"),
    "two documents": ("name: x\n---\nname: y\n", "2:1", "a second document starts here; a job file holds one"),
    "two empty documents": ("---\n---\n", "2:1", "a second document starts here"),
    "a list as a key": ("name: x\n? [a, b]\n: 1\n", "2:3", "a key must be a text, this one is a list; remove it"),
    "a mapping as a key": ("{{a: 1}: 2}\n", "1:2", "a key must be a text, this one is a mapping; remove it"),
    "nothing as a key": ("name: x\n: 1\n", "2:1", "a key must be a text, this one is empty; remove it"),
    "null as a key": ("name: x\nnull: 1\n", "2:1", "a key must be a text, this one is empty"),
    "a number as a key": (
        "name: x\nb: {1: 2}\n",
        "2:5",
        "a key must be a text, this one is a number; put it in quotes",
    ),
    "a float as a key": ("1.5: 2\n", "1:1", "a key must be a text, this one is a number; put it in quotes"),
    "a truth as a key": ("true: 2\n", "1:1", "a key must be a text, this one is true or false; put it in quotes"),
    "a list as a key by alias": ("a: &a [x]\n*a : 1\n", "2:1", "a key must be a text, this one is a list"),
    "a key twice": ("name: x\nb: {name: 1, name: 2}\n", "2:14", 'duplicate key "name"; remove one of them'),
    "a key twice, once in quotes": ("name: x\n'name': y\n", "2:1", 'duplicate key "name"; remove one of them'),
    "a key twice, once by alias": ("&a name: x\n*a : y\n", "2:1", 'duplicate key "name"; remove one of them'),
    "an integer of 5,000 digits": (f"name: x\nb: {'7' * 5000}\n", "2:4", "a number of 5,000 characters; at most 1,000"),
    "a float of 5,000 digits": (f"name: x\nb: [.{'7' * 4999}]\n", "2:5", "a number of 5,000 characters"),
    "a hexadecimal of 5,000 digits": (f"b: 0x{'f' * 4998}\n", "1:4", "a number of 5,000 characters"),
    **{
        f"the number {number}": (f"name: x\nb: {number}\n", "2:4", "a number without digits; put the text in quotes")
        for number in ("-_", "+__", "._", "0x_", "-0b_", "0o_")
    },
    "a text of 20,000 characters": (f"name: {'x' * 20000}\n", "1:7", "a text of 20,000 characters; at most 10,000"),
    "brackets without end": (f"name: {'[' * 3000}", "1:71", f"nested too deeply, in more than {MAX_DEPTH} lists"),
    "braces without end": (f"name: {'{a: ' * 3000}", "1:260", "is nested too deeply"),
    "dashes without end": (f"name:\n{'- ' * 3000}", "2:129", "is nested too deeply"),
    "closed brackets without end": (f"name: {'[' * 3000}{']' * 3000}", "1:71", "is nested too deeply"),
    "a NUL": ("name: x\nb: y\x00z\n", "2:5", "the character U+0000 has no place here; remove it"),
    "an escape sequence": ("name: \x1b[31mred\n", "1:7", "the character U+001B has no place here; remove it"),
    "a form feed": ("name: x\n\x0cb: y\n", "2:1", "the character U+000C has no place here"),
    "a control character of Latin-1": ("# \x9b31m\nname: x\n", "1:3", "the character U+009B has no place here"),
    "half a pair": ("name: x\nb: \ud800\n", "2:4", "the character U+D800 has no place here"),
    "half a pair, written out": ('name: x\nb: "\\ud800"\n', "2:4", "the text holds the character U+D800"),
    "half a pair in a key": ('name: x\n"\\udfff": y\n', "2:1", "the text holds the character U+DFFF"),
    "NUL, written out": ('problem: {name: arrays, path: "a\\0"}\n', "1:31", "the text holds the character U+0000"),
    "escape, written out": ('name: "\\e[31m"\n', "1:7", "the text holds the character U+001B"),
    "no code point": ('name: "\\UFFFFFFFF"\n', "1:", "this escape is no character; write \\\\ for a backslash"),
    "no character": ("name: \uffff\n", "1:7", "the character U+FFFF has no place here"),
    "a tab before a key": ("name: x\nb:\n\tc: 1\n", "3:1", "a tab indents this line; use spaces"),
    "a tab after spaces": ("name: x\nb:\n  \tc: 1\n", "3:3", "a tab indents this line; use spaces"),
    "a bracket that never closes": ("name: [a\n", "2:1", "not YAML"),
    "too many values": (f"name: [{'x,' * MAX_NODES}]\n", "1:", "the file holds more than 50,000 values"),
    "too long": ("# " + "x" * MAX_BYTES, "1:1", "is longer than 1,000,000 characters"),
    "nothing": ("", "1:1", "this one is empty"),
    "comments alone": ("# nothing\n---\n# more\n", "1:1", "this one is empty"),
    "a list": ("- name: x\n", "1:1", "this one holds a list"),
    "a date": ("2001-01-01\n", "1:1", "this one holds one value"),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_yaml_gets_a_message_with_its_place_and_soon(what: str) -> None:
    text, place, says = HOSTILE[what]
    start = time.perf_counter()
    with pytest.raises(JobError) as caught:
        read_yaml(text, source="job.yaml")
    assert time.perf_counter() - start < 20  # most take a millisecond, reading 50,000 values some 3 s
    message = str(caught.value)
    assert says in message
    assert message.startswith(f"job.yaml:{place}" if place.endswith(":") else f"job.yaml:{place}: ")
    assert len(message) < 500
    assert message.isprintable()


@pytest.mark.parametrize("problem", ["mnist", "fashion_mnist", "cifar10", "image_folder", "arrays"])
@pytest.mark.parametrize("length", [300, 5000])  # a name on most file systems has at most 255 bytes, a path 4,096
def test_a_path_that_is_too_long_is_a_folder_that_is_not_there(problem: str, length: int) -> None:
    key = "path" if problem == "arrays" else "root"
    with pytest.raises(JobError, match=r"^<job>:3:\d+: problem.*(no such|has no)"):
        parse_job(GOOD.replace("{name: ring}", f"{{name: {problem}, {key}: {'x' * length}}}"))


@pytest.mark.parametrize("epochs", ["3e25", "30000000000000000000000000", "9" * 900])
def test_epochs_beyond_all_limits_are_refused_where_they_stand(epochs: str) -> None:
    search = Path("jobs/tune_ring.yaml").read_text(encoding="utf-8").replace("epochs: 30", f"epochs: {epochs}")
    with pytest.raises(JobError, match=r"<job>:15:9: epochs: must be "):
        parse_job(search)
    with pytest.raises(JobError, match=r"<job>:11:11: grid\.epoch\[0\]: must be "):
        parse_job(GOOD.replace("[1, 2]", f"[{epochs}]"))


# --- what stays YAML ----------------------------------------------------------------------------------------------

SCALARS = [
    *("0", "-0", "+1", "12", "-12", "1_000", "0x1F", "-0xff", "0o17", "0b101", "012", "1e3", "1E-3", "-1.5e+3", "1."),
    *(".5", "-.5e-3", "1_0.5_0", ".inf", "-.INF", "+.inf", "1e400", "1e-400", "3e25", "9" * 30, "9" * 900, "0.1"),
    *("true", "False", "TRUE", "null", "~", "Null", "", "on", "yes", "No", "y", "x", "'1'", '"true"', "1 2", "<<x"),
    *(
        "1:30",
        "0x",
        "1e",
        ".",
        "+",
        "_1",
        "e3",
        "1.2.3",
        "'<<'",
        "é",
        "名前",
        "😀",
        '"\\u00e9"',
        "x\u00a0y",
        "'a''b'",
    ),
    *("[]", "{}", "[a, {b: [1, 2.5]}]", "|\n  x\n  y\n", ">-\n  x\n  y\n", "&a 3", "&b x", "&c [1]", "{? a : 1}"),
]


def _rt(text: str) -> Any:
    """What ruamel.yaml's own constructor makes of a text."""
    return YAML(typ="rt").load(text)


def _places(node: Any) -> Any:
    """Where the entries of a mapping or sequence are: ruamel's own attribute of its dicts and lists."""
    return node.lc.data or {}


def _same(ours: Any, other: Any) -> bool:
    """Equal, of equal kinds, in equal order, with equal places. ruamel's numbers are subclasses of Python's."""
    if isinstance(other, dict):
        return (
            list(ours) == list(other)
            and _places(ours) == _places(other)
            and all(_same(ours[key], other[key]) for key in other)
        )
    if isinstance(other, list):
        return _places(ours) == _places(other) and len(ours) == len(other) and all(map(_same, ours, other))
    kind = next((kind for kind in (bool, int, float, str) if isinstance(other, kind)), type(None))
    return type(ours) is kind and ours == other and str(ours) == str(kind(other) if other is not None else None)


@pytest.mark.parametrize("scalar", SCALARS)
def test_values_and_places_are_those_of_ruamel(scalar: str) -> None:
    text = f"first: x\nvalue: {scalar}\n"
    document, _ = read_yaml(text, source="job.yaml")
    assert _same(document, _rt(text))


MERGES = [
    "a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3, z: 4}\nc: {z: 4, <<: *a}\n",
    "a: &a {x: 1, y: 2}\nb: &b {y: 3, z: 4}\nc: {<<: [*a, *b], w: 5}\nd: {<<: [*b, *a]}\n",
    "a: &a {x: 1}\nb: &b {<<: *a, y: [1, {q: 2}]}\nc:\n  <<: *b\n  x: 7\n",
    "a: &a [1, {x: 2}]\nb: *a\nc: [*a, *a]\n",
    "b: {<<: {x: 1}, y: 2}\n",
]


@pytest.mark.parametrize("text", [*MERGES, *texts()])
def test_merged_mappings_and_whole_jobs_are_those_of_ruamel(text: str) -> None:
    document, content = read_yaml(text, source="job.yaml")
    assert _same(document, _rt(text))
    assert content == document


def test_plain_objects_are_plain() -> None:
    _, content = read_yaml("a: &a true\nb: [*a, 1.5, {c: 2}]\nd: *a\n", source="job.yaml")
    assert content == {"a": True, "b": [True, 1.5, {"c": 2}], "d": True}
    assert [type(value) for value in (content["a"], content["b"], content["b"][2], content["d"])] == [
        bool,
        list,
        dict,
        bool,
    ]


def test_a_date_is_a_text_as_in_yaml_1_2() -> None:
    assert read_yaml("a: 2001-01-01\nb: 2001-01-01T10:00:00Z\nc: =\n", source="job.yaml")[1] == {
        "a": "2001-01-01",
        "b": "2001-01-01T10:00:00Z",
        "c": "=",
    }
    job = parse_job(GOOD.replace("name: good", "name: 2001-01-01"))
    assert job.name == "2001-01-01"
    assert parse_job(dump_job(job)) == job
    with pytest.raises(JobError, match=r"<job>:11:11: grid\.epoch\[0\]: must be a valid integer, got '2001-01-01'"):
        parse_job(GOOD.replace("[1, 2]", "[2001-01-01]"))


def test_not_a_number_is_none() -> None:
    assert math.isnan(read_yaml("a: .nan\n", source="job.yaml")[1]["a"])


def test_as_many_values_as_the_limit_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yaml_text, "MAX_NODES", 30)
    text = "a: &a [x, x]\nb: [*a, *a, *a]\nc: [{}]\n"  # document, 3 keys, 3 lists and 2 + 3 * 3 values make 18
    for num in (11, 12):
        assert len(read_yaml(text.format("x, " * num), source="job.yaml")[1]["c"]) == num
    with pytest.raises(JobError, match="more than 30 values"):
        read_yaml(text.format("x, " * 13), source="job.yaml")


def test_as_deep_as_the_limit_is_read() -> None:
    text = f"name: {'[' * MAX_DEPTH}{']' * MAX_DEPTH}\n"
    assert read_yaml(text, source="job.yaml")
    with pytest.raises(JobError, match="nested too deeply"):
        read_yaml(text.replace("[]", "[[]]"), source="job.yaml")


# --- files --------------------------------------------------------------------------------------------------------


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + GOOD.encode())
    assert load_job(path) == parse_job(GOOD)
    path.write_bytes(b"\xef\xbb\xbf" + GOOD.replace("name: good", "name: a/b").encode())
    with pytest.raises(JobError, match=r"job\.yaml:1:7: name: "):
        load_job(path)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le"])
def test_utf_16_is_named(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "job.yaml"
    path.write_bytes(GOOD.encode(encoding))
    with pytest.raises(
        JobError, match=r"job\.yaml:1:1: cannot be read: the file is UTF-16 or UTF-32; save it as UTF-8"
    ):
        load_job(path)


def test_the_first_byte_that_is_no_utf_8_is_named() -> None:
    with pytest.raises(
        JobError, match=r"^job\.yaml:2:4: cannot be read: byte 0xe9 is not UTF-8; save the file as UTF-8"
    ):
        decode("é: x\nb: é\n".encode().replace(b"b: \xc3\xa9", b"b: \xe9"), source="job.yaml")


def test_a_huge_file_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    with path.open("wb") as file:
        file.truncate(10**12)  # sparse: it takes no room
    with pytest.raises(JobError, match=r"job\.yaml:1:1: is larger than 1,000,000 bytes"):
        load_job(path)


@pytest.mark.parametrize("name", ["a\0b.yaml", "\ud800.yaml", "x" * 300 + ".yaml", "x" * 5000, "", "\x1b[31m.yaml"])
def test_a_name_that_no_file_can_have_is_a_message(tmp_path: Path, name: str) -> None:
    with pytest.raises(JobError) as caught:
        load_job(f"{tmp_path}/{name}")
    assert re.search(r"no such job file|cannot be read|is a folder", str(caught.value))
    assert str(caught.value).replace("\n", "").isprintable()


def test_a_value_with_direction_marks_is_shown_with_escapes() -> None:
    with pytest.raises(JobError) as caught:
        parse_job(GOOD.replace("hinge", '"\\u202egnih"'))
    assert "unknown loss '\\u202egnih'" in str(caught.value)
