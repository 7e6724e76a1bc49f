"""The same work with the harness and with what anyone would use instead; writes docs/benchmarks.md.

python benchmarks/compare.py [--only NAME ...] [--repeat 5] [--before FOLDER]

Every line is a ratio within one run on one machine, with nothing else running. `--before` is a checkout of the commit
that the issue calls today's (2d32b23), for the lines that compare with it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT))
PAGE = ROOT / "docs" / "benchmarks.md"
KEPT = ROOT / "benchmarks" / "figures.json"
PEERS = ROOT / "benchmarks" / "peers"
HARNESS = [sys.executable, "-m", "harness"]


@dataclass(frozen=True)
class Line:
    """One comparison: our time over another's, and what the ratio should be (at most)."""

    work: str
    against: str
    ours: float
    others: float
    unit: str
    at_most: float
    runs: int = 1  # of which this is the one of median ratio

    @property
    def ratio(self) -> float:
        return self.ours / self.others


def seconds(command: list[str], *, cores: str | None = None, cwd: Path = ROOT) -> float:
    """Wall time of a process, from start to exit."""
    started = time.perf_counter()
    _run(command, cores=cores, cwd=cwd)
    return time.perf_counter() - started


def answer(command: list[str], *, cores: str | None = "0", cwd: Path = ROOT) -> float:
    """The number that a process prints last."""
    return float(_run(command, cores=cores, cwd=cwd).split()[-1])


def part(*arguments: str, cores: str | None = "0") -> tuple[float, float]:
    """Our time and the other's, which a piece of `parts.py` prints last."""
    ours, others = _run([sys.executable, "benchmarks/parts.py", *arguments], cores=cores, cwd=ROOT).split()[-2:]
    return float(ours), float(others)


def cpu_seconds(command: list[str], *, cwd: Path) -> float:
    """Processor time of a process on one core."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    _run(command, cores="0", cwd=cwd)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _run(command: list[str], *, cores: str | None, cwd: Path) -> str:
    pinned = ["taskset", "-c", cores, *command] if cores else command
    environment = {**os.environ, "PYTHONPATH": str(cwd)}
    found = subprocess.run(pinned, capture_output=True, text=True, cwd=cwd, env=environment, check=False)
    if found.returncode:
        raise SystemExit(f"{' '.join(pinned)} ended with {found.returncode}:\n{found.stdout}\n{found.stderr}")
    return found.stdout


def ring_runs(scratch: Path, _before: Path | None) -> list[Line]:
    """The 32 runs, from start to exit; ours are evaluated, the others' not."""
    work = "32 ring runs of 1,000 steps, start to exit (ours with evaluation)"
    ours = seconds([*HARNESS, "run", "benchmarks/ring_32.yaml", "--results", str(scratch / "ring")])
    jax = seconds([sys.executable, str(PEERS / "jax_ring.py"), str(scratch / "jax.npy")])
    tune = seconds([sys.executable, str(PEERS / "ray_tune.py"), str(scratch / "tune.npy")])
    _check_agreement(scratch)
    return [
        Line(work, "Ray Tune, without evaluation", ours, tune, "s", 1 / 6),
        Line(work, "JAX, compilation included, without evaluation", ours, jax, "s", 1.0),
    ]


def _check_agreement(scratch: Path) -> None:
    """The comparison is void unless the final distances of all agree within the noise of seeds."""
    import numpy as np
    import torch

    import harness
    from benchmarks.peers.torch_loop import ring
    from harness.theory.transport import w1

    cells = harness.open_results(scratch / "ring").query("SELECT w1 FROM cells ORDER BY loss, sigma, seed")
    torch.manual_seed(0)
    real = ring(1000)
    of_peers = [[w1(real, torch.tensor(x).float()) for x in np.load(scratch / f"{n}.npy")] for n in ("jax", "tune")]
    distances = np.array([cells["w1"].to_pylist(), *of_peers]).reshape(3, 8, 4)
    means, errors = distances.mean((1, 2)), distances.std(2, ddof=1).mean(1) / np.sqrt(32)
    print("mean final W1 (ours, JAX, Ray Tune):", means.round(3), "+-", errors.round(3))
    for index in (1, 2):
        if abs(means[0] - means[index]) > 3 * np.hypot(errors[0], errors[index]):
            raise SystemExit("the final distances differ by more than seed noise: the comparison is void")


