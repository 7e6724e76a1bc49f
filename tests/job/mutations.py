"""Job files broken by chance, each determined by a seed and a number."""

from __future__ import annotations

import copy
import json
import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from harness.job.yaml_text import read_yaml

JOBS = Path(__file__).parents[2] / "jobs"

ALL_PARTS = """\
name: all_parts
protocol: train
problem: &ring {name: ring, modes: 3, radius: 2.5, std: 0.1}
networks: {name: mlp, width: 8, spectral_norm: true}
training: {batch: 32, steps_per_epoch: 10, optimizer: {name: rmsprop, alpha: 0.9}, discriminator_steps: 2}
grid:
  - &grid
    loss: [minimax, hinge]
    sigma:
      - 0.5
      - {sigma: 0.5, noise: gaussian}
      - {schedule: linear, start: 1, end: 0, noise: cauchy}
      - {sigma: 0.2, noise: {name: full_covariance, covariance: [[2, 0.6], [0.6, 1]]}}
      - {schedule: adaptive, start: 0.3, target: 0.7, rate: 5}
      - {sigma: 0.4, noise: {name: mixed_levels, levels: [0, 0.5, 1], weights: [2, 1, 1]}, noise_on: discriminator}
      - {schedule: overconfidence, rate: 2, scale: 0.1, longest: 50, noise: {name: diffusion, steps: 20, clean: 0}}
    epoch: [1, 2]
    seed: [0]
  - <<: *grid
    penalty: [none, r1, {name: gradient_penalty, weight: 1}, {name: weight_clip, limit: 0.1}]
    learning_rate: [1e-3, 0.01]
    discriminator_steps: [1, 5]
evaluation: {samples: 60, draws: 100, sigmas: [0.1, 0.3]}
resources: {gpus_per_actor: 0.5, cpus_per_actor: 2, actors: 2, pack: 4, retries: 0, timeout_seconds: 60}
"""

NASTY_VALUES = (
    *("null", "~", "''", "true", "[]", "{}", "[[]]", "{a: 1}", "[null]", "- a", "? a", "|", ">-", "=", "<<", "*a"),
    *("0", "-0", "-1", "0.5", "1e-320", "-1e308", "1e400", ".inf", "-.inf", ".nan", "3e25", "9" * 30, "9" * 900),
    *("9" * 5000, "0x" + "f" * 4000, "0o7", "0b1", "1_000", "-_", "0x_", "._", "1.", ".5", "012", "1:30"),
    *("2001-01-01", "2001-01-01T00:00:00Z", "!!float x", "!!int x", "!!set {a}", "!!python/object:os.system x", "!x y"),
    *(
        r'"\0"',
        r'"\ud800"',
        r'"\e[31m"',
        r'"\x07"',
        '"\u202e"',
        r'"\N"',
        "'" + "x" * 300 + "'",
        "x" * 5000,
        "x" * 20000,
    ),
    *(
        "nowhere.module:name",
        "os.path:join",
        "os:getcwd",
        ":",
        "a:",
        ":a",
        ".x:y",
        "os:nothing",
        "é",
        "名前",
        "😀",
        "٣",
    ),
    *(
        "mnist",
        "cifar10",
        "image_folder",
        "arrays",
        "digits",
        "segments",
        "dirac",
        "dcgan",
        "mlp",
        "adam",
        "sgd",
        "rmsprop",
    ),
    *("probe", "train", "tune", "linear", "adaptive", "full_covariance", "data", "auto", "final", "grid", "cmaes"),
    *("tests/data", "nowhere", "a/b/../c", "//", "../" * 2000, "[" * 200, "{a: " * 200, "[" * 3000 + "]" * 3000),
)
NASTY_CHARACTERS = "\x00\x07\x1b\x7f\x85\xa0\xad\u2028\u202e\ufeff\ufffe\ud800\U0001f600\t\r\n:,[]{}#&*!|>'\"%@`-? "

