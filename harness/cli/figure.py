"""The command ``harness figure``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from ..errors import HarnessError
from ..theory.schedules import Schedule
from .options import Results

app = typer.Typer()


@app.command()
def figure(
    name: Annotated[
        Literal["fig1", "fig2", "fig3", "trajectories", "sigma", "schedule", "search"],
        typer.Argument(
            help="fig1: error and accuracy of fresh discriminators; fig2, fig3: the generator's gradient under "
            "log(1 - D) and -log D; trajectories: paths of Dirac-GANs; sigma: noise over a job's training; "
            "schedule: of one or more --schedule; search: what a search found."
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Ends in .png, .pdf or .svg.")],
    job: Annotated[str | None, typer.Option("--job", metavar="NAME", help="A job with results in the store.")] = None,
    results: Results = "results",
    by: Annotated[
        Literal["epoch", "sigma", "batch_norm"], typer.Option("--by", help="fig1 to fig3: what tells lines apart.")
    ] = "epoch",
    epoch: Annotated[int | None, typer.Option("--epoch", help="fig1 to fig3: where lines are not by epoch.")] = None,
    sigma: Annotated[float | None, typer.Option("--sigma", help="fig1 to fig3: where lines are not by sigma.")] = None,
    batch_norm: Annotated[
        Literal["joint", "separate", "none"] | None,
        typer.Option("--batch-norm", help="fig1 to fig3: where lines are not by batch_norm; separate by default."),
    ] = None,
    schedule: Annotated[
        list[str] | None,
        typer.Option("--schedule", metavar="YAML", help="As in a job file: {schedule: linear, start: 1, end: 0}."),
    ] = None,
) -> None:
    """Draw a figure from the results of a job."""
    from ..figures import paths, probes, style
    from ..figures import sigma as sigmas

    style.check_format(output)
    if name == "schedule":
        drawn = sigmas.schedules(_functions(schedule or []))
    elif job is None:
        raise HarnessError(f"{name} needs --job NAME, a job with results in the store")
    else:
        from ..figures.search import search
        from ..storage.query import open_results

        draw = {
            "fig1": probes.figure_1,
            "fig2": probes.figure_2,
            "fig3": probes.figure_3,
            "trajectories": paths.trajectories,
            "sigma": sigmas.noise_over_training,
            "search": search,
        }[name]
        drawn = draw(open_results(results), job, probes.Selection(by, epoch, sigma, batch_norm))
    style.save(drawn, output)


def _functions(texts: list[str]) -> dict[str, Schedule]:
    """The schedules of job file texts, by what they are."""
    from pydantic import TypeAdapter, ValidationError
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    from ..job.parts.noise import SigmaValue
    from ..theory.schedules import Adaptive

    if not texts:
        raise HarnessError("schedule needs --schedule '{schedule: linear, start: 1, end: 0}', once or more often")
    functions = {}
    for text in texts:
        try:
            sigma = TypeAdapter(SigmaValue).validate_python(YAML(typ="safe").load(text))
        except YAMLError as error:
            raise HarnessError(f"--schedule {text}: not YAML: {error}") from error
        except ValidationError as error:
            raise HarnessError(
                f"--schedule {text}: {error.errors()[0]['msg'].removeprefix('Value error, ')}"
            ) from error
        function = sigma.function()
        if isinstance(function, Adaptive):
            raise HarnessError(
                f"--schedule {text}: an adaptive schedule depends on the training; draw what it did with "
                "'harness figure sigma --job NAME'"
            )
        functions[str(sigma)] = function
    return functions
