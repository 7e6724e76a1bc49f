"""What is said of a job of protocol ``probe``: what noise does to accuracy, gradient and overlap."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import counted
from ..planning.naming import axis_word
from .sentences import Finding, Findings, bounds, differences, failures
from .subject import Row, Subject

OVERLAP = 0.01
"""Nats below log 2, the JSD of sets that do not overlap, from which they are said to."""
_TWO_SIDED = 1.96
_MAX_LOSSES = 3
_MAX_SIGMAS = 200
_HELD = ("batch_norm", "penalty", "learning_rate", "noise")
"""Axes that are not averaged over where a loss has several of their values: the most frequent one is told."""


def findings(subject: Subject) -> Findings:
    """Accuracy, gradient and overlap over sigma at the last epoch; what differs; what the bounds say; what failed."""
    epoch = subject.last_epoch()
    held = _held(subject, epoch)
    where = " AND ".join([f"epoch = {epoch}", "status = 'completed'", *map(_equal, held.items())])
    rows = subject.ask(
        f"""SELECT sigma, count(accuracy) AS num, avg(accuracy) AS accuracy, avg(jsd_mixture) AS jsd,
                   max(jsd_mixture + {_TWO_SIDED} * coalesce(jsd_mixture_se, 0)) AS jsd_upper,
                   avg(real_jsd_mixture) AS real_jsd""",
        where=f"{where} AND sigma IS NOT NULL",
        rest=f"GROUP BY sigma ORDER BY sigma LIMIT {_MAX_SIGMAS}",
    )
    at = f"At epoch {epoch}{''.join(f', {axis_word(name)} {value}' for name, value in held.items())}, "
    by_loss = _by_loss(subject, where, "accuracy")
    accuracy = _accuracies(by_loss, at) if len(by_loss) > 1 else _accuracy(rows, at)
    noise = [*accuracy, *_gradient(subject, where, at), *_overlap(rows, held)]
    axes = [axis for axis in subject.varying() if axis == "schedule"]
    measures = (("accuracy", "accuracy"), ("grad_norm", "the norm of the gradient"))
    told = [differences(subject, axes, column, name=name) for column, name in measures]
    return Findings(
        (*noise, *(one for found in told for one in found.found), *bounds(subject), *failures(subject)),
        tuple(one for found in told for one in found.contrasts),
        tuple(dict.fromkeys(axis for found in told for axis in found.axes)),
    )


def _held(subject: Subject, epoch: int | None) -> Mapping[str, Any]:
    where = f"epoch = {epoch} AND status = 'completed'"
    varying = subject.varying(_HELD, where=where)
    if not varying:
        return {}
    rows = subject.ask(
        f"SELECT {', '.join(varying)}, count(*) AS cells",
        where=where,
        rest=f"GROUP BY ALL ORDER BY cells DESC, {', '.join(varying)} LIMIT 1",
    )
    return {name: rows[0][name] for name in varying}


def _equal(named: tuple[str, Any]) -> str:
    name, value = named
    if value is None:
        return f"{name} IS NULL"
    return f"{name} = {value!r}" if isinstance(value, float) else f"""{name} = '{str(value).replace("'", "''")}'"""


def _accuracy(rows: Sequence[Row], at: str) -> list[Finding]:
    valued = [row for row in rows if row["accuracy"] is not None]
    if not valued:
        return []
    first, last = valued[0], valued[-1]
    text = f"{at}fresh discriminators are right with {_mean(first, 'accuracy')} {_noise(first)}"
    if last is not first:
        text += f" and {last['accuracy']:.3g} {_noise(last)}"
        lowest = min(valued, key=lambda row: row["accuracy"])
        if lowest["accuracy"] < min(first["accuracy"], last["accuracy"]):
            text += f", lowest {lowest['accuracy']:.3g} {_noise(lowest)}"
    return [Finding("noise", f"{text}{_over(valued)}.")]


def _by_loss(subject: Subject, where: str, column: str) -> dict[str, list[Row]]:
    """Means over seeds of a column by loss and sigma."""
    rows = subject.ask(
        f"SELECT loss, sigma, avg({column}) AS mean, count({column}) AS num",
        where=f"{where} AND {column} IS NOT NULL AND sigma IS NOT NULL",
        rest="GROUP BY loss, sigma ORDER BY loss, sigma",
    )
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row["loss"], []).append(row)
    return found