_TOKEN = re.compile(r"[^\s,\[\]{}:#]+")
_NUMBER = re.compile(r"(?<![\w.])-?\d[\d.e-]*")
_KEY = re.compile(r"[\w]+(?=:)")

Mutation = Callable[[random.Random, str], str]


def texts() -> list[str]:
    """The job files that ship, and one with the parts that they do without."""
    return [*(path.read_text(encoding="utf-8") for path in sorted(JOBS.glob("*.yaml"))), ALL_PARTS]


def mutated(seed: int, number: int, corpus: list[str]) -> bytes:
    """The job file of this seed and number."""
    rng = random.Random(f"{seed} {number}")
    text = rng.choice(corpus)
    if rng.random() < 0.6:
        text = _grafted(rng, text)
        if rng.random() < 0.7:
            return text.encode("utf-8", "surrogatepass")
    if rng.random() < 0.5:  # comments draw mutations that change nothing
        text = "".join(line for line in text.splitlines(keepends=True) if not line.startswith("#"))
    if rng.random() < 0.1:
        text = _spliced(rng, text, rng.choice(corpus))
    for _ in range(rng.choice((1, 1, 1, 2, 3, 5))):
        text = rng.choice(MUTATIONS)(rng, text)
    data = text.encode("utf-8", "surrogatepass")
    if rng.random() < 0.05:
        data = _with_flipped_bytes(rng, data)
    if rng.random() < 0.02:
        data = rng.choice((b"\xef\xbb\xbf" + data, text.encode("utf-16", "surrogatepass"), data[: rng.randrange(50)]))
    return data


# --- mutations of the tree ----------------------------------------------------------------------------------------
# They keep a file readable, so that what comes after YAML gets its share.

