"""Writes the pages of docs/reference from the code: `python docs/_generate.py`.

tests/test_docs.py says if one is stale.
"""

from __future__ import annotations

import inspect
import re
import types
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Union

import annotated_types
import typer.main
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from harness.cli.app import app
from harness.cli.printing.catalogue import PARTS
from harness.job import dirac, job, space, tune
from harness.job.parts import losses, noise, schedules, settings
from harness.job.parts.part import Part
from harness.job.parts.penalties import Strength
from harness.job.spec import MAX_COUNT, Spec
from harness.job.strategies import PRUNERS, SAMPLERS, Pruner, Sampler
from harness.storage.records import STATUSES, TABLES
from harness.theory.losses import LOSSES

FOLDER = Path(__file__).parent / "reference"
WRITTEN = "<!-- Written by docs/_generate.py from the code; a change here is lost. -->\n\n"

# Annotations whose meaning is in a validator: what a reader should be told instead.
_ALIASES: tuple[tuple[Any, str], ...] = (
    (settings.JobName, "letters, digits and `_ . -`"),
    (losses.LossName, "[loss](#losses)"),
    (noise.AnySigma, "[noise](#noise-and-its-schedules)"),
    (noise.NoiseName, "[family of noise](#families-of-noise)"),
    (Strength, "number ≥ 0, or [schedule](#schedules)"),
    (Sampler, "[sampler](#samplers-and-pruners)"),
    (Pruner, "[pruner](#samplers-and-pruners)"),
    (space.Parameter, "number or [range](#range)"),
    (schedules.NotNegative, "number ≥ 0"),
    (schedules.Fraction, "number > 0, ≤ 1"),
)
_KINDS = {
    "problem": ("Problems", "problems", "where real samples come from"),
    "network": ("Networks", "networks", "generator and discriminator"),
    "optimizer": ("Optimizers", "optimizers", "of `training.optimizer` and `probe.optimizer`"),
    "penalty": ("Penalties", "penalties", "terms of the discriminator's loss, or acts on its weights"),
    "schedule": (
        "Schedules",
        "schedules",
        "sigma, or a penalty's strength, as a function of the fraction t of training",
    ),
    "noise": ("Families of noise", "noises", "`noise` beside a `sigma` or a `schedule`"),
    "metric": ("Metrics", "metrics", "of `evaluation.metrics`"),
    "feature space": ("Feature spaces", "features", "of `evaluation.features`, or of one metric"),
}
_MODELS: tuple[tuple[str, type[Spec]], ...] = (
    ("A job of protocol probe or train", job.Job),
    ("grid", job.Grid),
    ("training", settings.Training),
    ("reference", settings.Reference),
    ("probe", settings.ProbeSettings),
    ("evaluation", settings.Evaluation),
    ("collapsed", settings.Collapsed),
    ("resources", settings.Resources),
    ("A job of protocol tune", tune.TuneJob),
    ("space", space.Space),
    ("range", space.Range),
    ("objective", tune.SearchObjective),
    ("search", tune.Search),
    ("A job of protocol dirac", dirac.DiracJob),
    ("grid of a Dirac-GAN", dirac.DiracGrid),
    ("dynamics", dirac.Dynamics),
)


def pages() -> dict[str, str]:
    """The pages by their file names."""
    texts = {"job-file.md": _job_file(), "commands.md": _commands(), "tables.md": _tables()}
    return {name: WRITTEN + re.sub(r"\n{3,}", "\n\n", text).strip() + "\n" for name, text in texts.items()}


# --- job files ----------------------------------------------------------------------------------------------


def _job_file() -> str:
    sections = [_JOB_FILE]
    for title, model in _MODELS:
        sections.append(f"## {title}\n\n{_prose(model)}\n\n{_fields(model)}")
        if model is job.Grid:
            sections.append(_SIGMA)
    sections.append("## What can be named\n\n" + _NAMED)
    sections.append(_listing("Losses", _LOSSES, _formulas()))
    for kind, (title, plural, about) in _KINDS.items():
        sections.append(f"### {title}\n\n{about[0].upper()}{about[1:]}.\n\n{_parts(PARTS[plural], kind)}")
    sections.append(_listing("Samplers and pruners", "Of `search.sampler`.", SAMPLERS))
    sections.append(f"Of `search.pruner`.\n\n{_pairs(PRUNERS)}")
    return "\n\n".join(sections)