def _accuracies(by_loss: Mapping[str, Sequence[Row]], at: str) -> list[Finding]:
    """Of each loss: their discriminators are different ones, and a mean over them is of none."""
    told = [
        f"{loss} " + " and ".join(f"{row['mean']:.3g} {_noise(row)}" for row in (rows[0], *rows[-1:][: len(rows) - 1]))
        for loss, rows in by_loss.items()
    ]
    more = len(told) - _MAX_LOSSES
    rest = f"; and {counted(more, 'more loss')[:-1]}{'es' if more > 1 else 's'}" if more > 0 else ""
    numbers = [row for rows in by_loss.values() for row in rows]
    mean = "mean accuracy" if any(row["num"] > 1 for row in numbers) else "accuracy"
    listed = "; ".join(told[:_MAX_LOSSES])
    return [Finding("noise", f"{at}fresh discriminators are right with {mean}: {listed}{rest}{_over(numbers)}.")]


def _mean(row: Row, name: str) -> str:
    return f"{'mean ' if row['num'] > 1 else ''}{name} {row[name]:.3g}"


def _gradient(subject: Subject, where: str, at: str) -> list[Finding]:
    by_loss = _by_loss(subject, where, "grad_norm")
    changes = [
        f"{loss} {of_loss[0]['mean']:.3g} {_noise(of_loss[0])} and {of_loss[-1]['mean']:.3g} {_noise(of_loss[-1])}"
        f"{_factor(of_loss[0]['mean'], of_loss[-1]['mean'])}"
        for loss, of_loss in by_loss.items()
        if len(of_loss) > 1
    ]
    if not changes:
        return []
    more = len(changes) - _MAX_LOSSES
    rest = f"; and {counted(more, 'more loss')[:-1]}{'es' if more > 1 else 's'}" if more > 0 else ""
    rows = [row for of_loss in by_loss.values() for row in of_loss]
    norm = "mean norm of the gradient" if any(row["num"] > 1 for row in rows) else "norm of the gradient"
    listed = "; ".join(changes[:_MAX_LOSSES])
    return [Finding("noise", f"The {norm} that the generator gets there: {listed}{rest}{_over(rows)}.")]


def _factor(first: float, last: float) -> str:
    if not first or not last:
        return ""
    ratio = last / first
    return "" if 0.8 < ratio < 1.25 else f" ({ratio:.3g} times as much)"


def _overlap(rows: Sequence[Row], held: Mapping[str, Any]) -> list[Finding]:
    """From which sigma on the noisy sets overlap, also at its upper limit in every cell, against other real samples."""
    valued = [row for row in rows if row["jsd"] is not None]
    if not valued:
        return []
    limit = math.log(2) - OVERLAP
    overlapping: list[Row] = []
    for row in reversed(valued):  # from there on, at all larger ones
        if not row["jsd_upper"] < limit:
            break
        overlapping.insert(0, row)
    last = valued[-1]
    real = "" if last["real_jsd"] is None else f"; that of other real samples is {last['real_jsd']:.3g}"
    if not overlapping:
        text = f"Up to {_sigma(last)} the noisy sets do not overlap: JSD {last['jsd']:.3g}, log 2 = 0.693"
        return [Finding("noise", f"{text}{_real_is_as_far(last, limit)}.")]
    family = f", of noise {held['noise']}," if "noise" in held else ""
    where = (
        f"At every sigma{family}" if len(overlapping) == len(valued) else f"From {_sigma(overlapping[0])} on{family}"
    )
    text = f"{where} the noisy sets overlap: JSD {last['jsd']:.3g} at {_sigma(last)} (log 2 = 0.693 without overlap)"
    return [Finding("noise", f"{text}{real}.")]


def _real_is_as_far(last: Row, limit: float) -> str:
    if last["real_jsd"] is None:
        return ""
    if last["real_jsd"] >= limit:
        return "; nor do two sets of real samples, so this says more of their number than of the generator"
    return f"; that of other real samples is {last['real_jsd']:.3g}"


def _noise(row: Row) -> str:
    return "without noise" if row["sigma"] == 0 else f"at {_sigma(row)}"


def _sigma(row: Row) -> str:
    return f"sigma {row['sigma']:g}"


def _over(rows: Sequence[Row]) -> str:
    """Of how many cells each number is the mean."""
    least, most = min(row["num"] for row in rows), max(row["num"] for row in rows)
    if most == 1:
        return " (one cell each)"
    return f" (over {most} cells each)" if least == most else f" (over {least} to {most} cells each)"
