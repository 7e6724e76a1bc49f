"""The YAML of a job file: from bytes to nodes to plain objects, with a place for every mistake.

What a job file needs of YAML 1.2 is read: mappings with text keys, lists, texts, numbers, anchors, aliases and merge
keys. What it does not need, and what makes a small file large or a value a surprise, is refused with line and column:
tags, directives, several documents, control characters, and aliases that expand without end.
"""

from __future__ import annotations

import re
from typing import Any, NoReturn

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.composer import Composer
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import AliasEvent, StreamEndEvent
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.scanner import Scanner

from ..errors import JobError

MAX_BYTES = 1_000_000
"""Of a file."""
MAX_NODES = 50_000
"""Keys, values, lists and mappings of a document, those of an anchor counted again at each of its aliases."""
MAX_DEPTH = 64
"""Lists and mappings within one another."""
MAX_CHARACTERS = 10_000
"""Of one text; a path has at most 4,096."""
MAX_DIGITS = 1_000
"""Characters of one number; Python converts no integer of more than 4,300 digits."""


def decode(data: bytes, *, source: str) -> str:
    """The text of a file.

    Raises:
      JobError: If the file is too large or not UTF-8; the text names the first byte that is not.
    """
    if len(data) > MAX_BYTES:
        raise JobError(f"{source}:1:1: is larger than {MAX_BYTES:,} bytes; a job file is not: is this the right file?")
    if data[:2] in (b"\xff\xfe", b"\xfe\xff") or data[:2].count(0) == 1:
        raise JobError(f"{source}:1:1: cannot be read: the file is UTF-16 or UTF-32; save it as UTF-8")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line, column = _place_of(data[: error.start].decode("utf-8"))
        wrong = f"byte 0x{data[error.start]:02x} is not UTF-8"
        raise JobError(f"{source}:{line}:{column}: cannot be read: {wrong}; save the file as UTF-8") from None


def read_yaml(text: str, *, source: str) -> tuple[CommentedMap, dict[str, Any]]:
    """The one document of a text, with the places of its values, and the same as plain Python objects.

    The document's `lc` knows the places of its own keys, not of those that `<<` merges into it.

    Raises:
      JobError: If the text is not YAML, or has what no job file needs; the text of the error has line and column.
    """
    _check_characters(text, source)
    yaml = YAML(typ="safe", pure=True)
    yaml.Scanner = _JobScanner
    yaml.Composer = _JobComposer
    try:
        root = yaml.compose(text)
        document = None if root is None else _document(root)
    except _RefusedError as error:
        raise JobError(f"{source}:{error.line}:{error.column}: {error}") from None
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{mark.line + 1}:{mark.column + 1}" if mark else "1:1"
        raise JobError(f"{source}:{place}: not YAML: {error.problem or error.context}") from None
    except YAMLError as error:
        raise JobError(f"{source}:1:1: not YAML: {error}") from None
    if not isinstance(document, CommentedMap):
        what = "is empty" if document is None else "holds a list" if isinstance(document, list) else "holds one value"
        raise JobError(f"{source}:1:1: a job file is a mapping with name, protocol, problem, ...; this one {what}")
    return document, _plain(document)


# What no text of a job file may hold: control characters, halves of surrogate pairs, and what is no character.
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufffe\uffff]")
_LINE_BREAK = re.compile("\r\n|[\r\n\x85\u2028\u2029]")


def _place_of(before: str) -> tuple[int, int]:
    """Line and column, from 1, of what follows a text."""
    breaks = list(_LINE_BREAK.finditer(before))
    return len(breaks) + 1, len(before) - (breaks[-1].end() if breaks else 0) + 1


def _check_characters(text: str, source: str) -> None:
    if len(text) > MAX_BYTES:
        raise JobError(f"{source}:1:1: is longer than {MAX_BYTES:,} characters; a job file is not")
    found = _FORBIDDEN.search(text)
    if found:
        line, column = _place_of(text[: found.start()])
        raise JobError(f"{source}:{line}:{column}: the character U+{ord(found[0]):04X} has no place here; remove it")
    for number, line_text in enumerate(_LINE_BREAK.split(text), 1):
        indent = line_text[: len(line_text) - len(line_text.lstrip())]
        if "\t" in indent:
            raise JobError(f"{source}:{number}:{indent.index(chr(9)) + 1}: a tab indents this line; use spaces")


class _RefusedError(Exception):
    """YAML that no job file needs, and its place from 1."""

    def __init__(self, mark: Any, text: str) -> None:
        super().__init__(text)
        self.line, self.column = mark.line + 1, mark.column + 1


class _JobScanner(Scanner):
    """A scanner that knows neither tags nor directives."""

    def fetch_tag(self) -> NoReturn:
        mark = self.reader.get_mark()
        raise _RefusedError(mark, "a job file has no tags; write a number without one, or put the text in quotes")

    def fetch_directive(self) -> NoReturn:
        raise _RefusedError(self.reader.get_mark(), "a job file has no YAML directives; remove this line")

    def scan_flow_scalar_non_spaces(self, double: Any, start_mark: Any) -> Any:
        try:
            return super().scan_flow_scalar_non_spaces(double, start_mark)
        except (ValueError, OverflowError):  # of chr
            raise _RefusedError(
                self.reader.get_mark(), "this escape is no character; write \\\\ for a backslash"
            ) from None