def _formulas() -> dict[str, str]:
    return {name: f"`{'`<br>`'.join(re.split(' +(?=G:)', loss.formula))}`" for name, loss in LOSSES.items()}


_JOB_FILE = """\
# Job files: every key

A job file is YAML (1.2, one document, no tags), or in Python a dictionary with the same keys.
`harness plan JOB` checks it. [Job files](../jobs.md) explains what is behind the keys; this page lists them, from the
models that check them."""
_NAMED = """\
`package.module:Name` stands for your own wherever one of these names does, with its parameters beside it
([extending](../extending.md)). A name without parameters may stand alone: `penalty: r1` is `penalty: {name: r1}`."""
_LOSSES = """\
`r` and `f` are the logits of real and generated samples, `R` and `F` their means over the batch,
`sp(x) = log(1 + e^x)`. Both players minimise theirs."""
_SIGMA = """\
### Noise and its schedules

What stands for `sigma`: a number ≥ 0 in data units, or a mapping with these keys, such as
`{schedule: linear, start: 0.5, end: 0, noise: gaussian}`.

| key | value | default | meaning |
|---|---|---|---|
| `sigma` | number ≥ 0 | | a constant standard deviation; instead of `schedule` |
| `schedule` | [schedule](#schedules) | | sigma over training; its parameters stand beside it |
| `noise` | [family of noise](#families-of-noise) | `truncated` | what is drawn |
| `noise_on` | `both`, `discriminator` | `both` | in whose steps noise is added |"""


def _fields(model: type[BaseModel]) -> str:
    hints = typing.get_type_hints(model, include_extras=True)
    rows = [
        f"| `{name}` | {_value(hints[name], field)} | {_default(field)} | {_cell(field.description or '')} |"
        for name, field in model.model_fields.items()
    ]
    return "\n".join(["| key | value | default | meaning |", "|---|---|---|---|", *rows])


def _parts(listed: Mapping[str, type[Part]], kind: str) -> str:
    rows, notes = [], []
    for name, part in listed.items():
        first, *others = _paragraphs(part)
        rows.append(f"| `{name}` | {_cell(first)} | {_parameters(part)} |")
        notes += [f"`{name}`: {_text(' '.join(others))}"] if others else []
    table = "\n".join([f"| {kind} | what | parameters = defaults |", "|---|---|---|", *rows])
    return "\n\n".join([table, *notes])


def _parameters(part: type[Part]) -> str:
    hints = typing.get_type_hints(part, include_extras=True)
    own = [(name, field) for name, field in part.model_fields.items() if name != "name"]
    texts = []
    for name, field in own:
        default = "" if field.is_required() else f" = {_default(field)}"
        texts.append(f"`{name}`{default} ({_value(hints[name], field)})")
    return "<br>".join(texts)


def _value(hint: Any, field: FieldInfo) -> str:
    """What may stand for a field, with its limits."""
    if field.annotation is str and field.metadata and not _alias(hint):
        return "text"
    text, limits = _type(hint), _limits(field.metadata)
    if not limits or limits in text:
        return text
    first, *others = text.split(", or ", 1)
    return ", or ".join([f"{first} {limits}", *others])


def _type(hint: Any) -> str:
    if (alias := _alias(hint)) is not None:
        return alias
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        text, limits = _type(inner[0]), _limits(_flat(inner[1:]))
        return f"{text} {limits}" if limits else text
    if origin in (Union, types.UnionType):
        named = [arm for arm in inner if arm is not type(None)]
        return ", or ".join([_type(arm) for arm in named] + (["`null`"] if len(named) < len(inner) else []))
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in inner)
    if origin is tuple:
        if inner[-1] is Ellipsis:
            return f"list of {_type(inner[0])}"
        return f"[{', '.join(_type(item) for item in inner)}]"
    if origin is dict:
        return "families: `{NAME: {PARAMETER: ...}}`" if inner[1] is not Any else "mapping"
    if isinstance(hint, type) and issubclass(hint, Part):
        return f"[{hint.kind}](#{_anchor(_KINDS[hint.kind][0])})"
    for title, model in _MODELS:
        if hint is model:
            return f"[mapping](#{_anchor(title)})"
    return {bool: "`true`, `false`", int: "whole number", float: "number", str: "text"}.get(hint, str(hint))


