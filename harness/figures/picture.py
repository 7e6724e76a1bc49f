"""What a figure is: a chart, its rows by name, the caption one prints under it, and the text for who cannot see it."""

from __future__ import annotations

import functools
import html
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import altair as alt

from ..errors import HarnessError
from .words import LEGEND

Theme = Literal["light", "dark"]
Width = Literal["single", "double"]
Row = Mapping[str, Any]

FORMATS = (".png", ".pdf", ".svg", ".html")
WIDTHS: Mapping[Width, int] = {"single": 252, "double": 519}
"""Of a column and of two in a paper, points; a pixel of a chart is a point in a PDF."""
FONT = "Liberation Sans, Arial, Helvetica, sans-serif"
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C8C8C")
"""Okabe & Ito's, which colour-blind readers can tell apart; grey in the place of black, which a dark page swallows."""
SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "triangle-right")
_RAMP = ("#3e4989", "#31688e", "#26828e", "#1f9e89", "#35b779", "#6ece58")  # of viridis, what both pages bear
_OF_LOSSES = {
    "minimax": "#0072B2",
    "non_saturating": "#D55E00",
    "wasserstein": "#009E73",
    "hinge": "#CC79A7",
    "least_squares": "#E69F00",
    "relativistic": "#56B4E9",
}
_SCALE = 3  # pixels of a PNG a point
_FONT_SIZE = 8.0


@dataclass(frozen=True)
class Picture:
    """A chart of rows.

    Attributes:
      chart: Without config and without rows; data are named.
      tables: The rows of each name.
      caption: Job, n, seeds, what lines and bands mean: what is printed under it in a paper.
      description: What is shown, from where to where it goes.
      num_panels: How many there are side by side, if there are columns to be chosen.
      legend: The names in it, if it stands above the chart, in as many columns as the width has room for.
      aspect: Height of a panel over its width; None where it does not follow the width.
      height: Of a panel instead, points; None where the chart has its own.
      most, narrow: Panels side by side across two columns of a paper, and in one.
    """

    chart: Any
    tables: Mapping[str, Sequence[Row]]
    caption: str
    description: str
    num_panels: int = 1
    legend: Sequence[str] = ()
    aspect: float | None = 0.62
    height: float | None = None
    most: int = 4
    narrow: int = 2

    def spec(self, *, theme: Theme = "light", font_size: float = _FONT_SIZE) -> dict[str, Any]:
        """The Vega-Lite specification, each table of rows where its name is met first."""
        spec: dict[str, Any] = self.chart.to_dict()
        _fill(spec, dict(self.tables))
        return {**spec, "description": self.description, "config": theme_config(theme, font_size)}


def named(name: str) -> alt.NamedData:
    """Data of a chart whose rows are in `Picture.tables`."""
    return alt.NamedData(name=name)


def save(picture: Picture, path: Path, *, width: Width = "double", theme: Theme = "light") -> None:
    """Writes a picture, by the end of its name as PNG, PDF, SVG or a page; the same picture gives the same bytes.

    Raises:
      HarnessError: If the name ends otherwise, or the file cannot be written.
    """
    import vl_convert as vlc

    check_output(path)
    kind = path.suffix.lower()
    if kind == ".html":
        content = _page(picture, theme)
    else:
        spec = sized(picture, width=WIDTHS[width], theme=theme)
        spec["background"] = _INK[theme]["page"]
        if kind == ".png":
            content = vlc.vegalite_to_png(spec, scale=1, ppi=72 * _SCALE)
        elif kind == ".pdf":
            content = _in_order(vlc.vegalite_to_pdf(spec))
        else:
            content = _numbered(vlc.vegalite_to_svg(spec)).encode()
    try:
        path.write_bytes(content)
    except OSError as error:
        raise HarnessError(f"--output {path}: cannot be written: {error}") from error


def check_output(path: Path) -> None:
    """Refuses a name that ends in no known format, or that is in a folder that is not there."""
    if path.suffix.lower() not in FORMATS:
        raise HarnessError(f"--output {path}: a figure's name must end in {', '.join(FORMATS)}")
    if not path.parent.is_dir():
        raise HarnessError(f"--output {path}: there is no folder {path.parent}")


