"""What is said of a job of protocol ``dirac``: which games converge, how fast, and whether the theory says so too."""

from __future__ import annotations

import math

from ..errors import counted
from ..planning.naming import brief
from .sentences import Finding, Findings, failures
from .subject import Subject

_GAMES = ("loss", "penalty", "schedule", "learning_rate", "updates")
_MAX_NAMED = 5
_ENDS = ("converges", "stalls", "cycles", "diverges")


def findings(subject: Subject) -> Findings:
    """How the games end, the fastest, which converge whatever the order of updates, and the formulas."""
    rows = subject.ask("SELECT verdict, count(*) AS games", where="verdict IS NOT NULL", rest="GROUP BY verdict")
    ends = {row["verdict"]: row["games"] for row in rows}
    total = sum(ends.values())
    if not total:
        return Findings((Finding("best", "No game has a verdict."), *failures(subject)))
    counts = ", ".join(_counted(ends[end], end) for end in _ENDS if end in ends)
    found = [Finding("best", f"Of {counted(total, 'game')} {counts}."), *_fastest(subject)]
    return Findings((*found, *_whatever_the_updates(subject), *_theory(subject), *failures(subject)))


def _counted(number: int, end: str) -> str:
    return f"{number} {end if number == 1 else end.removesuffix('s')}"


def _varying(subject: Subject) -> tuple[str, ...]:
    counts = ", ".join(f"count(DISTINCT {name}) AS {name}" for name in _GAMES)
    (row,) = subject.ask(f"SELECT {counts}")
    return tuple(name for name in _GAMES if row[name] > 1)


def _fastest(subject: Subject) -> list[Finding]:
    rows = subject.ask(
        f"SELECT {', '.join(_GAMES)}, modulus, steps_to_tolerance AS steps",
        where="verdict = 'converges' AND steps_to_tolerance IS NOT NULL",
        rest=f"ORDER BY steps, {', '.join(_GAMES)} LIMIT 2",
    )
    if not rows:
        return [Finding("best", "None comes to rest at the data within its tolerance.")]
    first = rows[0]
    tie = "; another is as fast" if len(rows) > 1 and rows[1]["steps"] == first["steps"] else ""
    factor = "" if first["modulus"] is None else f" (a factor of {first['modulus']:.4g} an iteration)"
    name = brief(first, _varying(subject))
    return [
        Finding("best", f"The fastest is {name}: {counted(first['steps'], 'iteration')} to its tolerance{factor}{tie}.")
    ]


def _whatever_the_updates(subject: Subject) -> list[Finding]:
    """Games that converge under every order of updates, and those that do under none."""
    keys = [name for name in _GAMES if name != "updates"]
    rows = subject.ask(
        f"""SELECT {", ".join(keys)}, count(*) AS games, count(*) FILTER (verdict = 'converges') AS converging""",
        rest=f"GROUP BY ALL ORDER BY {', '.join(keys)}",
    )
    axes = [name for name in _varying(subject) if name != "updates"]
    if not axes or all(row["games"] == 1 for row in rows):
        return []
    always = [brief(row, axes) for row in rows if row["converging"] == row["games"]]
    never = [brief(row, axes) for row in rows if not row["converging"]]
    return [
        Finding("differs", f"{head}: {_listed(names)}.")
        for head, names in (("Under every order of updates converge", always), ("Under none converge", never))
        if names
    ]


def _theory(subject: Subject) -> list[Finding]:
    (row,) = subject.ask(
        "SELECT count(*) AS games, max(abs(modulus - predicted_modulus)) AS worst",
        where="modulus IS NOT NULL AND predicted_modulus IS NOT NULL",
    )
    if not row["games"]:
        return []
    return [
        Finding(
            "bounds",
            f"In {counted(row['games'], 'game')} the simulated factor is that of the predicted eigenvalues to within "
            f"{_rounded_up(row['worst'])}.",
        )
    ]


def _rounded_up(value: float) -> str:
    """To one digit that is no smaller."""
    if not value:
        return "0"
    unit = 10.0 ** math.floor(math.log10(value))
    return f"{math.ceil(value / unit - 1e-9) * unit:.1g}"


def _listed(names: list[str]) -> str:
    more = len(names) - _MAX_NAMED
    return "; ".join(names[:_MAX_NAMED]) + (f"; and {more} more" if more > 0 else "")
