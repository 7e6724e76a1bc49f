"""The commands ``harness figure ...``: each with the options of its own figure alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ..errors import HarnessError
from .options import Results

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..storage import query

app = typer.Typer(help="Draw a figure from the results of a job, or of noise schedules.", no_args_is_help=True)

Output = Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="Ends in .png, .pdf or .svg.")]
JobOption = Annotated[str, typer.Option("--job", metavar="NAME", help="A job with results in the store.")]
By = Annotated[Literal["epoch", "sigma", "batch_norm"], typer.Option("--by", help="What tells lines apart.")]
Epoch = Annotated[int | None, typer.Option("--epoch", help="Where lines are not by epoch; the first of the job.")]
Sigma = Annotated[float | None, typer.Option("--sigma", help="Where lines are not by sigma; the first of the job.")]
BatchNorm = Annotated[
    Literal["joint", "separate", "none"] | None,
    typer.Option("--batch-norm", help="Where lines are not by batch_norm; separate if the job has it."),
]


def _add_figure_of_probes(name: Literal["figure_1", "figure_2", "figure_3"], meaning: str) -> None:
    @app.command(name.replace("ure_", ""), help=f"{meaning} (Arjovsky & Bottou 2017).")
    def command(
        job: JobOption,
        output: Output,
        results: Results = "results",
        by: By = "epoch",
        epoch: Epoch = None,
        sigma: Sigma = None,
        batch_norm: BatchNorm = None,
    ) -> None:
        from ..figures import probes

        draw = {"figure_1": probes.figure_1, "figure_2": probes.figure_2, "figure_3": probes.figure_3}[name]
        selection = probes.Selection(by, epoch, sigma, batch_norm)
        _draw(output, results, lambda store: draw(store, job, selection))


_add_figure_of_probes("figure_1", "Error and accuracy of fresh discriminators")
_add_figure_of_probes("figure_2", "The generator's gradient under log(1 - D)")
_add_figure_of_probes("figure_3", "The generator's gradient under -log D, and its variance")


@app.command()
def trajectories(job: JobOption, output: Output, results: Results = "results") -> None:
    """Paths of Dirac-GANs in the plane of their two parameters."""
    from ..figures import paths

    _draw(output, results, lambda store: paths.trajectories(store, job))


@app.command()
def sigma(job: JobOption, output: Output, results: Results = "results") -> None:
    """Noise over a job's training, as it was; adaptive schedules too."""
    from ..figures.sigma import noise_over_training

    _draw(output, results, lambda store: noise_over_training(store, job))


@app.command()
def search(job: JobOption, output: Output, results: Results = "results") -> None:
    """What a search over schedules found, how it went, what mattered, and whether to believe it."""
    from ..figures import search as figure

    _draw(output, results, lambda store: figure.search(store, job))


@app.command()
def schedule(
    schedules: Annotated[
        list[str],
        typer.Option(
            "--schedule",
            metavar="YAML",
            help="As in a job file: {schedule: linear, start: 1, end: 0}; may be repeated.",
        ),
    ],
    output: Output,
) -> None:
    """Noise schedules over training time, by their formulas."""
    from ..figures import sigma as figure
    from ..figures import style

    style.check_output(output)
    style.save(figure.schedules(_functions(schedules)), output)


def _draw(output: Path, results: str, draw: Callable[[query.Results], Figure]) -> None:
    from ..figures import style
    from ..storage.query import open_results

    style.check_output(output)
    style.save(draw(open_results(results)), output)


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