def sized(picture: Picture, *, width: float, theme: Theme = "light", font_size: float = _FONT_SIZE) -> dict[str, Any]:
    """The specification at a width in points, legends and all; panels side by side as the width has room for."""
    spec = picture.spec(theme=theme, font_size=font_size)
    wide = width >= WIDTHS["double"]
    if picture.legend:
        longest = min(max(map(len, picture.legend)), LEGEND)
        room = int((width - 30) / (0.52 * font_size * longest + 2.5 * font_size))
        spec["config"]["legend"]["columns"] = max(1, min(room, len(picture.legend)))
    if "facet" in spec and "columns" in spec:
        spec["columns"] = _num_columns(picture.num_panels, most=picture.most if wide else picture.narrow)
    is_single = "facet" not in spec and not _CONCATS & spec.keys()
    views = [spec] if is_single else list(_views(spec))
    for view in views:
        if picture.height is not None:
            view["height"] = picture.height
    if is_single:
        spec |= {"width": width, "autosize": {"type": "fit-x", "contains": "padding"}}
        if picture.aspect is not None:
            spec["height"] = round(min(0.85 * width * picture.aspect, 0.4 * width + 20))
        return spec
    shares = [view.get("width", 100) for view in views]
    is_grid = "facet" in spec and "column" in spec["facet"]
    num_columns = picture.num_panels if is_grid else spec.get("columns", 1)
    slope = num_columns * shares[0] if "facet" in spec else _row_width(spec)
    factor = max((width - 60) / slope, 0.1)
    for _ in range(2):  # a legend or a long name may be what is widest
        _stretch(views, shares, factor, picture.aspect)
        factor = max(factor + (width - _width_of(spec)) / slope, 0.1)
    _stretch(views, shares, factor, picture.aspect)
    return spec


# --- colours


def colours_of(axis: str, values: Sequence[Any]) -> list[str]:
    """A colour for each value of an axis, in their order; that of a loss is the same in all pictures."""
    if axis == "loss":
        free = [colour for colour in COLOURS if colour not in {_OF_LOSSES.get(str(value)) for value in values}]
        own = iter(free * (1 + len(values)))
        return [_OF_LOSSES.get(str(value)) or next(own) for value in values]
    if len(values) > len(COLOURS) and all(isinstance(value, (int, float)) for value in values):
        return [_blend(index / (len(values) - 1)) for index in range(len(values))]
    return [COLOURS[index % len(COLOURS)] for index in range(len(values))]


def shapes_of(values: Sequence[Any]) -> list[str]:
    """A shape for each of some values: colour is never all that tells them apart."""
    return [SHAPES[index % len(SHAPES)] for index in range(len(values))]


def _blend(share: float) -> str:
    """The colour of the ramp at a share of its length."""
    place = share * (len(_RAMP) - 1)
    low = min(int(place), len(_RAMP) - 2)
    pairs = ((int(_RAMP[low][i : i + 2], 16), int(_RAMP[low + 1][i : i + 2], 16)) for i in (1, 3, 5))
    return "#" + "".join(f"{round(a + (b - a) * (place - low)):02x}" for a, b in pairs)


# --- themes

_INK: Mapping[Theme, Mapping[str, str]] = {
    "light": {"text": "#1f2328", "faint": "#59636e", "line": "#818b98", "grid": "#e7e9ec", "page": "#ffffff"},
    "dark": {"text": "#e6edf3", "faint": "#9da7b3", "line": "#6e7681", "grid": "#2b3138", "page": "#14171c"},
}


def theme_config(theme: Theme = "light", font_size: float = _FONT_SIZE) -> dict[str, Any]:
    """The config of Vega-Lite for a page; its ground is the page's own."""
    ink, small = _INK[theme], font_size - 0.5 if font_size < 10 else font_size - 1
    words = {"labelFontSize": small, "titleFontSize": font_size, "titleFontWeight": "normal", "labelLimit": 0}
    words |= {"labelColor": ink["text"], "titleColor": ink["text"], "titleLimit": 0}
    return {
        "font": FONT,
        "background": "transparent",
        "lineBreak": "\n",
        "padding": 2,
        "axis": {
            **words,
            "labelColor": ink["faint"],
            "domainColor": ink["line"],
            "tickColor": ink["line"],
            "gridColor": ink["grid"],
            "gridWidth": 0.6,
            "domainWidth": 0.8,
            "tickWidth": 0.8,
            "tickSize": 3,
            "labelPadding": 2,
            "titlePadding": 4,
        },
        "legend": {
            **words,
            "symbolSize": 3.5 * font_size,
            "rowPadding": 1,
            "titlePadding": 3,
            "columnPadding": 8,
            "offset": 4,
        },
        "header": {**words, "labelFontSize": font_size, "labelPadding": 4, "titlePadding": 2},
        "title": {
            "color": ink["text"],
            "fontSize": font_size,
            "fontWeight": "bold",
            "anchor": "start",
            "frame": "group",
            "offset": 5,
            "subtitleColor": ink["faint"],
            "subtitleFontSize": small,
            "subtitlePadding": 1,
        },
        "view": {"stroke": None},
        "facet": {"spacing": 1.5 * font_size},
        "concat": {"spacing": 2 * font_size},
        "line": {"strokeWidth": 1.4, "strokeJoin": "round"},
        "text": {"color": ink["text"], "fontSize": small},
        "rule": {"color": ink["line"]},
        "range": {"category": list(COLOURS)},
        "style": {
            "reference": {"color": ink["faint"], "stroke": ink["faint"], "strokeWidth": 0.9, "strokeDash": [3, 2]},
            "zero": {"color": ink["line"], "stroke": ink["line"], "strokeWidth": 0.9},
            "ink": {"color": ink["text"], "stroke": ink["text"], "strokeWidth": 1},
            "mark-note": {"color": ink["faint"], "fill": ink["faint"], "fontSize": small},
            "ground": {"color": ink["page"], "fill": ink["page"]},
        },
    }


