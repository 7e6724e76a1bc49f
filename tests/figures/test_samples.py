"""Pictures of samples: every generator in its own place, images pixel by pixel, a density the right way up."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from harness.errors import HarnessError
from harness.evaluation.samples import samples_of
from harness.figures.images import data_uri, tiles, veil
from harness.figures.samples import Choice, _background, samples
from harness.job.job import Job
from harness.job.reading import parse_job
from harness.storage.query import Results
from tests.figures.scene import drawn
from tests.figures.test_lines import assert_readable


def pixels(uri: str) -> Any:
    """What an image shows, by another decoder."""
    kind, content = uri.split(",")
    assert kind == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(content))))


def job_of(results: Results, name: str) -> Job:
    text = results.store.place.content(f"{name}/job.yaml")
    assert text is not None
    job = parse_job(text.decode())
    assert isinstance(job, Job)
    return job


@pytest.mark.parametrize("shape", [(3, 5), (3, 5, 3), (3, 5, 4)])
def test_a_png_has_the_pixels(shape: tuple[int, ...]) -> None:
    expected = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    assert np.array_equal(pixels(data_uri(expected)), expected)


def test_tiles_lie_in_reading_order_a_pixel_apart() -> None:
    images = np.stack([np.full((1, 2, 3), value) for value in (0.0, 0.5, 1.0)])
    sheet = tiles(images, columns=2, low=0.0, high=1.0)
    assert sheet.shape == (5, 7)
    assert sheet[:2, :3].tolist() == [[0] * 3] * 2
    assert sheet[:2, 4:].tolist() == [[128] * 3] * 2
    assert sheet[3:, :3].tolist() == [[255] * 3] * 2
    assert not sheet[2].any()
    assert not sheet[:, 3].any()


def test_colours_stay_colours() -> None:
    image = np.array([[[[1.0]], [[0.0]], [[-1.0]]]])
    assert tiles(image, columns=1, low=-1.0, high=1.0)[0, 0].tolist() == [255, 128, 0]


def test_a_density_is_high_where_the_samples_are() -> None:
    """One sample at the upper right; rows of an image go down."""
    shown = pixels(_background(torch.tensor([[0.5, 0.8]]), 0.1, -1.0, 1.0))[..., 3].astype(float)
    row, column = np.unravel_index(shown.argmax(), shown.shape)
    assert (1 - 2 * (row + 0.5) / shown.shape[0], 2 * (column + 0.5) / shown.shape[1] - 1) == pytest.approx(
        (0.8, 0.5), abs=0.02
    )
    assert veil(np.zeros((2, 2)), (1, 2, 3))[..., 3].max() == 0


def test_every_generator_is_in_its_own_panel(real: Results) -> None:
    picture = samples(real, "tiny", Choice({"loss": "minimax", "seed": "1"}))
    cells = real.query(
        """SELECT * FROM cells WHERE job = 'tiny' AND loss = 'minimax' AND seed = 1 ORDER BY schedule, epoch"""
    ).to_pylist()
    expected = samples_of(real.store, job_of(real, "tiny"), cells, num=300, num_real=1).generated
    rows = picture.tables["samples"]
    for cell, points in zip(cells, expected, strict=True):
        own = [(row["x"], row["y"]) for row in rows if row.get("cell_id") == cell["cell_id"] and "x" in row]
        assert own == [pytest.approx(point, abs=1e-4) for point in points.tolist()]
        (place,) = {(row["epoch"], row["choice"]) for row in rows if row.get("cell_id") == cell["cell_id"]}
        assert place == (f"epoch {cell['epoch']}", f"\u03c3 {cell['schedule']}")
    found = drawn(picture)
    assert len(found.marks("image")) == 4
    assert_readable(found)
    assert "of seed 1, of the same 300 latents" in picture.caption


def test_images_are_tiles_and_real_ones_are_beside_them(real: Results) -> None:
    picture = samples(real, "probed")
    rows = picture.tables["samples"]
    assert {(row["epoch"], row["choice"]) for row in rows} == {
        (epoch, seed) for epoch in ("epoch 1", "epoch 2", "real") for seed in ("seed 0", "seed 1")
    }
    (cell, *_) = real.query("SELECT * FROM cells WHERE job = 'probed' AND epoch = 2 AND seed = 1").to_pylist()
    found = samples_of(real.store, job_of(real, "probed"), [cell], num=25, num_real=200)
    (shown,) = [pixels(row["url"]) for row in rows if (row["epoch"], row["choice"]) == ("epoch 2", "seed 1")]
    low, high = float(found.real.min()), float(found.real.max())
    first = np.clip((found.generated[0, 0, 0].numpy() - low) / (high - low), 0, 1) * 255
    assert shown[: first.shape[0], : first.shape[1]] == pytest.approx(np.round(first), abs=1)
    assert len(drawn(picture).marks("image")) == 6
    assert_readable(drawn(picture))
    assert "the reference run's" in picture.caption


def test_a_job_without_generators_is_told(real: Results) -> None:
    with pytest.raises(HarnessError, match="is of protocol dirac, which keeps none"):
        samples(real, "dirac")
    with pytest.raises(HarnessError, match="--where epoch=9: no such epoch"):
        samples(real, "tiny", Choice({"epoch": "9"}))
