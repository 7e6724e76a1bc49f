"""The commands ``harness figure ...``: each with the options of its own figure alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from typer.core import TyperGroup

from ..errors import HarnessError
from .options import Results, say

if TYPE_CHECKING:
    from ..figures.picture import Picture
    from ..storage import query

_MEANT: Mapping[str, str] = {
    **{f"fig{number}": f"probes --which {number}" for number in (1, 2, 3)},
    **{f"figure_{number}": f"probes --which {number}" for number in (1, 2, 3)},
    "trajectories": "paths",
    "dirac": "paths",
    "schedule": "schedules",
    "noise": "sigma",
    "contrasts": "compare",
    "tails": "spectrum",
    "images": "samples",
    "curves": "lines",
}
"""What other names, and those of earlier versions, mean."""


class _Group(TyperGroup):
    """Says what is meant by a name that is none of the commands, but means one."""

    def resolve_command(self, context: Any, arguments: list[str]) -> Any:
        name = arguments[0] if arguments else ""
        if name in _MEANT and name not in self.commands:
            context.fail(f"No such command '{name}'. Did you mean '{_MEANT[name]}'?")
        return super().resolve_command(context, arguments)


app = typer.Typer(
    cls=_Group, help="Draw a figure from the results of a job, or of noise schedules.", no_args_is_help=True
)

Output = Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="Ends in .png, .pdf, .svg or .html.")]
JobOption = Annotated[str, typer.Option("--job", metavar="NAME", help="A job with results in the store.")]
Width = Annotated[
    Literal["single", "double"], typer.Option("--width", help="Of one column of a paper (252 pt), or of two (519 pt).")
]
Dark = Annotated[bool, typer.Option("--dark", help="On a dark ground.")]
Y = Annotated[str, typer.Option("--y", metavar="METRIC", help="A column of cells, or a metric of the job.")]
X = Annotated[str | None, typer.Option("--x", metavar="AXIS", help="epoch, sigma, loss, ...; by itself what varies.")]
By = Annotated[
    str | None, typer.Option("--by", metavar="AXIS", help="What tells lines or rows apart; none for one of them.")
]
Panels = Annotated[str | None, typer.Option("--panels", metavar="AXIS", help="A panel a value; none for one panel.")]
BandOption = Annotated[
    Literal["ci", "range", "none"],
    typer.Option("--band", help="Over seeds: 95 % t intervals of the mean, the range, or nothing."),
]
Where = Annotated[
    list[str] | None,
    typer.Option("--where", metavar="AXIS=VALUE", help="The value of an axis that is not shown; may be repeated."),
]


@app.command()
def lines(
    job: JobOption,
    output: Output,
    results: Results = "results",
    y: Y = "w1",
    x: X = None,
    by: By = None,
    panels: Panels = None,
    band: BandOption = "ci",
    where: Where = None,
    width: Width = "double",
    dark: Dark = False,
) -> None:
    """Any metric over any axis: means over seeds with their intervals."""
    from ..figures.lines import lines as draw
    from ..figures.selection import View

    view = View(y, x, by, panels, _pairs(where))
    _draw(output, results, lambda store: draw(store, job, view, band=band), width=width, dark=dark)


@app.command()
def heatmap(
    job: JobOption,
    output: Output,
    results: Results = "results",
    y: Y = "w1",
    x: X = None,
    by: By = None,
    panels: Panels = None,
    where: Where = None,
    width: Width = "double",
    dark: Dark = False,
) -> None:
    """Any metric over two axes, --x and --by, as colours and numbers."""
    from ..figures.heatmap import heatmap as draw
    from ..figures.selection import View

    view = View(y, x, by, panels, _pairs(where))
    _draw(output, results, lambda store: draw(store, job, view), width=width, dark=dark)


@app.command()
def samples(
    job: JobOption,
    output: Output,
    results: Results = "results",
    where: Where = None,
    width: Width = "double",
    dark: Dark = False,
) -> None:
    """Samples of generators beside real ones, over epochs: images, or points over the noisy density."""
    from ..figures.samples import Choice
    from ..figures.samples import samples as draw

    choice = Choice(_pairs(where))
    _draw(output, results, lambda store: draw(store, job, choice), width=width, dark=dark)


@app.command()
def bound(
    job: JobOption,
    output: Output,
    results: Results = "results",
    panels: Panels = None,
    where: Where = None,
    width: Width = "double",
    dark: Dark = False,
) -> None:
    """The bound against sigma: both terms, the exact W1, the floor, and where it says nothing.

    Of protocol probe from the rows, means over seeds. Of protocol train a generator is measured again at each sigma of
    the evaluation, from its snapshot, which takes some seconds.
    """
    from ..figures import bound as figure

    def draw(store: query.Results) -> Picture:
        if figure.has_probes(store, job):
            return figure.bound(store, job, panels=panels, where=_pairs(where))
        return figure.bound_again(store, job, where=_pairs(where))

    _draw(output, results, draw, width=width, dark=dark)


@app.command()
def compare(
    job: JobOption,
    output: Output,
    results: Results = "results",
    other: Annotated[str | None, typer.Option("--other", metavar="NAME", help="A second job, to compare with.")] = None,
    by: Annotated[str | None, typer.Option("--by", metavar="AXIS", help="As of 'harness compare'.")] = None,
    metric: Annotated[
        str, typer.Option("--metric", metavar="NAMES", help="Columns of cells, or metrics.")
    ] = "w1,bound_best",
    against: Annotated[
        str | None, typer.Option("--against", metavar="VALUE", help="The first of the job file without it.")
    ] = None,
    epoch: Annotated[int | None, typer.Option("--epoch", help="The last that all have without it.")] = None,
    width: Width = "double",
    dark: Dark = False,
) -> None:
    """Contrasts of seeds with intervals and verdicts, as 'harness compare' prints them."""
    from ..figures.contrasts import contrasts as draw
    from .compare import names_of

    metrics = names_of(metric)
    _draw(
        output,
        results,
        lambda store: draw(store, job, other, by=by, metrics=metrics, against=against, epoch=epoch),
        width=width,
        dark=dark,
    )


@app.command()
def probes(
    job: JobOption,
    output: Output,
    results: Results = "results",
    which: Annotated[
        int,
        typer.Option(
            "--which",
            min=1,
            max=3,
            help="1: error and accuracy of fresh discriminators. 2: the generator's gradient under log(1 - D). "
            "3: the same under -log D, and its variance.",
        ),
    ] = 1,
    by: Annotated[
        Literal["epoch", "sigma", "batch_norm"], typer.Option("--by", help="What tells lines apart.")
    ] = "epoch",
    epoch: Annotated[int | None, typer.Option("--epoch", help="Where lines are not by epoch; the job's first.")] = None,
    sigma: Annotated[
        float | None, typer.Option("--sigma", help="Where lines are not by sigma; the job's first.")
    ] = None,
    batch_norm: Annotated[
        Literal["joint", "separate", "none"] | None,
        typer.Option("--batch-norm", help="Where lines are not by batch_norm; separate if the job has it."),
    ] = None,
    width: Width = "double",
    dark: Dark = False,
) -> None:
    """Figures 1 to 3 of Arjovsky & Bottou (2017)."""
    from ..figures.probes import Selection
    from ..figures.probes import probes as draw

    selection = Selection(by, epoch, sigma, batch_norm)
    of: dict[int, Literal[1, 2, 3]] = {1: 1, 2: 2, 3: 3}
    _draw(output, results, lambda store: draw(store, job, of[which], selection), width=width, dark=dark)


@app.command()
def spectrum(
    job: JobOption,
    output: Output,
    results: Results = "results",
    x: X = None,
    by: By = None,
    band: BandOption = "ci",
    where: Where = None,
    width: Width = "double",
    dark: Dark = False,
) -> None:
    """Tails of the generator's gradient, beside what Cauchy and normal coordinates would show."""
    from ..figures.selection import View
    from ..figures.spectrum import spectrum as draw

    view = View(x=x, by=by, where=_pairs(where))
    _draw(output, results, lambda store: draw(store, job, view, band=band), width=width, dark=dark)


