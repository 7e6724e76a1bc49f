"""Errors a user can cause; each message says what is wrong, where, and the way out."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable


class HarnessError(Exception):
    """A mistake in what the user asked for. The command line prints it and exits with 2.

    Its text is safe for a terminal, whatever a file had in it: see `printable`.
    """

    def __init__(self, text: str = "") -> None:
        super().__init__(printable(text))


class JobError(HarnessError):
    """A job file with mistakes; the text has one block per mistake, with file, line and column."""


class StoreError(HarnessError):
    """A result store that cannot be read or written."""


class SnapshotsLostError(StoreError):
    """Snapshots that were there are damaged or gone; what they held has to be trained again.

    Attributes:
      keys: Run and epoch of each.
    """

    def __init__(self, text: str, keys: frozenset[tuple[str, int]]) -> None:
        super().__init__(text)
        self.keys = keys

    def __reduce__(self) -> tuple[type[SnapshotsLostError], tuple[str, frozenset[tuple[str, int]]]]:
        return type(self), (str(self), self.keys)


class StateLostError(StoreError):
    """Where a run stood is damaged or gone."""


class UnseenStoreError(StoreError):
    """A worker does not see the folder that the driver writes to."""


class StoreWarning(UserWarning):
    """Something in a store that is passed over."""


class QueryError(HarnessError):
    """An SQL statement the store cannot answer."""


class ClusterError(HarnessError):
    """A Ray cluster that cannot be reached or cannot hold what was asked for."""


class TuneError(HarnessError):
    """A search without a single usable trial. The command line exits with 1."""


def printable(text: str) -> str:
    """A text with control characters, direction marks and lone surrogates as escapes; newlines and tabs stay.

    >>> print(printable("a\\x1b[31mb"))
    a\\x1b[31mb
    """
    return "".join(_escaped(character) for character in text) if not text.isprintable() else text


_UNSAFE = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def _escaped(character: str) -> str:
    if character in "\n\t" or unicodedata.category(character) not in _UNSAFE:
        return character
    return character.encode("unicode_escape").decode("ascii")


def counted(number: int, noun: str) -> str:
    """A number with its noun.

    >>> counted(1, "cell"), counted(2, "cell")
    ('1 cell', '2 cells')
    """
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def suggest(value: object, valid: Iterable[str]) -> str:
    """``Did you mean ...?`` where a valid name is close, and always the list of valid names."""
    names = sorted(valid)
    return f"{did_you_mean(value, names)}\n  Valid: {', '.join(names)}"


def did_you_mean(value: object, valid: Iterable[str]) -> str:
    """`` Did you mean ...?`` where a valid name is close, else nothing."""
    close = difflib.get_close_matches(str(value), list(valid), n=1)
    return f" Did you mean '{close[0]}'?" if close else ""
