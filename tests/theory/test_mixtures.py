"""Coverage of modes on sets made by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from harness.theory.mixtures import mode_coverage

STD = 0.05
CENTRES = torch.tensor([[float(x), float(y)] for x in range(-2, 3) for y in range(-2, 3)])


def at(modes: range | list[int], *, each: int = 100, off: float = 0.0) -> Tensor:
    """So many samples at each of some modes, beside its centre."""
    return (CENTRES[list(modes)] + torch.tensor([off, 0.0])).repeat(each, 1)


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        (at(range(25)), (25, 1.0, 0.0)),  # all modes
        (at(range(12)), (12, 1.0, math.log(25 / 12))),  # about half of them, in equal shares
        (at([7]), (1, 1.0, math.log(25))),  # one
        (at(range(25), off=0.5), (0, 0.0, math.nan)),  # blurred: between the modes
        (torch.cat([at(range(25)), at(range(25), off=0.4)]), (25, 0.5, 0.0)),  # half of it blurred
    ],
    ids=["all", "half", "one", "blurred", "half blurred"],
)
def test_sets_made_by_hand_are_exact(samples: Tensor, expected: tuple[int, float, float]) -> None:
    found = mode_coverage(samples, CENTRES, std=STD)
    assert (found.modes, found.high_quality_share) == expected[:2]
    assert found.reverse_kl == pytest.approx(expected[2], abs=1e-12, nan_ok=True)


def test_the_reverse_kl_of_unequal_shares_by_hand() -> None:
    """Three quarters and one quarter of two modes out of four."""
    centres = torch.tensor([[0.0], [1.0], [2.0], [3.0]])
    samples = torch.tensor([[0.0]] * 3 + [[2.0]])
    expected = 0.75 * math.log(4 * 0.75) + 0.25 * math.log(4 * 0.25)
    assert mode_coverage(samples, centres, std=0.1).reverse_kl == pytest.approx(expected)


@pytest.mark.parametrize(("num", "counts"), [(9, False), (10, True)])
def test_a_mode_counts_from_one_percent_of_the_samples_on(num: int, counts: bool) -> None:
    samples = torch.cat([at([0], each=1000 - num), at([1], each=num)])
    assert mode_coverage(samples, CENTRES, std=STD).modes == 1 + counts


@pytest.mark.parametrize(("off", "good"), [(2.99, True), (3.01, False)])
def test_samples_are_good_up_to_three_standard_deviations(off: float, good: bool) -> None:
    found = mode_coverage(at([3], off=off * STD), CENTRES, std=STD)
    assert found.high_quality_share == float(good)


def test_draws_of_the_mixture_itself_are_as_good_as_chi_square_says() -> None:
    """In 2-D 1 - exp(-9/2) of a Gaussian's mass is within three standard deviations."""
    num, generator = 50_000, torch.Generator().manual_seed(2)
    modes = torch.randint(25, (num,), generator=generator)
    found = mode_coverage(CENTRES[modes] + STD * torch.randn(num, 2, generator=generator), CENTRES, std=STD)
    share = 1 - math.exp(-4.5)
    assert abs(found.high_quality_share - share) < 4 * math.sqrt(share * (1 - share) / num)
    assert found.modes == 25
    assert 0 < found.reverse_kl < 24 / num  # half of a chi-square of 24 over n, in expectation


@pytest.mark.parametrize(("samples", "std"), [(CENTRES, 0.0), (CENTRES[:0], 0.1)])
def test_what_has_no_modes_is_refused(samples: Tensor, std: float) -> None:
    with pytest.raises(ValueError, match="std must be positive and there must be samples"):
        mode_coverage(samples, CENTRES, std=std)