@app.command()
def paths(
    job: JobOption, output: Output, results: Results = "results", width: Width = "double", dark: Dark = False
) -> None:
    """Paths of Dirac-GANs in the plane of their two parameters."""
    from ..figures.paths import paths as draw

    _draw(output, results, lambda store: draw(store, job), width=width, dark=dark)


@app.command()
def sigma(
    job: JobOption, output: Output, results: Results = "results", width: Width = "double", dark: Dark = False
) -> None:
    """Noise over a job's training, as it was; adaptive schedules too."""
    from ..figures.sigma import noise_over_training

    _draw(output, results, lambda store: noise_over_training(store, job), width=width, dark=dark)


@app.command()
def search(
    job: JobOption, output: Output, results: Results = "results", width: Width = "double", dark: Dark = False
) -> None:
    """What a search over schedules found, how it went, what mattered, and whether to believe it."""
    from ..figures.search import search as draw

    _draw(output, results, lambda store: draw(store, job), width=width, dark=dark)


@app.command()
def schedules(
    schedules: Annotated[
        list[str],
        typer.Option(
            "--schedule",
            metavar="YAML",
            help="As in a job file: {schedule: linear, start: 1, end: 0}; may be repeated.",
        ),
    ],
    output: Output,
    width: Width = "double",
    dark: Dark = False,
) -> None:
    """Noise schedules over training time, by their formulas."""
    from ..figures import sigma as figure
    from ..figures.picture import check_output

    check_output(output)
    _save(figure.schedules(_functions(schedules)), output, width=width, dark=dark)


