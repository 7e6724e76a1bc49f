"""What ``harness plan`` prints."""

from __future__ import annotations

import json
from typing import Any

from rich.table import Table
from rich.text import Text

from ...errors import counted
from ...execution.durations import duration
from ...job.dirac import DiracGrid, DiracJob
from ...job.job import Grid
from ...planning.packs import TrainingPack
from ...planning.plan import Plan
from ..options import plain, results_console, say

_WORTH_SAYING = 0.01  # p below which no number of contrasts is likely to need


def plan_facts(plan: Plan) -> dict[str, Any]:
    """The plan's accounts as plain values."""
    difference = plan.difference
    return {
        "job": plan.job.name,
        "protocol": plan.job.protocol,
        "cells": len(plan.cells),
        "new": len(difference.new),
        "stale": len(difference.stale),
        "stale_because": dict(difference.reasons),
        "measured_again": len(difference.kept),
        "retried": len(difference.retried),
        "done": dict(difference.done),
        "runs": len(plan.runs),
        "probes": len(plan.probes),
        "packs": len(plan.packs),
        "training_packs": sum(isinstance(pack, TrainingPack) for pack in plan.packs),
        "epochs_trained": plan.epochs_shared,
        "epochs_one_training_per_cell": plan.epochs_one_training_per_cell,
        "slots": plan.slots,
        "expected_seconds": round(plan.expected_seconds, 1),
    }


def print_plan(plan: Plan, *, as_json: bool) -> None:
    """Prints the plan on standard output."""
    facts = plan_facts(plan)
    console = results_console()
    if as_json:
        console.print(json.dumps(facts, indent=2), markup=False, soft_wrap=True)
        return
    lines = _lines(plan, facts)
    if not console.is_terminal:  # a table would be padded to its longest line
        width = max(len(name) for name, _ in lines)
        for name, text in lines:
            say(f"{name:<{width}}  {text}")
        return
    table = Table.grid(padding=(0, 2))
    for name, text in lines:
        table.add_row(name, Text(plain(text)))  # names of losses and penalties are the user's
    console.print(table)


def _lines(plan: Plan, facts: dict[str, Any]) -> list[tuple[str, str]]:
    lines = [
        ("job", f"{facts['job']} (protocol {facts['protocol']}, problem {plan.job.problem.name})"),
        ("cells", f"{facts['cells']} = {' + '.join(_product(grid) for grid in plan.job.grid)}"),
    ]
    if isinstance(plan.job, DiracJob):
        return [*lines, *_outlook(facts)]
    kind = "reference run" if plan.job.protocol == "probe" else "run"
    each = "each " if facts["runs"] != 1 else ""
    lines.append(("runs", f"{counted(facts['runs'], kind)}, {each}trained once to epoch {plan.job.last_epoch}"))
    if plan.probes:
        shared = facts["cells"] - facts["probes"]
        share = f"{counted(shared, 'cell')} {'share' if shared != 1 else 'shares'}"
        note = f"; {share} another's probe (same discriminator objective)" if shared else ""
        lines.append(("probes", f"{counted(facts['probes'], 'fresh discriminator')}{note}"))
    lines.append(
        (
            "sharing",
            f"{counted(facts['epochs_trained'], 'epoch')} of training; one training per cell would cost "
            f"{facts['epochs_one_training_per_cell']}",
        )
    )
    lines.append(("seeds", _what_seeds_decide(min(len(grid.seed) for grid in plan.job.grid))))
    return [*lines, *_outlook(facts)]


def _what_seeds_decide(num: int) -> str:
    """What a comparison of two choices on so many seeds can show at all."""
    from ...theory.comparisons import detectable_effect, smallest_wilcoxon_p

    if num < 2:
        return f"{num}: decides nothing; 2 pairs are the least for an interval"
    least = f"no Wilcoxon p below {smallest_wilcoxon_p(num):.2g}; " if smallest_wilcoxon_p(num) > _WORTH_SAYING else ""
    return (
        f"{num}: {least}a single contrast shows a difference of {detectable_effect(num):.2f} standard deviations with "
        "power 0.8"
    )


def _outlook(facts: dict[str, Any]) -> list[tuple[str, str]]:
    """What is missing, why, in how many packs, and how long it will take."""
    lines = [("missing", _missing(facts))]
    lines += [("  stale", f"{reason} ({counted(count, 'cell')})") for reason, count in facts["stale_because"].items()]
    if again := facts["measured_again"]:
        what = "need no training: their generators are" if again != 1 else "needs no training: its generator is"
        lines.append(("  again", f"{again} of these {what} measured from snapshots"))
    if facts["packs"]:
        lines.append(("packs", f"{facts['packs']}, for {counted(facts['slots'], 'CPU slot')} of this machine"))
        lines.append(
            ("time", f"about {duration(facts['expected_seconds'])} on this machine without a GPU, start-up aside")
        )
    return lines


def _product(grid: Grid | DiracGrid) -> str:
    """``2 loss x 4 sigma x 3 epoch x 2 seed``; optional axes only where they vary."""
    return " x ".join(
        f"{len(values)} {name}"
        for name, values in grid
        if values is not None and (len(values) > 1 or name in ("loss", "sigma", "epoch", "seed"))
    )


def _missing(facts: dict[str, Any]) -> str:
    count = facts["new"] + facts["stale"] + facts["retried"]
    parts = [f"{facts[kind]} {kind}" for kind in ("new", "stale", "retried") if facts[kind]]
    done = ", ".join(f"{number} {status}" for status, number in facts["done"].items())
    have = f"; the store has {done}" if done else ""
    return (
        f"{counted(count, 'cell')} to compute ({', '.join(parts)})" if count else "nothing: every cell has a row"
    ) + have