def member_step(scratch: Path, _before: Path | None) -> list[Line]:
    """A step of one of 16 members on one core."""
    ours = answer([sys.executable, "benchmarks/parts.py", "member_step"])
    command = [str(PEERS / "jax_ring.py"), str(scratch / "step.npy"), "--runs", "16", "--steps", "300", "--repeat", "5"]
    return [
        Line(
            "member-step, pack of 16, one core",
            "JAX, compiled, one core",
            ours,
            answer([sys.executable, *command]),
            "ms",
            1.7,
        )
    ]


def evaluation(_scratch: Path, before: Path | None) -> list[Line]:
    """The measures of one generator of the ring on one core."""
    if before is None:
        return []
    ours, theirs = (
        answer([sys.executable, str(ROOT / "benchmarks" / "parts.py"), "evaluation"], cwd=at) for at in (ROOT, before)
    )
    return [Line("evaluation of a ring cell, one core", "commit 2d32b23", ours, theirs, "s", 1 / 6)]


def quickstart(scratch: Path, before: Path | None) -> list[Line]:
    """The quickstart in one process, start-up included."""
    if before is None:
        return []
    times = [
        cpu_seconds(
            [*HARNESS, "run", "jobs/quickstart.yaml", "--executor", "serial", "--results", str(scratch / f"q{n}")],
            cwd=at,
        )
        for n, at in enumerate((ROOT, before))
    ]
    return [Line("quickstart, processor time", "commit 2d32b23", times[0], times[1], "s", 1 / 1.8)]


def alone(_scratch: Path, _before: Path | None) -> list[Line]:
    """A DCGAN run alone in its pack on one core."""
    lines = []
    for width in ("16", "64"):
        ours, theirs = part("alone", width)
        lines.append(
            Line(
                f"a step of one DCGAN run, 32x32, width {width}, alone",
                "the bare PyTorch loop",
                ours,
                theirs,
                "ms",
                1.03,
            )
        )
    return lines


def start_up(scratch: Path, _before: Path | None) -> list[Line]:
    """One trivial cell, warm."""
    command = [*HARNESS, "run", "benchmarks/one_cell.yaml", "--results"]
    seconds([*command, str(scratch / "warm")])
    ours = seconds([*command, str(scratch / "one")])
    code = "import ray; ray.init(address='local', include_dashboard=False, log_to_driver=False); ray.shutdown()"
    return [
        Line(
            "one trivial cell, start to exit, warm",
            "ray.init and ray.shutdown in one process",
            ours,
            seconds([sys.executable, "-c", code]),
            "s",
            1.7,
        )
    ]


def mixtures(_scratch: Path, _before: Path | None) -> list[Line]:
    """Densities of noisy sample sets."""
    large, small = part("mixture", cores=None), part("density")
    return [
        Line(
            "mixture JSD, 10,000 x 10,000, d = 1,024, 8 sigmas",
            "8 sgemm calls of 20,000 x 20,000 x 1,024",
            *large,
            "s",
            0.4,
        ),
        Line(
            "densities at n = 2,000, d = 2, one sigma",
            "scikit-learn KernelDensity, exact",
            *small,
            "s",
            0.1,
        ),
    ]


