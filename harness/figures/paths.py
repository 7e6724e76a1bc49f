"""Paths of Dirac-GANs in the plane of their two parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

from ..errors import HarnessError
from ..storage.query import Results
from .picture import Picture, Row, colours_of, named, shapes_of
from .tables import check_job, quoted
from .words import in_lines

_MAX_POINTS = 1500
"""Of a path; more are thinned. Where it does not move it has few anyway."""
_STILL = 1 / 400  # of a path's extent


def paths(results: Results, job: str) -> Picture:
    """One panel a method, one line an update rule; what becomes of each is said above.

    Raises:
      HarnessError: If the job has no trajectories.
    """
    rows = results.query(
        f"""SELECT cell_id, c.loss, c.penalty, c.sigma, c.learning_rate, c.updates, verdict,
                   list(iteration ORDER BY iteration) AS iteration, list(theta ORDER BY iteration) AS theta,
                   list(psi ORDER BY iteration) AS psi
            FROM trajectories JOIN cells c USING (job, cell_id) WHERE job = {quoted(job)} GROUP BY ALL"""
    ).to_pylist()
    rows.sort(key=lambda row: (row["sigma"], row["penalty"] != "none", *_method(row), *_rank(row["updates"])))
    if not rows:
        check_job(results, job)
        raise HarnessError(f"job '{job}' has no trajectories; run a job of protocol dirac first")
    titles = _titles(rows)
    rules = sorted({row["updates"] for row in rows}, key=_rank)
    points = [point for row, title in zip(rows, titles, strict=True) for point in _points(row, title)]
    games = list(dict.fromkeys(titles))
    return Picture(
        chart=chart(games, rules),
        tables={"paths": points},
        caption=(
            f"Job {job}: paths of the generator's parameter \u03b8 and the discriminator's \u03c8, from the start "
            "(ring) to the end (filled shape); the cross is the equilibrium. One panel a method, one colour a way to "
            "take turns; above each what became of it, in the order of the legend where they differ. Each path is one "
            "game, which has no seed."
        ),
        description=f"Paths of Dirac-GANs of job {job}. " + " ".join(f"{_flat(game)}." for game in games),
        num_panels=len(games),
        legend=rules,
        aspect=1.0,
        most=5,
    )


def chart(games: Sequence[str], rules: Sequence[str]) -> Any:
    """The chart of points, whose rows are named ``paths``."""
    scale = alt.Scale(zero=False, nice=False, padding=5)
    legend = alt.Legend(title=None, orient="top", direction="horizontal", symbolOpacity=1)
    places: dict[str, Any] = {
        "x": alt.X("theta:Q", scale=scale, title="\u03b8", axis=alt.Axis(tickCount=3, grid=False, titlePadding=0)),
        "y": alt.Y("psi:Q", scale=scale, title="\u03c8", axis=alt.Axis(tickCount=3, grid=False, titlePadding=2)),
    }
    colour = alt.Color(
        "updates:N", sort=None, legend=legend, scale=alt.Scale(domain=list(rules), range=colours_of("updates", rules))
    )
    shape = alt.Shape(
        "updates:N", sort=None, legend=legend, scale=alt.Scale(domain=list(rules), range=shapes_of(rules))
    )
    tooltip = [
        "updates:N",
        "verdict:N",
        "iteration:Q",
        alt.Tooltip("theta:Q", format=".4g"),
        alt.Tooltip("psi:Q", format=".4g"),
    ]
    line = alt.Chart().mark_line(strokeWidth=0.7, opacity=0.85).encode(**places, color=colour, order="iteration:Q")
    start = alt.Chart().transform_filter("datum.end == 'start'").mark_point(size=26, style="ink", filled=False)
    last = alt.Chart(name="cells").transform_filter("datum.end == 'last'").mark_point(size=26, filled=True, opacity=1)
    rest = (
        alt.Chart()
        .transform_filter("datum.end == 'start'")
        .mark_text(text="+", fontSize=12, style="ink", strokeWidth=0)
    )
    layered = alt.layer(
        line,
        rest.encode(x=alt.XDatum(0), y=alt.YDatum(0)),
        start.encode(**places),
        last.encode(**places, color=colour, shape=shape, tooltip=tooltip),
        data=named("paths"),
    )
    facet = alt.Facet("game:N", sort=list(games), header=alt.Header(title=None))
    return layered.facet(facet=facet, columns=min(5, len(games))).resolve_scale(x="independent", y="independent")


def _titles(rows: Sequence[Row]) -> list[str]:
    """For each row the name of its method, with what became of it under each rule."""
    varied = len({row["learning_rate"] for row in rows}) > 1
    verdicts: dict[Any, list[str]] = {}
    for row in rows:
        verdicts.setdefault(_method(row), []).append(row["verdict"])
    titles = []
    for row in rows:
        help_ = [_short(row["penalty"])] * (row["penalty"] != "none") + [f"\u03c3 {row['sigma']:.3g}"] * (
            row["sigma"] > 0
        )
        help_ += [f"rate {row['learning_rate']:g}"] * varied
        ended = verdicts[_method(row)]
        name = row["loss"].replace("_", " ")
        shown = ended[:1] if len(set(ended)) == 1 else ended
        titles.append("\n".join([name, in_lines(", ".join(help_) or "no help", 24), in_lines(", ".join(shown), 24)]))
    return titles


def _method(row: Row) -> tuple[Any, ...]:
    return row["loss"], row["penalty"], row["sigma"], row["learning_rate"]


def _rank(rule: str) -> tuple[bool, int, str]:
    return "simultaneous" not in rule, len(rule), rule


def _short(penalty: str) -> str:
    return penalty.replace("_", " ")


def _points(row: Row, title: str) -> list[dict[str, Any]]:
    """A path's points, without those where it hardly moves, and no more than a line needs."""
    places = list(zip(row["iteration"], row["theta"], row["psi"], strict=True))
    extent = max(max(row[name]) - min(row[name]) for name in ("theta", "psi")) or 1.0
    kept = places[:1]
    for place in places[1:]:
        if abs(place[1] - kept[-1][1]) + abs(place[2] - kept[-1][2]) > _STILL * extent:
            kept.append(place)
    stride = -(-len(kept) // _MAX_POINTS)
    kept = [*kept[::stride], places[-1]]
    own: Mapping[str, Any] = {name: row[name] for name in ("cell_id", "loss", "penalty", "updates", "verdict")}
    return [
        {
            **own,
            "game": title,
            "iteration": iteration,
            "theta": theta,
            "psi": psi,
            "end": "start" if index == 0 else "last" if index == len(kept) - 1 else None,
        }
        for index, (iteration, theta, psi) in enumerate(kept)
    ]


def _flat(game: str) -> str:
    return game.replace(",\n", ", ").replace("\n", ": ")
