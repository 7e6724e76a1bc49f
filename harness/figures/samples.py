"""Samples of generators beside real ones: grids of images, or points of the plane over the noisy density."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import altair as alt
import numpy as np

from ..errors import HarnessError
from ..job.job import Job
from ..job.reading import parse_job
from ..storage.query import Results
from . import tables
from .images import Floats, data_uri, tiles, veil
from .picture import COLOURS, Picture, named
from .selection import value_of
from .tables import quoted
from .words import in_lines, listed, name_of

if TYPE_CHECKING:
    from torch import Tensor

MAX_ROWS, MAX_COLUMNS = 8, 6
_POINTS, _TILES = 300, 25
_PIXELS = 72  # of a density's side
_ROW_AXES = ("loss", "penalty", "schedule", "learning_rate", "batch_norm", "discriminator_steps")
_GREY = (129, 139, 152)
_REAL = "real"


@dataclass(frozen=True)
class Choice:
    """Which cells' generators a figure shows.

    Attributes:
      where: Axes and the value, as text, of what is shown.
    """

    where: Mapping[str, str] = field(default_factory=dict)


def samples(results: Results, job: str, choice: Choice | None = None) -> Picture:
    """A column an epoch, a row a choice of loss, noise and so on (of probes a seed), of one seed.

    Raises:
      HarnessError: If generators are not in the store, or samples are neither images nor points of the plane.
    """
    from ..evaluation.samples import samples_of

    tables.check_job(results, job)
    spec = job_file(results, job)
    cells, by, capped = cells_of(results, job, spec.protocol, (choice or Choice()).where)
    shape = spec.problem.info().shape
    is_plane, is_image = tuple(shape) == (2,), len(shape) == 3 and shape[0] in (1, 3)
    if not is_plane and not is_image:
        raise HarnessError(f"job '{job}': samples of shape {list(shape)} are neither images nor points of the plane")
    num = _POINTS if is_plane else _TILES
    found = samples_of(results.store, spec, cells, num=num, num_real=1000 if is_plane else MAX_ROWS * _TILES)
    epochs = [name_of("epoch", epoch) for epoch in sorted({cell["epoch"] for cell in cells})]
    choices = list(dict.fromkeys(choice_name(cell, by) for cell in cells))
    more = [] if is_plane else [_REAL]
    # the longer side across
    down, across = ("choice", "epoch") if len(choices) <= len(epochs) + len(more) else ("epoch", "choice")
    names = {"epoch": [*epochs, *more], "choice": choices}
    places = [{"epoch": name_of("epoch", cell["epoch"]), "choice": choice_name(cell, by)} for cell in cells]
    if is_plane:
        table = _points(places, cells, found.real, found.generated)
        panels = _scatters(_limits(found.real.numpy()))
    else:
        table = _sheets(places, cells, found.real, found.generated)
        panels = _grids()
    there = {(row["epoch"], row["choice"]) for row in table}
    # of a grid with holes Vega-Lite would move the panels together
    table += [
        {"epoch": epoch, "choice": choice}
        for epoch in names["epoch"]
        for choice in names["choice"]
        if (epoch, choice) not in there
    ]
    height, width = (1, 1) if is_plane else shape[1:]
    seed = "" if "seed" in by else f" of seed {cells[0]['seed']}"
    return Picture(
        chart=_facets(panels, down, across, names),
        tables={"samples": table},
        caption=_caption(job, seed, cells, is_plane=is_plane, capped=capped, num=len(found.generated[0])),
        description=(
            f"{'Samples' if is_plane else 'Images'} of generators of job {job}{seed}, at {listed(names['epoch'])}, of "
            f"{listed([name.replace(chr(10), ' ') or 'its one choice' for name in choices])}."
        ),
        num_panels=len(names[across]),
        aspect=height / width,
        most=MAX_COLUMNS + 1,
        narrow=4,
    )


# --- which cells


def job_file(results: Results, job: str) -> Job:
    """The job as it was computed; refuses one that keeps no generators."""
    text = results.store.place.content(f"{job}/job.yaml")
    found = None if text is None else parse_job(text.decode(), source=f"{results.store.root}/{job}/job.yaml")
    if not isinstance(found, Job):
        what = "has no job file in the store" if found is None else f"is of protocol {found.protocol}, which keeps none"
        raise HarnessError(
            f"job '{job}' {what}: there are no generators to draw samples of; those of probe and train do"
        )
    return found


def cells_of(
    results: Results,
    job: str,
    protocol: str,
    where: Mapping[str, str],
    *,
    num_rows: int = MAX_ROWS,
    num_columns: int = MAX_COLUMNS,
) -> tuple[list[dict[str, Any]], list[str], list[str]]:
    """One cell a panel, the axes that tell rows apart, and what is left out."""
    orders = tables.orders(results, job)
    chosen = {axis: value_of(axis, text, orders) for axis, text in where.items()}
    conditions = "".join(
        f' AND "{axis}" IS NOT DISTINCT FROM {tables.literal(value)}' for axis, value in chosen.items()
    )
    axes = ", ".join(f'"{axis}"' for axis in (*_ROW_AXES, "sigma", "noise", "epoch", "seed"))
    rows = results.query(
        f"SELECT cell_id, run_id, snapshot, protocol, real_w1, {axes} FROM cells "
        f"WHERE job = {quoted(job)} AND status = 'completed'{conditions}"
    ).to_pylist()
    if not rows:
        raise HarnessError(f"job '{job}' has no completed cell" + (" there; see --where" if where else ""))
    if protocol == "probe":  # whose generators have one loss and noise: the reference run's
        by = ["seed"] if "seed" not in chosen else []
    else:
        by = [axis for axis in _ROW_AXES if len({row[axis] for row in rows}) > 1]
        first = min(row["seed"] for row in rows)
        rows = [row for row in rows if row["seed"] == first]
    rank = {axis: {value: place for place, value in enumerate(values)} for axis, values in orders.items()}
    rows.sort(key=lambda row: ([rank[axis].get(row[axis], -1) for axis in (*by, "epoch")], row["sigma"] or 0.0))
    panels = {(tuple(row[axis] for axis in by), row["epoch"]): row for row in reversed(rows)}
    kept = sorted(
        panels, key=lambda key: ([rank[axis].get(value, -1) for axis, value in zip(by, key[0], strict=True)], key[1])
    )
    of_rows, epochs = list(dict.fromkeys(key[0] for key in kept)), sorted({key[1] for key in kept})
    capped = []
    if len(of_rows) > num_rows:
        capped.append(f"the first {num_rows} of {len(of_rows)} rows are shown (choose others with --where)")
    shown = set(_spread(epochs, num_columns))
    if len(epochs) > len(shown):
        capped.append(f"{len(shown)} of {len(epochs)} epochs are shown")
    return [panels[key] for key in kept if key[0] in of_rows[:num_rows] and key[1] in shown], by, capped


def _spread(values: Sequence[int], most: int) -> list[int]:
    """At most so many of them, evenly, with the first and the last; of one the last."""
    if most == 1:
        return list(values[-1:])
    if len(values) <= most:
        return list(values)
    return [values[round(index * (len(values) - 1) / (most - 1))] for index in range(most)]


def choice_name(cell: Mapping[str, Any], by: Sequence[str]) -> str:
    """What a cell's values of some axes are called, a line each or more."""
    return "\n".join(in_lines(name_of(axis, cell[axis]), 17) for axis in by)


