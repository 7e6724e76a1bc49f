"""The pages of docs/ say what is there: commands that work, files that exist, references as the code has them."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pytest
import typer.main
from ruamel.yaml import YAML

import harness
from docs import _gallery, _generate
from harness.cli.app import app
from tests import documents
from tests.documents import DOCS, ROOT, Block
from tests.searches import HEAD

PAGES = documents.pages()
BLOCKS = [block for page, text in PAGES.items() for block in documents.blocks(page, text)]
COMMANDS = sorted({tuple(words) for page, text in PAGES.items() for words in documents.commands(page, text)})
TO_RUN = {page for page in PAGES if page != "README.md"}


@pytest.mark.parametrize("name", ["job-file.md", "commands.md", "tables.md"])
def test_a_reference_is_what_the_code_says(name: str) -> None:
    """If not: python docs/_generate.py"""
    assert (DOCS / "reference" / name).read_text(encoding="utf-8") == _generate.pages()[name]


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_files(page: str) -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#\s]+)\)", re.sub(r"`[^`]*`", "", PAGES[page]))
    lacking = [target for target in targets if not ((ROOT / page).parent / target.split("#")[0]).exists()]
    assert lacking == []


@pytest.mark.parametrize("page", PAGES)
def test_paths_in_text_exist(page: str) -> None:
    """Job files, documents, benchmarks and modules; names in capitals and of an example are placeholders."""
    paths = re.findall(
        r"\b(?:jobs|docs|benchmarks|tests|harness|deploy)/[\w/-]+\.(?:yaml|md|py|png|ipynb|sbatch)\b", PAGES[page]
    )
    assert [path for path in sorted(set(paths) - {"jobs/grid.yaml"}) if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_each_command_and_its_options_exist(words: tuple[str, ...]) -> None:
    command: Any = typer.main.get_command(app)
    rest = list(words[1 : words.index(">")] if ">" in words else words[1:])
    while rest and hasattr(command, "commands") and not rest[0].startswith("-"):
        if rest[0] in ("COMMAND", "..."):
            return
        assert rest[0] in command.commands, f"no command {rest[0]}"
        command = command.commands[rest.pop(0)]
    known = {"-h", "--help", *(option for parameter in command.params for option in parameter.opts)}
    given = [re.split("=", word)[0] for word in rest if re.fullmatch(r"--?[a-z][\w-]*(=.*)?", word)]
    assert [word for word in given if word not in known] == []


def test_the_commands_are_found() -> None:
    assert {words[1] for words in COMMANDS if len(words) > 1} >= {
        "run",
        "plan",
        "query",
        "list",
        "figure",
        "tune",
        "verify",
    }


def cheap(page: str) -> list[Block]:
    return [block for block in BLOCKS if block.page == page and block.is_commands and not block.marker]


@pytest.mark.parametrize("page", sorted(page for page in TO_RUN if cheap(page)))
def test_the_commands_of_a_page_run(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that no comment above says are slow, or cannot be run here."""
    documents.make_folder(tmp_path / "reader")
    monkeypatch.chdir(tmp_path / "reader")
    documents.write_files([block for block in BLOCKS if block.page == page], tmp_path / "reader")
    for block in cheap(page):
        documents.run_here(block)


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.parametrize("page", sorted({block.page for block in BLOCKS if block.marker == "run: slow"}))
def test_the_slow_commands_of_a_page_run(page: str, tmp_path: Path) -> None:
    """All that are not marked as impossible here, as they stand, in one shell."""
    found = [block for block in BLOCKS if block.page == page]
    documents.make_folder(tmp_path / "reader")
    documents.write_files(found, tmp_path / "reader")
    wanted = [block for block in found if block.is_commands and block.marker != "not run"]
    documents.run_in_a_shell(wanted, tmp_path / "reader")


def test_blocks_that_are_not_run_give_a_reason() -> None:
    """A comment that is nearly a marker would leave its block among those that run."""
    for page, text in PAGES.items():
        near = [line for line in text.splitlines() if re.match(r"\s*<!-- *(not run|run|slow)", line)]
        assert [line for line in near if not documents.MARKER.fullmatch(line.strip())] == [], page