# --- sizes

_CONCATS = frozenset({"hconcat", "vconcat", "concat"})


def _views(spec: dict[str, Any]) -> list[dict[str, Any]]:
    """The views of a facet or concatenation that have a width of their own."""
    if "facet" in spec and "spec" in spec:
        return _views(spec["spec"])
    for name in _CONCATS & spec.keys():
        return [view for part in spec[name] for view in _views(part)]
    return [spec]


def _row_width(spec: dict[str, Any]) -> float:
    """The widths of the views that stand side by side in the widest row."""
    if "hconcat" in spec:
        return sum(map(_row_width, spec["hconcat"]))
    if "vconcat" in spec:
        return max(map(_row_width, spec["vconcat"]))
    if "concat" in spec:
        return float(spec.get("columns", len(spec["concat"]))) * _row_width(spec["concat"][0])
    return float(spec.get("width", 100))


def _stretch(views: Sequence[dict[str, Any]], shares: Sequence[float], factor: float, aspect: float | None) -> None:
    for view, share in zip(views, shares, strict=True):
        view["width"] = max(20, round(share * factor, 1))
        if aspect is not None:
            view["height"] = max(20, round(view["width"] * aspect))


def _width_of(spec: dict[str, Any]) -> float:
    import vl_convert as vlc

    found = re.search(r'<svg[^>]*?\swidth="([\d.]+)"', vlc.vegalite_to_svg(spec))
    assert found is not None, "an SVG has a width"
    return float(found[1])


def _num_columns(number: int, *, most: int) -> int:
    """As few rows as fit, their panels spread evenly."""
    num_rows = -(-number // most)
    return max(1, -(-number // num_rows)) if number else 1


def _fill(part: Any, tables: dict[str, Sequence[Row]]) -> None:
    """Puts rows where a specification names them first."""
    if isinstance(part, list):
        for one in part:
            _fill(one, tables)
    if not isinstance(part, dict):
        return
    data = part.get("data")
    if isinstance(data, dict) and data.get("name") in tables:
        data["values"] = list(tables.pop(data["name"]))
    for name, one in part.items():
        if name != "data":
            _fill(one, tables)


def _page(picture: Picture, theme: Theme) -> bytes:
    """A page that asks no network for anything; names and texts of a job are text in it, whatever they hold."""
    spec = sized(picture, width=900, theme=theme, font_size=12)
    ink = _INK[theme]
    style = f"body{{background:{ink['page']};color:{ink['text']};font:14px {FONT};max-width:920px;margin:2em auto}}"
    shown = json.dumps(spec).replace("<", "\\u003c")  # no end of the script is in it
    return _PAGE.format(
        title=html.escape(picture.description[:80]),
        style=style,
        bundle=vega_script(),
        spec=shown,
        caption=html.escape(picture.caption),
    ).encode()


_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>{style}</style>
<script>{bundle}</script></head>
<body><div id="picture"></div><p>{caption}</p>
<script>vegaEmbed("#picture", {spec}, {{renderer: "svg", actions: false}});</script></body></html>
"""


@functools.cache
def vega_script() -> str:
    """The script that draws in a page: ``vegaEmbed``, of Vega and Vega-Lite; nothing in it ends its element."""
    import vl_convert as vlc

    return harmless(vlc.javascript_bundle("window.vegaEmbed = vegaEmbed;"))


def harmless(script: str) -> str:
    """A script that may stand in a page: nothing in it ends its element."""
    return re.sub(r"</(script)", r"<\\/\1", script, flags=re.IGNORECASE).replace("<!--", "<\\!--")


def _in_order(pdf: bytes) -> bytes:
    """A PDF whose lists of resources are sorted: in vl-convert's they have a new order each time."""
    return _RESOURCES.sub(lambda found: found[1] + b"".join(sorted(found[2].splitlines(keepends=True))), pdf)


def _numbered(svg: str) -> str:
    """An SVG whose clips and gradients are counted from 0; Vega counts on from one picture to the next."""
    names = dict.fromkeys(_NAMED.findall(svg))
    return _NAMED.sub(lambda found: f"{found[1]}{list(names).index((found[1], found[2]))}", svg)


_NAMED = re.compile(r"\b(clip|gradient_?)(\d+)\b")
_RESOURCES = re.compile(rb"(/(?:XObject|ExtGState|Font|Shading|Pattern|ColorSpace) <<\n)((?:\s*/\S+ \d+ 0 R\n)+)")
