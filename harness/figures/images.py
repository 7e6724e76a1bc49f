"""Arrays as PNG data URIs, of which a chart's image marks are made."""

from __future__ import annotations

import base64
import struct
import zlib
from typing import Any

import numpy as np

Bytes = np.ndarray[Any, np.dtype[np.uint8]]
Floats = np.ndarray[Any, np.dtype[np.float64]]


def data_uri(pixels: Bytes) -> str:
    """Grey ``[h, w]``, colours ``[h, w, 3]`` or colours with opacity ``[h, w, 4]`` as a PNG without a date."""
    height, width = pixels.shape[:2]
    kind = {2: 0, 3: {3: 2, 4: 6}.get(pixels.shape[-1], 2)}[pixels.ndim]
    rows = b"".join(b"\0" + row.tobytes() for row in np.ascontiguousarray(pixels))
    header = struct.pack(">IIBBBBB", width, height, 8, kind, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows, 9)), (b"IEND", b""))
    png = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        for name, content in chunks
    )
    return "data:image/png;base64," + base64.b64encode(png).decode()


def tiles(images: Floats, *, columns: int, low: float, high: float) -> Bytes:
    """Images ``[n, c, h, w]`` side by side, a pixel apart, from dark (`low`) to bright (`high`); 1 or 3 channels."""
    number, channels, height, width = images.shape
    rows = -(-number // columns)
    grey = np.clip((images - low) / ((high - low) or 1.0), 0, 1)
    sheet = np.zeros((rows * (height + 1) - 1, columns * (width + 1) - 1, channels))
    for index, image in enumerate(grey):
        top, left = (index // columns) * (height + 1), (index % columns) * (width + 1)
        sheet[top : top + height, left : left + width] = image.transpose(1, 2, 0)
    pixels = np.round(255 * sheet).astype(np.uint8)
    return pixels[..., 0] if channels == 1 else pixels[..., :3]


def veil(density: Floats, colour: tuple[int, int, int]) -> Bytes:
    """A density ``[h, w]`` as one colour, the more opaque the higher: the same on a light and a dark page."""
    share = density / (density.max() or 1.0)
    pixels = np.empty((*density.shape, 4), dtype=np.uint8)
    pixels[..., :3] = colour
    pixels[..., 3] = np.round(200 * np.sqrt(share)).astype(np.uint8)
    return pixels