def _alias(hint: Any) -> str | None:
    return next((text for alias, text in _ALIASES if alias == hint), None)


def _flat(metadata: typing.Iterable[Any]) -> Iterator[Any]:
    for item in metadata:
        if isinstance(item, FieldInfo):
            yield from item.metadata
        else:
            yield item


def _limits(metadata: typing.Iterable[Any]) -> str:
    signs = {annotated_types.Ge: "≥", annotated_types.Gt: ">", annotated_types.Le: "≤", annotated_types.Lt: "<"}
    found = []
    for item in metadata:
        for kind, sign in signs.items():
            value = getattr(item, kind.__name__.lower(), None) if isinstance(item, kind) else None
            if value is not None and value not in (MAX_COUNT, 2**63 - 1):
                found.append(f"{sign} {value:g}")
    return ", ".join(found)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, Part):
        return f"`{value.name}`"
    if isinstance(value, noise.NoiseSchedule):
        return f"`{value.description}`"
    if isinstance(value, Spec):
        return "see below"
    if isinstance(value, tuple):
        inner = (
            item.name if isinstance(item, Part) else f"{item:g}" if isinstance(item, float) else item for item in value
        )
        return f"`[{', '.join(map(str, inner))}]`"
    if value is None or isinstance(value, bool):
        return {None: "`null`", True: "`true`", False: "`false`"}[value]
    return f"`{value:.4g}`" if isinstance(value, float) else f"`{value}`"


# --- commands -----------------------------------------------------------------------------------------------


def _commands() -> str:
    group: Any = typer.main.get_command(app)
    overview = "\n".join(
        f"| [`harness {name}`](#{_anchor(f'harness {name}')}) | {_cell(_first_sentence(command.help))} |"
        for name, command in group.commands.items()
        if not command.hidden
    )
    sections = [f"{_COMMANDS}\n\n| command | |\n|---|---|\n{overview}", _command("harness", group, level=2)]
    return "\n\n".join(sections)


_COMMANDS = """\
# Commands

Results go to standard output, progress and logs to standard error. Exit codes: 0 complete, 1 some cells failed,
2 a mistake in the command or the job file, 130 interrupted. `harness COMMAND --help` says the same as this page."""


def _command(name: str, command: Any, *, level: int) -> str:
    subcommands = {key: sub for key, sub in getattr(command, "commands", {}).items() if not sub.hidden}
    arguments = [parameter for parameter in command.params if parameter.param_type_name == "argument"]
    options = [
        parameter for parameter in command.params if parameter.param_type_name == "option" and not parameter.hidden
    ]
    words = [name, *(["[OPTIONS]"] if options else []), *(_argument(argument) for argument in arguments)]
    if subcommands:
        words += ["COMMAND", "..."]
    rows = [f"| `{_argument(argument)}` | {_cell(argument.help or '')}{_listed(argument)} |" for argument in arguments]
    rows += [f"| {_option(option)} | {_cell(option.help or '')}{_option_default(option)} |" for option in options]
    table = "\n".join(["| | |", "|---|---|", *rows]) if rows else ""
    usage = f"```text\n{' '.join(words)}\n```"
    own = "\n\n".join([f"{'#' * level} {name}", _text(command.help or ""), usage, table])
    inner = [
        _command(f"{name} {key}", sub, level=min(level + (name != "harness"), 4)) for key, sub in subcommands.items()
    ]
    return "\n\n".join([own, *inner])


def _argument(argument: Any) -> str:
    text = argument.metavar or argument.name.upper()
    text = f"{text}..." if argument.nargs == -1 and not text.endswith("...") else text
    return text if argument.required or text.startswith("[") else f"[{text}]"


def _option(option: Any) -> str:
    names = ", ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))
    if option.is_flag:
        return names
    if choices := _choices(option):
        return f"{names} " + r" \| ".join(f"`{choice}`" for choice in choices)
    hint = option.type_descriptor.annotation
    word = {int: "NUMBER", float: "NUMBER", Path: "FILE"}.get(hint, "TEXT")
    return f"{names} `{option.metavar or word}`" + (", may be given several times" if option.multiple else "")


