"""What a picture shows once it is drawn: marks, and where its texts are."""

from __future__ import annotations

import functools
import subprocess
from collections.abc import Iterator
from typing import Any, NamedTuple

import vl_convert as vlc

from harness.figures.picture import WIDTHS, Picture, Width, sized


class Box(NamedTuple):
    """A text and the rectangle it takes, points."""

    text: str
    left: float
    top: float
    right: float
    bottom: float

    def overlaps(self, other: Box) -> bool:
        wide = min(self.right, other.right) - max(self.left, other.left)
        high = min(self.bottom, other.bottom) - max(self.top, other.top)
        return wide > 0.5 and high > 0.5


class Drawn(NamedTuple):
    width: float
    height: float
    scene: dict[str, Any]
    origin: tuple[float, float]

    def marks(self, kind: str, name: str = "") -> list[dict[str, Any]]:
        """The items of marks of a kind, whose name contains a text."""
        return [
            item
            for mark in self._marks(self.scene)
            if mark["marktype"] == kind and name in (mark.get("name") or "")
            for item in mark.get("items", [])
        ]

    def said(self, kind: str, name: str = "") -> list[dict[str, str]]:
        """What marks say of themselves to those who do not see them, by title."""
        described = [item["description"] for item in self.marks(kind, name) if "description" in item]
        return [dict(part.split(": ", 1) for part in text.split("; ")) for text in described]

    def texts(self) -> list[Box]:
        """Every text that is not empty."""
        return list(self._texts(self.scene, *self.origin))

    def _marks(self, node: dict[str, Any]) -> Iterator[dict[str, Any]]:
        if "marktype" in node:
            yield node
        for item in node.get("items", []):
            yield from self._marks(item)

    def _texts(self, node: dict[str, Any], x: float, y: float) -> Iterator[Box]:
        for item in node.get("items", []):
            if "marktype" in node and node["marktype"] == "text":
                if item.get("text") not in (None, "") and item.get("opacity", 1) != 0:
                    yield _box(item, x, y)
            else:
                yield from self._texts(
                    item,
                    x + item.get("x", 0) * ("marktype" not in item),
                    y + item.get("y", 0) * ("marktype" not in item),
                )


def drawn(picture: Picture, width: Width = "double") -> Drawn:
    """A picture at a width, by Vega."""
    found = vlc.vegalite_to_scenegraph(sized(picture, width=WIDTHS[width]))
    return Drawn(found["width"], found["height"], found["scenegraph"], tuple(found["origin"]))


def _box(item: dict[str, Any], x: float, y: float) -> Box:
    text = item["text"]
    lines = text if isinstance(text, list) else str(text).split("\n")
    size = item.get("fontSize", 11)
    wide, high = max(_width(line, size) for line in lines), size * (1 + 1.15 * (len(lines) - 1))
    left = {"left": 0.0, "center": -wide / 2, "right": -wide}[item.get("align", "left")]
    top = {"top": 0.0, "middle": -size / 2, "bottom": -size, "line-top": 0.0}.get(
        item.get("baseline", "alphabetic"), -0.8 * size
    )
    left, top = left + item.get("dx", 0), top + item.get("dy", 0)
    if item.get("angle", 0) % 360 in (270, -90):
        left, top, wide, high = top, -left - wide, high, wide
    x, y = x + item.get("x", 0), y + item.get("y", 0)
    return Box("\n".join(map(str, lines)), x + left, y + top, x + left + wide, y + top + high)


def _width(text: str, size: float) -> float:
    font = _font()
    return float(font.getlength(text)) * size / 100 if font is not None else 0.5 * size * len(text)


@functools.cache
def _font() -> Any:
    """Liberation Sans at 100 points, where it is installed."""
    from PIL import ImageFont

    try:
        path = subprocess.run(
            ["fc-match", "-f", "%{file}", "Liberation Sans"], capture_output=True, text=True, check=True
        ).stdout
        return ImageFont.truetype(path, 100) if "Liberation" in path else None
    except (OSError, subprocess.CalledProcessError):
        return None
