"""The commands that an output proposes, as a shell would take them."""

from __future__ import annotations

import re
import shlex


def commands(text: str) -> list[list[str]]:
    """The words after ``harness`` of each command, whether it is on one line or on those of a narrow terminal."""
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text)
    found = re.findall(r"^  (?:\S*python\S* -m )?\S*harness ((?:.*)(?:\n    .*)*)$", plain, re.MULTILINE)
    return [shlex.split(command.replace("\\\n", " ")) for command in found]