PIECES: dict[str, tuple[Any, ...]] = {
    "problem": (
        *(
            {"name": name}
            for name in ("ring", "segments", "gaussian", "line", "circle", "four_lines", "dirac", "digits")
        ),
        *({"name": name, "root": "x" * 300} for name in ("mnist", "fashion_mnist", "cifar10", "image_folder")),
        *({"name": name, "root": "y" * 5000, "size": 8} for name in ("mnist", "cifar10", "image_folder")),
        *({"name": name, "root": "nowhere", "download": True} for name in ("mnist", "fashion_mnist", "cifar10")),
        *({"name": "arrays", "path": path} for path in ("x" * 300, "nowhere.npy", "tests", "README.md", "")),
        {"name": "image_folder", "root": "tests/data"},
        {"name": "segments", "dimension": 10**12, "distance": 1e308},
        {"name": "numpy:ones", "options": {"shape": [20, 3]}},
        {"name": "numpy:full", "options": {"shape": [20, 3], "fill_value": float("nan")}},
        {"name": "os:getcwd"},
        {"name": "noiselab.data:Spiral", "turns": 1e308},
        {"name": "noiselab.data:Lattice", "side": 2},
        {"name": "noiselab.data:two_points", "options": {"num": "x"}},
        {"name": "nowhere:nothing", "options": {"a": [1, {"b": None}]}},
    ),
    "networks": (
        {"name": "noiselab.parts:Residual", "width": 10**7},
        {"name": "dcgan", "width": 4, "batch_norm": "none"},
        {"name": "mlp", "depth": 10**9},
    ),
    "optimizer": (
        {"name": "noiselab.parts:Momentum", "momentum": 1},
        {"name": "adam", "betas": [0, 0.9]},
        {"name": "rmsprop", "alpha": 1},
        {"name": "sgd"},
    ),
    "noise": ("gaussian", {"name": "full_covariance", "covariance": [[1, 0], [0, 1e308]]}, {"name": "cauchy"}),
    "penalty": (
        ["noiselab.parts:LogitNorm", {"name": "noiselab.parts:LogitNorm", "weight": -1}, "noiselab.parts:Sawtooth"],
        {"noiselab.parts:LogitNorm": {"weight": {"low": 0.1, "high": 1}}, "noiselab.parts:nothing": {}},
        ["r1", "r2"],
        {"r1": {"gamma": {"low": 0, "high": 1e308}}},
        [{"name": "dragan", "spread": 1e-320}],
        {},
    ),
    "sigma": (
        [{"schedule": "cosine", "start": 1, "end": 1e-300}],
        [{"schedule": "adaptive", "start": 1e308, "target": 0.5, "rate": 1e308}],
        [{"schedule": "exponential", "start": 1e308, "end": 1e-308, "fraction": 1e-308}],
        [{"sigma": 1, "noise": {"name": "full_covariance", "covariance": [[1e308, 1e308], [1e308, 1e308]]}}],
        [{"schedule": "os.path:join", "a": 1}],
        [{"schedule": "noiselab.parts:Sawtooth", "start": 1e308, "teeth": 1e-320}, {"sigma": 1, "noise": "os:sep"}],
        [{"sigma": 1, "noise": {"name": "noiselab.parts:StudentT", "df": 1}}],
        "final",
    ),
    "schedule": (
        {"linear": {"start": {"low": 0, "high": 1}, "end": 0}, "adaptive": {"start": 1, "target": 0.7, "rate": 5}},
        {"exponential": {"start": {"low": 1e-320, "high": 1e308, "log": True}, "end": 1e-320}},
        {"os.path:join": {"a": 1}},
    ),
    "space": ({"schedule": {"constant": {"sigma": 1}}, "penalty": {"weight_clip": {"limit": {"low": -1, "high": 1}}}},),
    "search": ({"sampler": "grid", "points": 10**9, "trials": 1}, {"report": [1, 2, 3]}, {"seeds": 10**18}),
    "objective": ({"minimise": ["bound", "seconds"], "sigma": "final"}, {"sigma": 1e-308, "bound": "sharp"}),
    "metrics": (
        ["energy_distance", "noiselab.metrics:mean_shift", {"name": "noiselab.metrics:ShareBeyond", "radius": -1}],
        ["energy_distance", "energy_distance", "os:getcwd", {"name": "noiselab.metrics:nothing", "options": {"a": []}}],
        [{"name": "noiselab.metrics:mean_shift", "options": {"k": {"deep": [1, 2]}}}],
        [{"name": "density", "k": 10**9}, {"name": "kid", "features": {"name": "classifier", "seed": 1e308}}],
        ["kid", {"name": "kid", "features": "pixels"}, {"name": "recall", "k": 900}, "memorisation"],
    ),
    "features": (
        "classifier",
        {"network": "resnet18", "weights": "README.md"},
        {"network": ["resnet18"], "weights": ".."},
        {"name": "network", "network": "resnet18", "weights": "\0", "size": 10**30},
        {"name": "noiselab.features:polar", "options": {"about": {"deep": [1]}}},
        "os:getcwd",
    ),
    "sampler": ("noiselab.searching:uniform", {"name": "noiselab.searching:nothing"}, {"name": "tpe", "seed": 1}),
    "pruner": ({"name": "noiselab.searching:WorstHalf", "min_trials": "x"}, "os:sep", ["median"]),
    "evaluation": (
        {"metrics": ["energy_distance"]},
        {"metrics": ["kid"], "features": "noiselab.features:polar"},
        {"samples": 10**18},
        {"sigmas": [1e-20, 1e308]},
        {"directions": 10**30},
    ),
    "resources": ({"gpus_per_actor": 1e-3}, {"gpus_per_actor": 1e308}, {"pack": 10**30, "timeout_seconds": 1e-320}),
    "dynamics": ({"steps": 10**30, "start": [1e308, -1e308]}, {"tolerance": 1e308}),
    "updates": (["alternating " + "9" * 30], ["alternating 1", "alternating"], ["simultaneous 2"]),
    "epochs": (10**10, 10**30, 3e25),
    "epoch": ([10**10], [3e25], [1, 10**9]),
}
"""Values of a key that are almost right."""