def _draw(
    output: Path,
    results: str,
    draw: Callable[[query.Results], Picture],
    *,
    width: Literal["single", "double"],
    dark: bool,
) -> None:
    from ..figures.picture import check_output
    from ..storage.query import open_results

    check_output(output)
    _save(draw(open_results(results)), output, width=width, dark=dark)


def _save(picture: Picture, output: Path, *, width: Literal["single", "double"], dark: bool) -> None:
    """Writes the file, and says what is to be printed under it."""
    from ..figures.picture import save

    save(picture, output, width=width, theme="dark" if dark else "light")
    say(picture.caption)


def _pairs(texts: list[str] | None) -> dict[str, str]:
    """``AXIS=VALUE`` by axis."""
    found = {}
    for text in texts or []:
        axis, equals, value = text.partition("=")
        if not equals:
            raise HarnessError(f"--where {text}: give an axis and its value, such as --where loss=minimax")
        found[axis.strip()] = value.strip()
    return found


def _functions(texts: list[str]) -> dict[str, Callable[[float], float]]:
    """The schedules of job file texts, by what they are."""
    from pydantic import TypeAdapter, ValidationError
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    from ..job.parts.noise import AnySigma

    functions: dict[str, Callable[[float], float]] = {}
    for text in texts:
        try:
            sigma = TypeAdapter(AnySigma).validate_python(YAML(typ="safe").load(text))
        except YAMLError as error:
            raise HarnessError(f"--schedule {text}: not YAML: {error}") from error
        except ValidationError as error:
            raise HarnessError(
                f"--schedule {text}: {error.errors()[0]['msg'].removeprefix('Value error, ')}"
            ) from error
        if sigma.schedule.adapts:
            raise HarnessError(
                f"--schedule {text}: an adaptive schedule depends on the training; draw what it did with "
                "'harness figure sigma --job NAME'"
            )
        functions[str(sigma)] = sigma.schedule
    return functions