def _listed(argument: Any) -> str:
    choices = _choices(argument)
    return f" One of {', '.join(f'`{choice}`' for choice in choices)}." if choices else ""


def _choices(parameter: Any) -> tuple[str, ...]:
    """The values of a parameter that has a few."""
    hint = parameter.type_descriptor.annotation
    return tuple(map(str, typing.get_args(hint))) if typing.get_origin(hint) is Literal else ()


def _option_default(option: Any) -> str:
    value = option.default
    if option.is_flag or value in (None, "", (), []) or callable(value):
        return " Required." if option.required else ""
    return f" Default: `{value}`."


# --- tables -------------------------------------------------------------------------------------------------


def _tables() -> str:
    sections = [_TABLES]
    for name, schema in TABLES.items():
        rows = []
        for field in schema:
            metadata = {key.decode(): value.decode() for key, value in field.metadata.items()}
            rows.append(
                f"| `{field.name}` | {_arrow(field.type)} | {metadata.get('unit', '')} | {_cell(metadata['meaning'])} |"
            )
        table = "\n".join(["| column | type | unit | meaning |", "|---|---|---|---|", *rows])
        sections.append(f"## {name}\n\n{_OF_TABLES[name]}\n\n{table}")
        if name == "cells":
            sections.append(f"A row's `status`:\n\n{_pairs(STATUSES)}")
    return "\n\n".join(sections)


_TABLES = """\
# Tables and columns

What `harness query` reads. `harness list columns` says the same. [Theory](../theory.md) has the formulas."""
_OF_TABLES = {
    "cells": "One row per cell: the latest that counts.",
    "curves": "Protocol `probe`: the discriminators' training, at log-spaced iterations.",
    "training": "The generators' training, one row per run and epoch.",
    "metrics": "What `evaluation.metrics` asks for, one row per cell and metric.",
    "trials": "Protocol `tune`: one row per trial.",
    "trajectories": "Protocol `dirac`: the paths of the two parameters.",
}


def _arrow(kind: Any) -> str:
    text = str(kind)
    names = {"string": "text", "double": "number", "int64": "whole number", "bool": "true, false"}
    return names.get(
        text, "list of numbers" if text.startswith("list") else "time (UTC)" if "timestamp" in text else text
    )


# --- text ---------------------------------------------------------------------------------------------------


def _listing(title: str, about: str, pairs: Mapping[Any, str]) -> str:
    return f"### {title}\n\n{about}\n\n{_pairs(pairs)}"


def _pairs(pairs: Mapping[Any, str]) -> str:
    rows = [f"| `{name}` | {_cell(text)} |" for name, text in pairs.items()]
    return "\n".join(["| name | what |", "|---|---|", *rows])


def _paragraphs(owner: Any) -> list[str]:
    """A docstring's paragraphs, without references and lists of attributes."""
    text = inspect.getdoc(owner) or ""
    text = re.split(r"\n(?:References|Attributes|Args|Example)s?:\n", text)[0]
    return [" ".join(paragraph.split()) for paragraph in text.split("\n\n") if paragraph.strip()]


def _prose(owner: Any) -> str:
    return "\n\n".join(_text(paragraph) for paragraph in _paragraphs(owner))


def _first_sentence(text: str | None) -> str:
    return re.split(r"(?<=[.;])\s", " ".join((text or "").split()))[0].rstrip(".;")


def _text(text: str) -> str:
    """A docstring as Markdown: what is code stays so, and nothing else means anything."""
    pieces = re.split(r"(``.+?``|`[^`]+`)", " ".join(text.split()))
    return "".join(
        f"`{piece.strip('`')}`" if piece.startswith("`") else _escaped(piece).replace("\\<br>", "<br>")
        for piece in pieces
    )


def _escaped(text: str) -> str:
    return re.sub(r"[\\$]|(?<![\w.])_|_(?!\w)|<(?=\w)|\](?=\()", r"\\\g<0>", text)


def _cell(text: str) -> str:
    return _text(text).replace("|", r"\|")


def _anchor(title: str) -> str:
    return re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for name, text in pages().items():
        (FOLDER / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