# --- points of the plane


def _limits(real: Floats) -> tuple[float, float]:
    """Of both axes: what real samples reach, and a quarter more."""
    low, high = float(real.min()), float(real.max())
    margin = 0.25 * (high - low) or 1.0
    return low - margin, high + margin


def _points(
    places: Sequence[Mapping[str, str]], cells: Sequence[Mapping[str, Any]], real: Tensor, generated: Tensor
) -> list[dict[str, Any]]:
    """Of each panel a row of the density as an image, and one a generated sample."""
    low, high = _limits(real.numpy())
    images: dict[float, str] = {}
    rows: list[dict[str, Any]] = []
    for place, cell, points in zip(places, cells, generated.numpy(), strict=True):
        sigma = cell["sigma"] or 0.0
        if sigma not in images:
            images[sigma] = _background(real, sigma, low, high)
        own = {**place, "cell_id": cell["cell_id"], "sigma": sigma}
        rows.append({**own, "url": images[sigma]})
        rows += [
            {**own, "x": round(float(x), 4), "y": round(float(y), 4)} for x, y in points if np.isfinite([x, y]).all()
        ]
    return rows


def _background(real: Tensor, sigma: float, low: float, high: float) -> str:
    """The density of the real samples under noise as an image; without noise, what a pixel can show."""
    import torch

    from ..evaluation.samples import noisy_density

    side = (torch.arange(_PIXELS) + 0.5) / _PIXELS * (high - low) + low
    grid = torch.cartesian_prod(side.flip(0), side).flip(1)  # from the top left, x then y
    density = noisy_density(real, grid, sigma=max(sigma, 0.7 * (high - low) / _PIXELS))
    return data_uri(veil(density.reshape(_PIXELS, _PIXELS).numpy(), _GREY))