def test_the_python_names_of_pages_are_public() -> None:
    for block in BLOCKS:
        if block.info == "python" and "import harness\n" in block.text:
            used = {
                node.attr
                for node in ast.walk(ast.parse(block.text))
                if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "harness"
            }
            assert used <= set(harness.__all__), f"{block.page}:{block.line}"


@pytest.mark.parametrize(
    "block", [block for block in BLOCKS if block.info == "python run"], ids=lambda block: block.page
)
def test_the_python_of_a_page_runs(block: Block) -> None:
    exec(compile(block.text, block.page, "exec"), {})


@pytest.mark.parametrize("page", ["docs/jobs.md", "docs/tutorial.md", "README.md"])
def test_job_files_of_pages_are_jobs(page: str) -> None:
    """And fragments of them are mappings."""
    for block in BLOCKS:
        if block.page == page and block.info.split()[:1] == ["yaml"]:
            parsed = YAML(typ="safe").load(block.text)
            if "protocol" in parsed:
                harness.load_job(parsed)


def test_the_grid_of_the_page_is_the_product_it_says() -> None:
    (text,) = [block.text for block in BLOCKS if block.page == "docs/jobs.md" and block.text.startswith("name: ring")]
    job: Any = harness.load_job(YAML(typ="safe").load(text))
    assert len(harness.plan(job, results="nowhere").cells) == 2 * 3 * 2 * 3 * 3  # loss, sigma, penalty, epoch, seed


def test_the_space_of_the_page_is_a_space() -> None:
    (text,) = [block.text for block in BLOCKS if block.page == "docs/searching.md" and block.text.startswith("space:")]
    harness.load_job({**YAML(typ="safe").load(HEAD + text), "epochs": 4})


def test_the_glossary_is_in_the_order_of_the_alphabet() -> None:
    entries = re.findall(r"^\*\*(.+?)\*\*: ", PAGES["docs/glossary.md"], re.MULTILINE)
    assert entries == sorted(entries)
    assert set(entries) >= {"cell", "run", "probe", "pack", "member", "snapshot", "trial", "store", "floor", "contrast"}


def test_the_index_lists_every_page() -> None:
    (tree,) = re.findall(r"<!-- pages -->(.*)\Z", PAGES["docs/index.md"], re.DOTALL)
    listed = {f"docs/{name}.md" for name in re.findall(r"^([\w/-]+)$", tree, re.MULTILINE)}
    assert listed == {page for page in PAGES if page not in ("README.md", "docs/index.md")}


def test_the_gallery_links_reports_that_are_there_and_says_how_to_make_the_others(tmp_path: Path) -> None:
    for name in ("ring.html", "ring.png"):
        (tmp_path / name).write_bytes(b"")
    shown = _gallery.listing(tmp_path)
    assert shown.count("<li>") == len(_gallery.JOBS) == 6
    assert re.findall(r'href="([^"]+)"', shown) == ["reports/ring.html"]
    assert re.findall(r'<img src="([^"]+)" alt="([^"]+)"', shown) == [("reports/ring.png", "Top of the report of ring")]
    assert "harness report dirac -o dirac.html" in shown
    assert all((ROOT / "jobs" / f"{name}.yaml").exists() for name in _gallery.JOBS)


def test_theory_names_every_column_that_is_measured() -> None:
    """Settings, times and counts say themselves what they are."""
    from harness.storage.records import CELLS

    measured = [
        field.name
        for field in CELLS
        if re.match(r"(jsd|tv|kl|bound|w1|grad|logit|p_|d_gradient|d_loss|accuracy|vacuous|noise_variance)", field.name)
    ]
    page = PAGES["docs/theory.md"]
    # an upper limit, a part or a place of a quantity is named by its pattern
    family = re.compile(r"(?<!bound)_(upper|best|sigma|noise_term|divergence_term|se|std)$")
    bare = {re.sub(family, "", re.sub(family, "", re.sub(family, "", name))) for name in measured}
    assert sorted(name for name in bare if f"`{name}`" not in page) == []
