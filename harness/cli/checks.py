"""Commands that check and compare: ``harness verify`` and ``harness evaluate``."""

from __future__ import annotations

import json
import sys
from typing import Annotated, Literal

import typer

from ..errors import HarnessError
from .options import Quiet, err, say

app = typer.Typer()


@app.command()
def verify(
    only: Annotated[str, typer.Option("--only", metavar="IDS", help="Some statements, such as 2.4,3.3.")] = "",
    json_: Annotated[bool, typer.Option("--json", help="A JSON list, one object a statement.")] = False,
) -> None:
    """Check the theorems numerically, one line per statement; exit code 1 if any fails."""
    from dataclasses import asdict

    from ..verification import run_checks

    wanted = [part.strip() for part in only.split(",") if part.strip()] or None
    try:
        findings = run_checks(wanted)
    except ValueError as error:
        raise HarnessError(f"--only: {error}") from error
    rows = []
    for finding in findings:
        rows.append(asdict(finding))
        if not json_:
            verdict = "pass" if finding.passed else "FAIL"
            say(
                f"{verdict}  {finding.statement:<13} margin {finding.margin:6.3f} {finding.seconds:5.1f} s  "
                f"{finding.title}: measured {finding.measured}; theory {finding.theory}"
            )
    failed = [row["statement"] for row in rows if not row["passed"]]
    if json_:
        # JSON has no infinity; its readers take 1e999 for one
        text = json.dumps(rows, indent=2).replace('"margin": -Infinity', '"margin": -1e999')
        sys.stdout.write(text + "\n")
    else:
        seconds = sum(row["seconds"] for row in rows)
        text = f"{len(rows) - len(failed)} of {len(rows)} statements hold, {seconds:.0f} s"
        say(text + (f"; failed: {', '.join(failed)}" if failed else ""))
    raise typer.Exit(1 if failed else 0)


@app.command()
def evaluate(
    real: Annotated[str, typer.Option("--real", metavar="A", help="A .npy file [n, ...], or a folder of images.")],
    fake: Annotated[str, typer.Option("--fake", metavar="B", help="The same, of the same dimension.")],
    sigma: Annotated[
        list[float] | None, typer.Option("--sigma", help="Noise, in data units; may be repeated. 13 values without it.")
    ] = None,
    size: Annotated[int | None, typer.Option("--size", min=1, help="Resize the images of folders.")] = None,
    channels: Annotated[
        Literal["1", "3"], typer.Option("--channels", help="Of the images of folders: 3, or 1 for grey.")
    ] = "3",
    draws: Annotated[int, typer.Option("--draws", min=10, help="From each noisy measure.")] = 2000,
    directions: Annotated[int, typer.Option("--directions", min=1, help="Of the sliced bound.")] = 64,
    w1_samples: Annotated[
        int, typer.Option("--w1-samples", min=0, help="Leave out the exact W1 of larger sets; its memory is quadratic.")
    ] = 4000,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of draws and directions.")] = 0,
    json_: Annotated[bool, typer.Option("--json", help="A JSON list, one object a sigma, named as in cells.")] = False,
    quiet: Quiet = False,
) -> None:
    """Measure any two sample sets: exact divergences under noise, all bounds, W1 and sliced W1."""
    from ..evaluation.compare import compare, to_table
    from ..evaluation.files import open_samples
    from ..execution.progress import work_display
    from .printing.rendering import print_fitted, to_text, write

    with work_display(err, "evaluate", enabled=not quiet) as progress:
        rows, remarks = compare(
            open_samples(real, size=size, channels=3 if channels == "3" else 1),
            open_samples(fake, size=size, channels=3 if channels == "3" else 1),
            sigmas=sigma or (),
            num_draws=draws,
            num_directions=directions,
            max_for_w1=w1_samples,
            seed=seed,
            progress=progress,
        )
    for remark in remarks:
        say(remark, to=err)
    table = to_table(rows)
    if json_:
        write(to_text(table, form="json"))
    else:
        shared = [name for name in _SHARED if name in table.column_names]
        for name in shared:
            value = table[name][0].as_py()
            say(f"{name:<24} {'-' if value is None else f'{value:.6g}'}")
        by_sigma = table.select([name for name in _BY_SIGMA if name in table.column_names])
        by_sigma = by_sigma.rename_columns([name.replace("_", " ") for name in by_sigma.column_names])
        importance = [name.replace("_", " ") for name in _IMPORTANCE]
        print_fitted(by_sigma, axes=["sigma"], importance=importance, way_out="--json shows them all.")
    if not all(row["bound_holds"] for row in rows):
        say("a bound is below the distance it bounds: this must not happen, please report it", to=err, style="red")
        raise typer.Exit(1)


_SHARED = (
    *("num_samples", "data_diameter", "w1", "bound_best", "bound_best_sigma"),
    *("w1_sliced", "bound_sliced_best", "bound_sliced_best_sigma"),
)
_BY_SIGMA = (
    *("sigma", "jsd_mixture", "jsd_mixture_se", "tv", "kl_real_fake", "kl_fake_real"),
    *("bound_paper", "bound_sharp", "bound_weighted", "bound_sliced", "bound_holds"),
)
_IMPORTANCE = (  # what a narrow terminal is to show before others
    *("bound_holds", "jsd_mixture", "bound_paper", "bound_sliced", "bound_sharp", "bound_weighted"),
    *("tv", "jsd_mixture_se", "kl_real_fake", "kl_fake_real"),
)
