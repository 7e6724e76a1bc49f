"""Files of pictures: formats, sizes, fonts, bytes; and the colours that are the same everywhere."""

from __future__ import annotations

import io
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from harness.errors import HarnessError
from harness.figures import picture as pictures
from harness.figures.axes import log_ticks
from harness.figures.bound import bound
from harness.figures.contrasts import contrasts
from harness.figures.heatmap import heatmap
from harness.figures.lines import lines
from harness.figures.paths import paths
from harness.figures.picture import Picture, colours_of, save
from harness.figures.probes import probes
from harness.figures.samples import samples
from harness.figures.selection import View
from harness.figures.sigma import noise_over_training
from harness.figures.spectrum import spectrum
from harness.storage.query import Results

Draw = Callable[[Results], Picture]
DRAWN: dict[str, Draw] = {
    "lines": lambda real: lines(real, "tiny", View()),
    "categories": lambda real: lines(real, "tiny", View(x="schedule", by="loss", panels="epoch")),
    "seeds": lambda real: lines(real, "tiny", View(x="seed")),
    "heatmap": lambda real: heatmap(real, "tiny", View()),
    "samples": lambda real: samples(real, "tiny"),
    "images": lambda real: samples(real, "probed"),
    "bound": lambda real: bound(real, "probed"),
    "compare": lambda real: contrasts(real, "tiny", by="loss"),
    "probes1": lambda real: probes(real, "probed", 1),
    "probes2": lambda real: probes(real, "probed", 2),
    "probes3": lambda real: probes(real, "probed", 3),
    "paths": lambda real: paths(real, "dirac"),
    "sigma": lambda real: noise_over_training(real, "tiny"),
    "spectrum": lambda real: spectrum(real, "probed", View()),
}


def ink(content: bytes) -> float:
    """Share of the pixels that are not the commonest colour."""
    image = Image.open(io.BytesIO(content)).convert("RGB")
    colours = image.getcolors(image.width * image.height)
    assert colours is not None
    return 1 - max(number for number, _ in colours) / (image.width * image.height)


@pytest.mark.parametrize("name", DRAWN)
def test_every_figure_renders_to_every_format(real: Results, tmp_path: Path, name: str) -> None:
    picture = DRAWN[name](real)
    save(picture, tmp_path / "a.png", width="single")
    content = (tmp_path / "a.png").read_bytes()
    assert ink(content) > 0.01
    assert abs(Image.open(io.BytesIO(content)).width / 3 - pictures.WIDTHS["single"]) < 12  # three pixels a point
    save(picture, tmp_path / "a.svg")
    assert (tmp_path / "a.svg").read_text().count("<path") > 3
    save(picture, tmp_path / "a.pdf")
    assert fonts(tmp_path / "a.pdf") == {("CID TrueType", "yes")}
    assert picture.caption.startswith("Job ")
    assert picture.caption.endswith(".")
    assert len(picture.description) > 20


@pytest.mark.parametrize("name", ["lines", "compare", "probes1"])
def test_a_picture_is_as_wide_as_two_columns_and_dark_if_asked(real: Results, tmp_path: Path, name: str) -> None:
    save(DRAWN[name](real), tmp_path / "dark.png", theme="dark")
    image = Image.open(tmp_path / "dark.png").convert("RGB")
    assert abs(image.width / 3 - pictures.WIDTHS["double"]) < 12
    assert image.getpixel((0, 0)) == (20, 23, 28)


def fonts(path: Path) -> set[tuple[str, str]]:
    """Kinds of the fonts in a PDF, and whether they are embedded."""
    tool = shutil.which("pdffonts")
    if tool is None:
        pytest.skip("pdffonts (poppler-utils) is not installed")
    answer = subprocess.run([tool, str(path)], capture_output=True, text=True, check=True).stdout.splitlines()[2:]
    found = [re.search(r"\s(Type \S+|TrueType|CID \S+(?: \S+)?)\s+\S+\s+(yes|no)\s", line) for line in answer]
    return {(match[1].split(" (")[0].strip(), match[2]) for match in found if match is not None}


def test_a_page_needs_no_network_and_has_the_caption(real: Results, tmp_path: Path) -> None:
    picture = DRAWN["lines"](real)
    save(picture, tmp_path / "a.html")
    page = (tmp_path / "a.html").read_text()
    assert not re.findall(r"<(?:script|link)[^>]+(?:src|href)=", page)
    assert picture.caption in page


def test_the_same_results_give_the_same_bytes(real: Results, tmp_path: Path) -> None:
    for suffix in (".png", ".pdf", ".svg"):
        for name in ("one", "two"):
            save(DRAWN["lines"](real), tmp_path / f"{name}{suffix}")
        assert (tmp_path / f"one{suffix}").read_bytes() == (tmp_path / f"two{suffix}").read_bytes()


def test_the_rows_are_named_and_not_repeated(real: Results) -> None:
    picture = DRAWN["lines"](real)
    spec = picture.spec()
    assert spec["data"] == {"name": "groups", "values": picture.tables["groups"]}
    assert str(spec).count("'values': [{") == 1
    assert "config" in spec
    assert spec["description"] == picture.description


def test_two_pictures_of_a_job_have_the_same_columns_of_a_table(real: Results) -> None:
    one = lines(real, "tiny", View("w1", panels="none")).tables["groups"]
    two = heatmap(real, "tiny", View("w1", panels="none")).tables["groups"]
    assert list(one) == list(two)


def test_a_loss_has_one_colour_whatever_is_beside_it() -> None:
    alone = colours_of("loss", ["non_saturating"])[0]
    assert colours_of("loss", ["minimax", "my.own:Loss", "non_saturating"])[2] == alone
    several = colours_of("loss", ["hinge", "my.own:Loss", "minimax", "wasserstein", "other:Loss"])
    assert len(set(several)) == 5


def test_many_numbers_have_colours_in_order_and_few_those_of_okabe_and_ito() -> None:
    assert colours_of("epoch", [1, 2, 3]) == ["#0072B2", "#D55E00", "#009E73"]
    ramp = colours_of("epoch", list(range(12)))
    greens = [int(colour[3:5], 16) for colour in ramp]
    assert greens == sorted(greens)
    assert len(set(ramp)) == 12


@pytest.mark.parametrize(
    ("name", "message"),
    [("a.gif", r"must end in \.png, \.pdf, \.svg, \.html"), ("nowhere/a.png", "there is no folder nowhere")],
)
def test_a_wrong_name_is_refused(name: str, message: str) -> None:
    with pytest.raises(HarnessError, match=message):
        pictures.check_output(Path(name))


def test_a_file_that_cannot_be_written_is_told(real: Results, tmp_path: Path) -> None:
    (tmp_path / "a.png").mkdir()
    with pytest.raises(HarnessError, match=r"--output .*a\.png: cannot be written"):
        save(DRAWN["lines"](real), tmp_path / "a.png")


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (1, 4000, [1, 10, 100, 1000]),
        (0.3, 3, [0.5, 1, 2]),
        (1e-12, 1, [10.0**p for p in range(-12, 1, 3)]),
        (4, 4.5, []),
    ],
)
def test_ticks_of_log_axes_are_few_and_round(low: float, high: float, expected: list[float]) -> None:
    assert log_ticks(low, high) == pytest.approx(expected)