def plans(scratch: Path, _before: Path | None) -> list[Line]:
    """Plans of large grids."""
    imports = seconds([sys.executable, "-c", "import typer, rich, pydantic"])
    lines = []
    for num, at_most in ((10_000, 10.0), (100_000, 80.0)):
        job = scratch / f"plan_{num}.yaml"
        text = (ROOT / "benchmarks" / "trivial_20000.yaml").read_text()
        start, stop = text.index("seed: ["), text.index("]", text.index("seed: ["))
        job.write_text(text[:start] + "seed: " + json.dumps(list(range(num // 10))) + text[stop + 1 :])
        ours = seconds([*HARNESS, "plan", str(job), "--results", str(scratch / "none")])
        lines.append(
            Line(f"plan of {num:,} cells", "python -c 'import typer, rich, pydantic'", ours, imports, "s", at_most)
        )
    return lines


def search(scratch: Path, before: Path | None) -> list[Line]:
    """The search of `jobs/tune_ring.yaml`."""
    if before is None:
        return []
    ours, theirs = (
        seconds([*HARNESS, "tune", "jobs/tune_ring.yaml", "--results", str(scratch / f"t{n}")], cwd=at)
        for n, at in enumerate((ROOT, before))
    )
    return [Line("harness tune jobs/tune_ring.yaml, start to exit", "commit 2d32b23", ours, theirs, "s", 0.5)]


def many_cells(scratch: Path, _before: Path | None) -> list[Line]:
    """20,000 trivial cells."""
    printed = _run([sys.executable, "benchmarks/parts.py", "many", str(scratch / "many")], cores=None, cwd=ROOT)
    return [
        Line("20,000 trivial cells, after start-up", "500 cells a second", float(printed.split()[-1]), 40.0, "s", 1.0)
    ]


def aggregates(scratch: Path, _before: Path | None) -> list[Line]:
    """A query of a large store, as it was written and compacted."""
    times = part("aggregate", str(scratch / "large"), cores=None)
    return [
        Line(f"average over 10 million rows of curves, {files}", f"{at_most:g} s", ours, at_most, "s", 1.0)
        for files, ours, at_most in zip(("2,000 parts", "compacted"), times, (2.0, 1.0), strict=True)
    ]


COMPARISONS: Mapping[str, Callable[[Path, Path | None], list[Line]]] = {
    "ring_runs": ring_runs,
    "plans": plans,
    "start_up": start_up,
    "member_step": member_step,
    "evaluation": evaluation,
    "alone": alone,
    "mixtures": mixtures,
    "quickstart": quickstart,
    "many_cells": many_cells,
    "aggregates": aggregates,
    "search": search,
}


def page(lines: list[Line]) -> str:
    """The page with all lines."""
    rows = [
        f"| {line.work} | {line.ours:.3g} {line.unit} | {line.against} | {line.others:.3g} {line.unit} "
        f"| {line.ratio:.3g} | {line.at_most:.3g} | {'yes' if line.ratio <= line.at_most else '**no**'} | {line.runs} |"
        for line in lines
    ]
    processor = next(
        (text.split(":")[1].strip() for text in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in text),
        "",
    )
    table = "\n".join(
        [
            "| work | ours | against | theirs | ratio | at most | met | runs |",
            "|---|---|---|---|---|---|---|---|",
            *rows,
        ]
    )
    notes = (ROOT / "benchmarks" / "notes.md").read_text()
    return f"""# Benchmarks

Each line is the same work done by the harness and by what anyone would use instead, one after the other on
{os.cpu_count()} cores of {processor}, without a GPU, with Python {platform.python_version()}.
A ratio is our time over theirs; of several runs the one of median ratio is shown. `make bench` measures each once,
`make bench-full` five times.

{table}

{notes}"""


def main() -> None:
    """Runs the comparisons; after each keeps the figures and writes the page."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", nargs="*", default=list(COMPARISONS), choices=list(COMPARISONS))
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--before", type=Path)
    options = parser.parse_args()
    found: dict[str, list[Line]] = {}
    if KEPT.exists():
        found = {name: [Line(**line) for line in lines] for name, lines in json.loads(KEPT.read_text()).items()}
    for name in options.only:
        rounds = []
        for _ in range(options.repeat):
            with tempfile.TemporaryDirectory() as scratch:
                rounds.append(COMPARISONS[name](Path(scratch), options.before))
        medians = [
            replace(sorted(lines, key=lambda line: line.ratio)[(len(lines) - 1) // 2], runs=len(lines))
            for lines in zip(*rounds, strict=True)
        ]
        for line in medians:
            print(
                f"{line.work}: {line.ours:.3g} {line.unit}, {line.against}: {line.others:.3g}, ratio {line.ratio:.3g}",
                flush=True,
            )
        found[name] = medians or found.get(name, [])
        kept = {known: [vars(line) for line in found.get(known, [])] for known in COMPARISONS}
        KEPT.write_text(json.dumps(kept, indent=1) + "\n")
        PAGE.write_text(page([line for known in COMPARISONS for line in found.get(known, [])]))


if __name__ == "__main__":
    main()