NASTY_LEAVES: tuple[Any, ...] = (
    *(
        None,
        True,
        False,
        "",
        "x",
        "auto",
        "none",
        [],
        {},
        [[]],
        {"name": None},
        {"low": 1, "high": 0},
        {"low": 0, "high": 1},
    ),
    *(0, -1, 1, 2**31, 2**63 - 1, 2**63, 2**64, 10**30, 10**400, 10**900, -(10**900)),
    *(0.0, -0.0, 0.5, 1e-320, 1e-20, 1e-19, 1e308, -1e308, float("inf"), float("-inf"), float("nan"), 3e25),
    *(
        "x" * 300,
        "a\nb",
        "a:b",
        "os:getcwd",
        ":",
        "{}",
        "%s",
        "{name}",
        "[red]",
        "\u202e",
        "é",
        "snapshots",
        "..",
        "data",
    ),
)


def _grafted(rng: random.Random, text: str) -> str:
    """A job file as JSON, which is YAML, with some values replaced, removed, repeated or of another key."""
    _, tree = read_yaml(text, source="job.yaml")
    for _ in range(rng.choice((1, 1, 2, 3))):
        holder, key = rng.choice(list(_places(tree)))
        choice = rng.random()
        if choice < 0.4:
            pieces = [(holder, key)] if key in PIECES else [place for place in _places(tree) if place[1] in PIECES]
            holder, key = rng.choice(pieces or [(holder, key)])
            holder[key] = copy.deepcopy(rng.choice(PIECES.get(key, NASTY_LEAVES)))
        elif choice < 0.7:
            holder[key] = copy.deepcopy(rng.choice(NASTY_LEAVES))
        elif choice < 0.8:
            del holder[key]
        elif choice < 0.9 and isinstance(holder, dict):
            holder[rng.choice([*PIECES, "name", "start", "a", "low", "x" * 300])] = holder[key]
        else:
            holder[key] = [copy.deepcopy(holder[key])] * rng.choice((1, 2, 30))
        if not tree:
            return "{}"
    return re.sub(r"\b(NaN|Infinity)\b", lambda found: ".nan" if found[0] == "NaN" else ".inf", json.dumps(tree))


def _places(node: Any) -> Iterator[tuple[Any, Any]]:
    """Every container of a tree with every key or index of it."""
    if isinstance(node, (dict, list)):
        for key, value in node.items() if isinstance(node, dict) else enumerate(node):
            yield node, key
            yield from _places(value)


# --- mutations of the text ----------------------------------------------------------------------------------------


def _spliced(rng: random.Random, one: str, other: str) -> str:
    head, tail = one.splitlines(keepends=True), other.splitlines(keepends=True)
    return "".join(head[: rng.randrange(len(head) + 1)] + tail[rng.randrange(len(tail) + 1) :])


def _with_flipped_bytes(rng: random.Random, data: bytes) -> bytes:
    flipped = bytearray(data)
    for _ in range(rng.randint(1, 3)):
        if flipped:
            flipped[rng.randrange(len(flipped))] ^= 1 << rng.randrange(8)
    return bytes(flipped)


def _replaced(rng: random.Random, text: str, pattern: re.Pattern[str], new: Callable[[str], str]) -> str:
    """One random match of a pattern replaced."""
    matches = list(pattern.finditer(text))
    if not matches:
        return text
    match = rng.choice(matches)
    return text[: match.start()] + new(match[0]) + text[match.end() :]


def _flip_character(rng: random.Random, text: str) -> str:
    return _replaced(rng, text, re.compile(r"[ -~]"), lambda old: chr(ord(old) ^ 1 << rng.randrange(7)))


def _delete_line(rng: random.Random, text: str) -> str:
    lines = text.splitlines(keepends=True)
    if lines:
        del lines[rng.randrange(len(lines))]
    return "".join(lines)


def _repeat_line(rng: random.Random, text: str) -> str:
    lines = text.splitlines(keepends=True)
    if lines:
        lines.insert(rng.randrange(len(lines)), rng.choice(lines))
    return "".join(lines)


def _swap_lines(rng: random.Random, text: str) -> str:
    lines = text.splitlines(keepends=True)
    if lines:
        one, other = rng.randrange(len(lines)), rng.randrange(len(lines))
        lines[one], lines[other] = lines[other], lines[one]
    return "".join(lines)


