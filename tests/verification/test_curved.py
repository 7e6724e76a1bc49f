"""Curved manifolds: their functions against finite differences, where they meet against plane geometry."""

from __future__ import annotations

import numpy as np
import pytest

from harness.verification.curved import Manifold, Spheres, Waves, meet, random_frames, spheres_meet


def sphere(dimension: int) -> Spheres:
    random = np.random.default_rng(dimension)
    points, radii = random.standard_normal((3, 4)), random.uniform(0.5, 2, 3)
    return Spheres.through(points, random_frames(3, 4, random), radii, dimension=dimension)


def wave(dimension: int) -> Waves:
    random = np.random.default_rng(dimension)
    return Waves.through(random.standard_normal((3, 4)), random_frames(3, 4, random), random, dimension=dimension)


@pytest.mark.parametrize(
    "manifold", [sphere(1), sphere(2), sphere(3), wave(1), wave(3)], ids=lambda each: str(each)[:16]
)
def test_points_are_on_the_manifold_and_normals_are_the_derivatives_of_the_defect(manifold: Manifold) -> None:
    random = np.random.default_rng(0)
    assert np.abs(manifold.defect(manifold.draw(50, random))).max() < 1e-14
    points, step = random.standard_normal((3, 5, 4)), 1e-6
    moved = [(manifold.defect(points + step * e) - manifold.defect(points - step * e)) / (2 * step) for e in np.eye(4)]
    np.testing.assert_allclose(manifold.normals(points), np.stack(moved, 3), atol=1e-8)


def test_spheres_and_waves_pass_through_their_point_and_frames_are_orthogonal() -> None:
    random = np.random.default_rng(1)
    points, frames = random.standard_normal((3, 4)), random_frames(3, 4, random)
    np.testing.assert_allclose(frames @ frames.swapaxes(1, 2), np.broadcast_to(np.eye(4), (3, 4, 4)), atol=1e-14)
    for manifold in (
        Spheres.through(points, frames, np.ones(3), dimension=2),
        Waves.through(points, frames, random, dimension=2),
    ):
        assert np.abs(manifold.defect(points[:, None])).max() < 1e-14
        assert np.abs(manifold.moved(np.ones((3, 4))).defect(points[:, None] + 1)).max() < 1e-14
    on_sphere = Spheres.through(points, frames, np.ones(3), dimension=2).normals(points[:, None])[:, 0]  # [n, 2, d]
    assert np.abs(on_sphere @ frames[:, :, 1:3]).max() < 1e-14  # columns 1 and 2 are tangent


def test_circles_of_radius_1_at_distance_1_meet_where_geometry_says() -> None:
    centres = np.array([[0.0, 0.0]]), np.array([[1.0, 0.0]])
    first, second = (Spheres(1, centre, np.ones(1), np.eye(2)[None]) for centre in centres)
    found = meet(first, second, first.draw(20, np.random.default_rng(0)))
    assert found.on_both.all()
    assert {(round(x, 10), round(abs(y), 10)) for x, y in found.points[0]} == {(0.5, round(3**0.5 / 2, 10))}
    assert (found.points[0, :, 1] > 0).any()
    assert (found.points[0, :, 1] < 0).any()
    assert (found.ranks(1e-5) == 2).all()


@pytest.mark.parametrize(("distance", "expected"), [(0.4, False), (0.6, True), (2.4, True), (2.6, False)])
def test_circles_of_radius_1_and_1_5_meet_between_the_difference_and_the_sum(distance: float, expected: bool) -> None:
    first = Spheres(1, np.zeros((1, 2)), np.ones(1), np.eye(2)[None])
    second = Spheres(1, np.array([[0.0, distance]]), np.full(1, 1.5), np.eye(2)[None])
    assert spheres_meet(first, second).tolist() == [expected]
    assert meet(first, second, first.draw(12, np.random.default_rng(0))).on_both.any() == expected


def test_a_circle_in_space_meets_a_sphere_up_to_its_furthest_point() -> None:
    circle = Spheres(1, np.zeros((1, 3)), np.ones(1), np.eye(3)[None])
    for height, expected in ((0.5, True), (2.9, False)):  # furthest points at distance sqrt(1 + height^2)
        ball = Spheres(2, np.array([[0.0, 0.0, height]]), np.array([np.hypot(1, 0.5)]), np.eye(3)[None])
        moved = ball.moved(np.array([[0.2, 0.0, 0.0]]))
        assert spheres_meet(circle, moved).tolist() == [expected]


def test_a_closed_form_is_refused_where_there_is_none() -> None:
    circles = Spheres(1, np.zeros((1, 3)), np.ones(1), np.eye(3)[None])
    with pytest.raises(ValueError, match="must be spheres of dimension d - 1, got 1"):
        spheres_meet(circles, circles)
