"""What the layout promises: who may import what, that light commands stay light, and that folders stay small.

Every rule is a function from a folder of modules to sentences, each of which names a file, a line and a way out. The
last part of this file breaks each rule in a small package and sees it speak.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

PACKAGE = Path(__file__).parents[1] / "harness"

# The layers, from the user down. A folder imports only what its row names, and a row names only rows below it.
LAYERS = {
    # the front door: the public names, loaded when they are first used
    "__init__": "search contrasts execution evaluation verification planning job storage errors",
    # python -m harness
    "__main__": "cli",
    # job files that come with the package: a link to jobs/
    "examples": "",
    # the commands: reads options, prints answers
    "cli": "watch report figures search contrasts execution evaluation planning job storage verification theory errors",
    # a store as a live page: its runs, and the report of what is there
    "watch": "report execution planning job storage errors",
    # a job's rows -> sentences, and pages
    "report": "figures search contrasts planning job storage errors identity",
    # tables -> pictures
    "figures": "search contrasts evaluation job storage errors",
    # searches: a study asks for trials, trials become packs, rows become objectives
    "search": "contrasts execution planning job storage errors identity",
    # rows of a job -> contrasts of its seeds, with intervals and verdicts
    "contrasts": "planning job storage theory errors",
    # where packs run: the queue of the driver, and the executors
    "execution": "worker planning problems job storage training errors identity",
    # a pack -> events and rows, in a process of its own
    "worker": "evaluation training stacking planning dirac problems job storage identity errors",
    # generators and sample sets -> columns
    "evaluation": "training stacking planning problems job storage theory errors identity",
    # the theorems as checks that can fail
    "verification": "training stacking job theory errors threads",
    # the two loops, and what a pack of members needs in them
    "training": "stacking planning problems job theory errors identity",
    # k networks as one: modules -> layers that are stacked themselves
    "stacking": "job",
    # a job -> cells -> packs, without what the store has already
    "planning": "dirac job storage errors identity",
    # the cells of Dirac-GANs and how they are played
    "dirac": "job storage theory identity",
    # a job file -> checked, frozen objects; parts: one module a concept
    "job": "problems theory errors identity",
    # the samples of a problem: drawn, or read from files
    "problems": "identity threads",
    # schemas, files, queries
    "storage": "errors identity",
    # pure mathematics: arrays in, arrays out; a leaf
    "theory": "",
    # mistakes of users
    "errors": "",
    # hashes and seeds
    "identity": "",
    # how many threads torch has
    "threads": "",
}

# Libraries that have one home each, so that the rest works (and is tested) without them.
HOMES = {
    "ray": {
        "execution/ray/actor.py",
        "execution/ray/executor.py",
        "execution/ray/cluster.py",
        "execution/ray/loading.py",
        "execution/ray/relay.py",
        "execution/ray/submission.py",
    },
    "optuna": {"search/study.py"},
    "pickle": {"job/parts/weights.py"},  # reads keys of dictionaries; nothing that a pickle names is imported or called
}

# Folders that know no files: what they compute is written by others.
FILELESS = {"theory", "training", "stacking", "planning", "dirac"}
FILES = {"os", "io", "pathlib", "shutil", "tempfile", "pyarrow", "subprocess"}

# Modules that some systems lack: a module that imports one at its top cannot be imported there.
PLATFORM_ONLY = {"fcntl", "resource", "pwd", "grp", "termios", "tty", "pty", "syslog", "msvcrt", "winreg", "winsound"}

TOP = {"__init__.py", "__main__.py", "errors.py", "identity.py", "threads.py", "py.typed"}
MAX_MODULES = 16
MAX_LINES = 420


class Import(NamedTuple):
    """One imported module; `name` is absolute, `is_at_top` where importing the file runs it."""

    file: str
    line: int
    name: str
    is_at_top: bool

    @property
    def place(self) -> str:
        return f"harness/{self.file}:{self.line}"


def imports(package: Path) -> Iterator[Import]:
    """Every import of a package, also in functions and under TYPE_CHECKING."""
    for path in sorted(package.rglob("*.py")):
        file = path.relative_to(package)
        tree = ast.parse(path.read_text(encoding="utf-8"))
        top = {id(node) for statement in tree.body for node in _run_on_import(statement)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Import | ast.ImportFrom):
                for name in _imported(node, ("harness", *file.parts[:-1])):
                    yield Import(file.as_posix(), node.lineno, name, id(node) in top)


def _run_on_import(node: ast.AST) -> Iterator[ast.AST]:
    yield node
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
        for child in ast.iter_child_nodes(node):
            yield from _run_on_import(child)


def _imported(node: ast.Import | ast.ImportFrom, package: tuple[str, ...]) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    base = package[: len(package) - node.level + 1] if node.level else ()
    names = [".".join(part for part in (*base, node.module) if part)]
    if names == ["harness"]:  # from .. import identity; the version is in the package itself
        return [f"harness.{alias.name}" for alias in node.names if alias.name != "__version__"]
    return names


def folder_of(file: str) -> str:
    """The row of LAYERS a file belongs to."""
    return file.split("/")[0].removesuffix(".py")


def inner(package: Path) -> Iterator[tuple[Import, str, str]]:
    """The imports between rows of LAYERS: what imports, and what is imported."""
    for found in imports(package):
        parts = found.name.split(".")
        if parts[0] == "harness" and len(parts) > 1 and parts[1] != folder_of(found.file):
            yield found, folder_of(found.file), parts[1]


# --- the rules


def imports_against_the_layers(package: Path, layers: Mapping[str, str] = LAYERS) -> list[str]:
    rows, complaints = list(layers), []
    for found, source, target in inner(package):
        if source not in layers or target not in layers:
            name = source if source not in layers else target
            complaints.append(f"{found.place}: `{name}` has no row in LAYERS; give it one, above what it imports")
        elif target not in layers[source].split():
            allowed = ", ".join(layers[source].split()) or "nothing else of the package"
            way_out = (
                f"`{target}` lies above `{source}`: move what is needed of it down, or let the caller hand it over"
                if rows.index(target) < rows.index(source)
                else f"take it from one of these, or, if this arrow should be, add {target} to the row {source}"
            )
            complaints.append(
                f"{found.place}: mend the import of {found.name}. `{source}` may import {allowed}; {way_out}"
            )
    return complaints


def rows_that_point_upwards(layers: Mapping[str, str] = LAYERS) -> list[str]:
    """None means that there is no circle."""
    rows = list(layers)
    return [
        f"LAYERS: the row {source} names {target}, which is not below it; two folders that need each other are one, or "
        "a third below both"
        for source in rows
        for target in layers[source].split()
        if target not in rows[rows.index(source) + 1 :]
    ]


def arrows_nobody_uses(package: Path, layers: Mapping[str, str] = LAYERS) -> list[str]:
    """The table is the picture: no arrow more than there is."""
    used = {(source, target) for _, source, target in inner(package)}
    return [
        f"LAYERS: no file of {source} imports {target} any more; take it out of the row"
        for source in layers
        for target in layers[source].split()
        if (source, target) not in used
    ]


def imports_away_from_home(package: Path) -> list[str]:
    return [
        f"{found.place}: mend the import of {library}, which is at home in {', '.join(sorted(homes)) or 'no module'}; "
        "call a function there"
        for library, homes in HOMES.items()
        for found in imports(package)
        if found.name.split(".")[0] == library and found.file not in homes
    ]


def files_where_none_should_be_known(package: Path) -> list[str]:
    return [
        f"{found.place}: mend the import of {found.name}; `{folder_of(found.file)}` knows no files, so return what is "
        "to be kept and let the worker write it to the store"
        for found in imports(package)
        if folder_of(found.file) in FILELESS and found.name.split(".")[0] in FILES
    ]


def platforms_at_the_top(package: Path) -> list[str]:
    return [
        f"{found.place}: mend the import of {found.name}, which some systems lack; import it in the function that "
        "needs it, and say there what happens without"
        for found in imports(package)
        if found.is_at_top and found.name.split(".")[0] in PLATFORM_ONLY
    ]


def folders_too_full(package: Path) -> list[str]:
    folders = [package, *(path for path in sorted(package.rglob("*")) if path.is_dir())]
    numbers = {folder: sum(path.name != "__init__.py" for path in folder.glob("*.py")) for folder in folders}
    return [
        f"{folder.relative_to(package.parent)} has {number} modules, more than {MAX_MODULES}; which two things is it?"
        for folder, number in numbers.items()
        if number > MAX_MODULES
    ]


def strangers_at_the_top(package: Path) -> list[str]:
    found = {path.name for path in package.iterdir() if path.is_file()}
    unknown = {path.name for path in package.iterdir() if path.is_dir()} - {*LAYERS, "__pycache__"}
    return [
        *(f"harness/{name} lies at the top; its place is in a folder" for name in sorted(found - TOP)),
        *(f"harness/{name} is missing" for name in sorted(TOP - found)),
        *(f"harness/{name}/ has no row in LAYERS; give it one" for name in sorted(unknown)),
    ]


def modules_too_long(package: Path) -> list[str]:
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in sorted(package.rglob("*.py"))}
    return [
        f"{path.relative_to(package.parent)} has {length} lines, more than a head can hold; which two things is it?"
        for path, length in lengths.items()
        if length > MAX_LINES
    ]


def unsafe_calls(package: Path) -> list[str]:
    """torch.load unpickles, which runs what a file says, unless told not to; a shell splits what a user wrote."""
    return [
        f"{path.relative_to(package.parent)}: {what}"
        for path in sorted(package.rglob("*.py"))
        for pattern, what in (
            (
                r"(?<!safetensors\.)torch\.load\((?!.*weights_only=True)",
                "torch.load unpickles; use safetensors, or weights_only=True",
            ),
            (r"shell=True", "shell=True; give a list of arguments"),
        )
        if re.search(pattern, path.read_text(encoding="utf-8"))
    ]


Rule = Callable[[Path], list[str]]
RULES: list[Rule] = [
    imports_against_the_layers,
    arrows_nobody_uses,
    imports_away_from_home,
    files_where_none_should_be_known,
    platforms_at_the_top,
    folders_too_full,
    strangers_at_the_top,
    modules_too_long,
    unsafe_calls,
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_package_keeps_the_rule(rule: Rule) -> None:
    complaints = rule(PACKAGE)
    assert not complaints, "\n" + "\n".join(complaints)


def test_there_is_no_circle_between_folders() -> None:
    complaints = rows_that_point_upwards()
    assert not complaints, "\n" + "\n".join(complaints)


@pytest.mark.parametrize(
    "command",
    [["--help"], ["plan", "jobs/quickstart.yaml"], ["query", "SELECT 1"], ["list", "losses"], ["run", "nowhere.yaml"]],
    ids=lambda command: command[0],
)
def test_light_commands_load_neither_torch_nor_ray(command: list[str]) -> None:
    check = (
        "import sys, atexit; sys.argv = ['harness', *sys.argv[1:]]\n"
        "atexit.register(lambda: print('LOADED', sorted({'torch', 'ray', 'optuna', 'sklearn'} & set(sys.modules))))\n"
        "from harness.cli.app import main; main()"
    )
    answer = subprocess.run(
        [sys.executable, "-c", check, *command], capture_output=True, text=True, check=False, cwd=PACKAGE.parent
    )
    assert "LOADED []" in answer.stdout, answer.stderr


# --- each rule can fail

BROKEN = [
    (
        imports_against_the_layers,
        {"job/spec.py": "from ..search.study import Study"},
        "harness/job/spec.py:1: mend the import of harness.search.study. `job` may import problems, theory, errors, "
        "identity; `search` lies above `job`: move what is needed of it down, or let the caller hand it over",
    ),
    (
        imports_against_the_layers,  # a sibling below, inside a function, by its absolute name
        {"figures/style.py": "def f():\n    import harness.training.train"},
        "harness/figures/style.py:2: mend the import of harness.training.train. `figures` may import search, "
        "contrasts, evaluation, job, storage, errors; take it from one of these, or, if this arrow should be, add "
        "training to the row",
    ),
    (
        imports_against_the_layers,  # for the type checker alone, and from two floors below
        {"job/parts/noise.py": "if TYPE_CHECKING:\n    from ...training import train"},
        "harness/job/parts/noise.py:2: mend the import of harness.training",
    ),
    (
        imports_against_the_layers,
        {"theory/bounds.py": "from .. import identity"},
        "harness/theory/bounds.py:1: mend the import of harness.identity. `theory` may import nothing else",
    ),
    (
        imports_against_the_layers,
        {"attic/old.py": "from ..job import job"},
        "harness/attic/old.py:1: `attic` has no row in LAYERS",
    ),
    (arrows_nobody_uses, {"storage/store.py": ""}, "LAYERS: no file of storage imports errors any more"),
    (
        imports_away_from_home,
        {"cli/app.py": "def f():\n    from ray import exceptions"},
        "harness/cli/app.py:2: mend the import of ray, which is at home in execution/ray/actor.py, "
        "execution/ray/cluster.py, execution/ray/executor.py, execution/ray/loading.py, "
        "execution/ray/relay.py, execution/ray/submission.py",
    ),
    (
        imports_away_from_home,
        {"search/trials.py": "import optuna.samplers"},
        "harness/search/trials.py:1: mend the import of optuna, which is at home in search/study.py",
    ),
    (
        imports_away_from_home,
        {"storage/store.py": "import pickle"},
        "harness/storage/store.py:1: mend the import of pickle, which is at home in job/parts/weights.py",
    ),
    (
        files_where_none_should_be_known,
        {"training/train.py": "from pathlib import Path"},
        "harness/training/train.py:1: mend the import of pathlib; `training` knows no files",
    ),
    (
        platforms_at_the_top,
        {"worker/devices.py": "try:\n    import resource\nexcept ImportError:\n    pass"},
        "harness/worker/devices.py:2: mend the import of resource, which some systems lack",
    ),
    (folders_too_full, {f"cli/m{n}.py": "" for n in range(17)}, "harness/cli has 17 modules, more than 16"),
    (strangers_at_the_top, {"helpers.py": ""}, "harness/helpers.py lies at the top; its place is in a folder"),
    (strangers_at_the_top, {"attic/__init__.py": ""}, "harness/attic/ has no row in LAYERS"),
    (strangers_at_the_top, {"identity.py": ""}, "harness/py.typed is missing"),
    (modules_too_long, {"cli/app.py": "x = 1\n" * 421}, "harness/cli/app.py has 421 lines"),
    (unsafe_calls, {"cli/app.py": "torch.load(f)"}, "harness/cli/app.py: torch.load unpickles"),
    (unsafe_calls, {"cli/app.py": "run(c, shell=True)"}, "harness/cli/app.py: shell=True"),
]


@pytest.mark.parametrize(("rule", "files", "sentence"), BROKEN)
def test_a_broken_rule_says_what_to_mend(rule: Rule, files: dict[str, str], sentence: str, tmp_path: Path) -> None:
    assert any(sentence in complaint for complaint in rule(_write(tmp_path, files)))


@pytest.mark.parametrize(
    ("rule", "files"),
    [
        (imports_against_the_layers, {"cli/app.py": "from .. import __version__\nfrom ..job import job\nimport torch"}),
        (imports_against_the_layers, {"job/parts/a.py": "from ..spec import Spec\nfrom .b import B\nfrom . import c"}),
        (platforms_at_the_top, {"worker/devices.py": "def f():\n    import resource"}),
        (unsafe_calls, {"cli/app.py": "torch.load(f, weights_only=True)"}),
        (folders_too_full, {"cli/__init__.py": "", **{f"cli/m{n}.py": "" for n in range(16)}}),
    ],
)
def test_what_is_allowed_is_left_alone(rule: Rule, files: dict[str, str], tmp_path: Path) -> None:
    assert rule(_write(tmp_path, files)) == []


def test_a_circle_in_the_table_is_seen() -> None:
    (complaint,) = rows_that_point_upwards({"a": "b", "b": "a"})
    assert complaint.startswith("LAYERS: the row b names a, which is not below it")


def _write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / "harness" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder / "harness"