def _nasty_value(rng: random.Random, text: str) -> str:
    return _replaced(rng, text, _TOKEN, lambda _: rng.choice(NASTY_VALUES))


def _other_value(rng: random.Random, text: str) -> str:
    tokens = _TOKEN.findall(text)
    return _replaced(rng, text, _TOKEN, lambda _: rng.choice(tokens))


def _other_key(rng: random.Random, text: str) -> str:
    keys = [*_KEY.findall(text), "<<", "1", "null", "[a]", "''", "name", "x" * 300]
    return _replaced(rng, text, _KEY, lambda _: rng.choice(keys))


def _other_number(rng: random.Random, text: str) -> str:
    changes: tuple[Callable[[str], str], ...] = (
        lambda old: f"-{old}",
        lambda old: f"{old}0",
        lambda old: f"{old}e{rng.randrange(400)}",
        lambda old: f"{old}e-{rng.randrange(400)}",
        lambda old: old.replace(".", ""),
        lambda old: f"'{old}'",
        lambda old: old * rng.choice((2, 20, 2000)),
        lambda old: str(rng.choice((0, 1, 2**31, 2**63, 2**64, 10**18, 10**30))),
    )
    return _replaced(rng, text, _NUMBER, rng.choice(changes))


def _insert_character(rng: random.Random, text: str) -> str:
    place = rng.randrange(len(text) + 1)
    return text[:place] + rng.choice(NASTY_CHARACTERS) + text[place:]


def _tag(rng: random.Random, text: str) -> str:
    tags = (
        "!!float",
        "!!int",
        "!!str",
        "!!binary",
        "!!set",
        "!!omap",
        "!!timestamp",
        "!!python/name:os.system",
        "!own",
    )
    return _replaced(rng, text, _TOKEN, lambda old: f"{rng.choice(tags)} {old}")


def _anchor(rng: random.Random, text: str) -> str:
    text = _replaced(rng, text, re.compile(r"(?<=[:\[,-] )\S"), lambda old: f"&a {old}")
    for _ in range(rng.randint(1, 3)):
        text = _replaced(rng, text, _TOKEN, lambda _: rng.choice(("*a", "<<: *a", "[*a, *a]", "&b [*a]", "*b", "&a")))
    return text


def _indent(rng: random.Random, text: str) -> str:
    return _replaced(
        rng, text, re.compile(r"(?m)^ *"), lambda old: rng.choice((f"{old} ", f"{old}  ", old[1:], "", "\t"))
    )


def _brackets(rng: random.Random, text: str) -> str:
    return _replaced(
        rng, text, re.compile(r"[\[\]{},:]"), lambda _: rng.choice(("", "[", "]", "{", "}", ",", ": ", ":"))
    )


def _wrap(rng: random.Random, text: str) -> str:
    wraps = (
        "[{}]",
        "{{a: {}}}",
        "{{name: {}}}",
        "[{0}, {0}]",
        "- {}",
        "'{}'",
        '"{}"',
        "{{{}: {}}}",
        "{{low: {}, high: 9}}",
    )
    return _replaced(rng, text, _TOKEN, lambda old: rng.choice(wraps).replace("{}", "{0}").format(old))


def _truncate(rng: random.Random, text: str) -> str:
    return text[: rng.randrange(len(text) + 1)]


def _another_document(rng: random.Random, text: str) -> str:
    return _replaced(rng, text, re.compile(r"\n"), lambda _: rng.choice(("\n---\n", "\n...\n", "\n%YAML 1.1\n---\n")))


MUTATIONS: tuple[Mutation, ...] = (
    *(_flip_character, _delete_line, _repeat_line, _swap_lines, _nasty_value, _nasty_value, _nasty_value, _other_value),
    *(_other_key, _other_number, _other_number, _insert_character, _tag, _anchor, _indent, _brackets, _wrap, _truncate),
    _another_document,
)