class _JobComposer(Composer):
    """A composer that checks every node as soon as it is read, and counts it as often as aliases repeat it."""

    def __init__(self, loader: Any = None) -> None:
        super().__init__(loader=loader)
        self._level = 0
        self._num_nodes = 0
        self._sizes: dict[str, int] = {}
        self._open: set[str] = set()
        self._keys: dict[int, set[str]] = {}

    def get_single_node(self) -> Any:
        self.parser.get_event()  # the stream's start
        if self.parser.check_event(StreamEndEvent):
            return None
        root = self.compose_document()
        if not self.parser.check_event(StreamEndEvent):
            mark = self.parser.peek_event().start_mark
            raise _RefusedError(
                mark, "a second document starts here; a job file holds one: remove it, or make two files"
            )
        return root

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.parser.peek_event()
        anchor, is_alias = event.anchor, isinstance(event, AliasEvent)
        if is_alias and anchor in self._open:
            raise _RefusedError(event.start_mark, f"the alias *{anchor} stands within what it stands for; remove it")
        if anchor is not None and not is_alias:
            if anchor in self._sizes or anchor in self._open:
                raise _RefusedError(event.start_mark, f"the anchor &{anchor} is there twice; choose another name")
            self._open.add(anchor)
        if self._level > MAX_DEPTH:
            raise _RefusedError(event.start_mark, f"is nested too deeply, in more than {MAX_DEPTH} lists and mappings")
        num_before = self._num_nodes
        self._num_nodes += self._sizes.get(anchor, 0) if is_alias else 1
        if self._num_nodes > MAX_NODES:
            hint = "; its aliases repeat too much" if self._num_nodes > num_before + 1 else ""
            raise _RefusedError(event.start_mark, f"the file holds more than {MAX_NODES:,} values{hint}")
        self._level += 1
        node = super().compose_node(parent, index)
        self._level -= 1
        if anchor is not None and not is_alias:
            self._open.remove(anchor)
            self._sizes[anchor] = self._num_nodes - num_before
        if isinstance(node, ScalarNode):
            _check_scalar(node, event.start_mark)
        if isinstance(parent, MappingNode) and index is None:
            _check_key(node, self._keys.setdefault(id(parent), set()), event.start_mark)
        return node


def _check_scalar(node: ScalarNode, mark: Any) -> None:
    """Limits of a text and of a number; `mark` is where it, or its alias, stands."""
    found = _FORBIDDEN.search(node.value)
    if found:
        raise _RefusedError(
            mark, f"the text holds the character U+{ord(found[0]):04X}, which has no place here; remove it"
        )
    if len(node.value) > MAX_CHARACTERS:
        raise _RefusedError(mark, f"a text of {len(node.value):,} characters; at most {MAX_CHARACTERS:,} are read")
    if _kind(node) in ("int", "float") and len(node.value) > MAX_DIGITS:
        raise _RefusedError(mark, f"a number of {len(node.value):,} characters; at most {MAX_DIGITS:,} are read")


_KEY_KINDS = {
    "null": "empty",
    "bool": "true or false",
    "int": "a number",
    "float": "a number",
    "seq": "a list",
    "map": "a mapping",
}


def _check_key(node: Node, seen: set[str], mark: Any) -> None:
    kind = _kind(node)
    if kind in _KEY_KINDS:
        way_out = "remove it" if kind in ("seq", "map", "null") else "put it in quotes, or remove it"
        raise _RefusedError(mark, f"a key must be a text, this one is {_KEY_KINDS[kind]}; {way_out}")
    if node.value in seen:
        raise _RefusedError(mark, f'duplicate key "{node.value}"; remove one of them')
    seen.add(node.value)


def _kind(node: Node) -> str:
    """``str``, ``int``, ``float``, ``bool``, ``null``, ``seq``, ``map`` or ``merge``."""
    kind = str(node.tag).rpartition(":")[2]
    # dates are texts, as in YAML 1.2; so is the `=` of YAML 1.1
    return kind if kind in _KEY_KINDS or kind == "merge" else "str"


def _document(node: Node) -> Any:
    """A node as objects that know their places. Aliases are copies: the composer has counted them."""
    if isinstance(node, ScalarNode):
        return _value(node)
    if isinstance(node, SequenceNode):
        sequence = CommentedSeq()
        for index, item in enumerate(node.value):
            sequence.append(_document(item))
            sequence._yaml_set_idx_line_col(index, [item.start_mark.line, item.start_mark.column])
        return sequence
    mapping = CommentedMap()
    merged: list[Node] = []
    for key, value in node.value:
        if _kind(key) == "merge":
            merged += value.value if isinstance(value, SequenceNode) else [value]
            continue
        mapping[key.value] = _document(value)
        marks = [key.start_mark, value.start_mark]
        mapping._yaml_set_kv_line_col(key.value, [number for mark in marks for number in (mark.line, mark.column)])
    for other in merged:
        if not isinstance(other, MappingNode):
            raise _RefusedError(other.start_mark, "<< merges a mapping or a list of mappings, and this is none")
        for name, content in _document(other).items():
            mapping.setdefault(name, content)  # the mapping's own keys go first, then those of the first merged
    return mapping


def _value(node: ScalarNode) -> str | int | float | bool | None:
    text: str = node.value
    match _kind(node):
        case "null":
            return None
        case "bool":
            return text.lower() == "true"
        case "int" | "float" as kind:
            return _number(text.replace("_", "").lower(), kind, node)
    return text


def _number(text: str, kind: str, node: ScalarNode) -> int | float:
    try:
        if kind == "float":
            return float(text.replace(".inf", "inf").replace(".nan", "nan"))
        base = {"0b": 2, "0o": 8, "0x": 16}.get(text.lstrip("+-")[:2], 10)
        return int(text, base)
    except ValueError:  # such as -_, which YAML's pattern of an integer admits
        raise _RefusedError(node.start_mark, "a number without digits; put the text in quotes") from None


def _plain(node: Any) -> Any:
    """The document's containers as plain Python objects."""
    if isinstance(node, dict):
        return {key: _plain(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_plain(value) for value in node]
    return node