def _scatters(limits: tuple[float, float]) -> Any:
    scale = alt.Scale(domain=list(limits), nice=False)
    axis = alt.Axis(labels=False, ticks=False, grid=False, title=None, domain=False)
    low, high = limits
    corners: dict[str, Any] = {
        "x": alt.XDatum(low, scale=scale, axis=axis),
        "x2": alt.X2Datum(high),
        "y": alt.YDatum(high, scale=scale, axis=axis),
        "y2": alt.Y2Datum(low),
    }
    image = alt.Chart().transform_filter("isValid(datum.url)").mark_image(aspect=False)
    points = alt.Chart(name="cells").mark_point(filled=True, size=2.5, opacity=0.7, color=COLOURS[1], clip=True)
    tooltip = ["choice:N", "epoch:N", alt.Tooltip("x:Q", format=".3f"), alt.Tooltip("y:Q", format=".3f")]
    return alt.layer(
        image.encode(url="url:N", **corners),
        points.encode(x=alt.X("x:Q", scale=scale, axis=axis), y=alt.Y("y:Q", scale=scale, axis=axis), tooltip=tooltip),
        data=named("samples"),
    )


# --- images


def _sheets(
    places: Sequence[Mapping[str, str]],
    cells: Sequence[Mapping[str, Any]],
    real: Tensor,
    generated: Tensor,
) -> list[dict[str, Any]]:
    """An image a panel, of a square of samples; the real ones are the last of every row."""
    low, high = float(real.min()), float(real.max())
    side = round(_TILES**0.5)

    def sheet(images: Tensor) -> str:
        return data_uri(tiles(np.nan_to_num(images.double().numpy()), columns=side, low=low, high=high))

    of_cells = [
        {**place, "cell_id": cell["cell_id"], "url": sheet(images)}
        for place, cell, images in zip(places, cells, generated, strict=True)
    ]
    choices = list(dict.fromkeys(place["choice"] for place in places))
    return [
        *of_cells,
        *(
            {"epoch": _REAL, "choice": choice, "url": sheet(real[index * _TILES : (index + 1) * _TILES])}
            for index, choice in enumerate(choices)
            if len(real) > index * _TILES
        ),
    ]


def _grids() -> Any:
    image = alt.Chart(name="cells").mark_image(aspect=False, smooth=False)
    whole = {"x": alt.value(0), "x2": alt.value("width"), "y": alt.value(0), "y2": alt.value("height")}
    return alt.layer(image.encode(url="url:N", **whole), data=named("samples"))


def _facets(layered: Any, down: str, across: str, names: Mapping[str, Sequence[str]]) -> Any:
    """Rows by columns, with names only where there are several."""
    about: dict[str, Any] = {"field": across, "type": "nominal", "sort": list(names[across])}
    about["header"] = alt.Header(title=None, labelPadding=3)
    if len(names[down]) == 1:
        return layered.facet(facet=alt.Facet(**about), columns=len(names[across]), spacing=5)
    header = alt.Header(title=None, labelAngle=0, labelAlign="left", labelBaseline="middle", labelPadding=3)
    row = alt.Row(field=down, type="nominal", sort=list(names[down]), header=header)
    return layered.facet(column=alt.Column(**about), row=row, spacing=5)


def _caption(
    job: str, seed: str, cells: Sequence[Mapping[str, Any]], *, is_plane: bool, capped: Sequence[str], num: int
) -> str:
    parts = [f"Job {job}: samples of its generators{seed}, of the same {num} latents in all panels"]
    if is_plane:
        parts.append(
            "Coloured points are generated; the grey is the density of held-out real samples under normal noise of the "
            "cell's \u03c3, where a perfect generator's points would lie once they are as noisy"
        )
    else:
        parts.append("Beside them held-out real images")
    if cells[0]["protocol"] == "probe":
        parts.append("They are the reference run's, which all of the job's losses and \u03c3 probe")
    return ". ".join(part[0].upper() + part[1:] for part in [*parts, *capped]) + "."
