"""What the -log D alternative costs: modes it may drop, and steps that are noise.

References:
  Arjovsky & Bottou (2017), sections 1 and 2.2.2; arXiv:1701.04862.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy import stats
from torch import Generator, Tensor
from torch.func import jacrev

from ...job.parts.networks import MLP
from ...job.parts.optimizers import SGD, Adam, Optimizer, RMSprop
from ...stacking.module import StackedModule
from ...theory.divergences import Estimate, NoisyDivergence, noisy_divergences
from ...theory.losses import LOSSES
from ...theory.mixtures import mode_coverage
from ...theory.noise import Gaussian
from ...training.optimizers import StackedOptimizer
from ..findings import Assessment, assess, at_least, at_most, close
from .quadrature import Divergences, divergences, log_mixture

_STANDARD_ERRORS = 4.0  # a limit that a right program exceeds with probability 6e-5


def asymmetry(
    *, distances: Sequence[float] = (2.0, 4.0, 8.0), jsd_weight: float = -2.0, num_draws: int = 20000, seed: int = 0
) -> Assessment:
    """KL(P_r||P_g) pays for dropped modes, KL(P_g||P_r) for fakes; -log D follows the latter less 2 JSD.

    Section 1, and the discussion of Theorem 2.5. One normal distribution and the mixture of it and another at a
    distance: the generator that has the first alone drops a mode, and with the roles exchanged half its samples are
    fakes. The harness's estimates under untruncated noise are compared with quadrature, in standard errors. As the
    distance grows, the large price must grow at least as its square, while the small one stays at most log 2.

    The JSD with the wrong sign is not the fault it seems to be in the paper: ``KL(P_g||P_r) - 2 JSD =
    2 KL((P_r + P_g) / 2 || P_r)``, a divergence that is 0 for P_g = P_r alone. It pays for fakes without limit, as
    the paper says, and for a dropped half even less than KL(P_g||P_r): ``3/2 log 3/2 - 1/2 log 2 = 0.262`` against
    ``log 2 = 0.693``.

    The harness's metric `reverse_kl`, of the modes' shares, is log 2 for the dropped mode and blind to fakes, which
    the share of high quality shows.

    Args:
      distances: Between the modes, in standard deviations, rising; the last far enough for the limits.
      jsd_weight: Of the JSD in what -log D follows, -2 in the theorem.
      num_draws: From each measure.
      seed: Of the draws.
    """
    draws = Generator().manual_seed(seed)
    dropping, deviations = [], []
    for distance in distances:
        one, two = (torch.tensor(centres, dtype=torch.float64)[:, None] for centres in ([0.0], [0.0, distance]))
        # P_r has two modes, P_g one; fakes are the same with the roles exchanged
        (found,) = noisy_divergences(two, one, sigmas=[1.0], num_draws=num_draws, generator=draws, noise=Gaussian())
        dropping.append(_Estimates.of(found))
        deviations += _deviations(dropping[-1], distance, jsd_weight=jsd_weight, num_draws=num_draws)
    far, nearer = dropping[-1], dropping[-2]
    growth = math.log(far.kl_pq.value / nearer.kl_pq.value) / math.log(distances[-1] / distances[-2])
    price_of_dropping, price_of_fakes = (kl.value + jsd_weight * far.jsd.value for kl in (far.kl_qp, far.kl_pq))
    limit = 1.5 * math.log(1.5) - 0.5 * math.log(2)

    samples = [Gaussian().unit(num_draws, 1, generator=draws) for _ in range(2)]
    centres = torch.tensor([[0.0], [distances[-1]]], dtype=torch.float64)
    dropped = mode_coverage(samples[0], centres, std=1.0)
    half_fakes = mode_coverage(torch.cat([samples[0], samples[1] + distances[-1]]), centres[:1], std=1.0)
    good = float(stats.chi2(1).cdf(9)) / 2
    return assess(
        f"a dropped mode: KL(r||g) {far.kl_pq.value:.2f} ~ distance^{growth:.2f}, KL(g||r) "
        f"{far.kl_qp.value:.3f}, -log D {price_of_dropping:.3f} (fakes: {price_of_fakes:.2f}); off by <= "
        f"{max(deviations):.2f} standard errors",
        f"-> inf, {math.log(2):.3f}, {limit:.3f} (fakes: -> inf); <= {_STANDARD_ERRORS:g}",
        at_most(max(deviations), _STANDARD_ERRORS),
        at_least(growth, 2.0),
        close(far.kl_qp.value, math.log(2), tolerance=0.02),
        close(price_of_dropping, limit, tolerance=0.02),
        at_least(price_of_fakes, 10 * price_of_dropping),
        close(dropped.reverse_kl, math.log(2), tolerance=1e-12),
        close(half_fakes.reverse_kl, 0.0, tolerance=1e-12),
        close(half_fakes.high_quality_share, good, tolerance=4 * math.sqrt(good * (1 - good) / (2 * num_draws))),
    )


def bounded_updates(
    *,
    loss: str = "non_saturating",
    slope: float = 0.0,
    noise_of_value: float = 0.1,
    noise_of_slope: float = 1.0,
    num_members: int = 4000,
    num_steps: int = 50,
    seed: int = 0,
) -> Assessment:
    """Under white noise a bounded update is 0 on average: "no feedback" (the remark after Theorem 2.6).

    Gradients of -log D as in Theorem 2.6, with ``D = |e|``, since -log D needs D > 0, and ``grad D = r``: autograd of
    the harness's loss, and of its MLP by its weights. Independent members descend from 0, each on noise of its own,
    by the harness's Adam and RMSprop, whose steps are bounded, and by SGD on clipped gradients. The mean displacement
    must be 0 within 4 standard errors in every coordinate, though members do move: the clipped ones as a random walk,
    whose variance a step is in closed form that of a clipped Cauchy variable. Unbounded updates have no mean at all:
    the average of a hundred of them is distributed as one is (Kolmogorov and Smirnov's test, p > 0.01).

    Args:
      loss: The generator's, by name; the theorem is about `non_saturating`.
      slope: Of D around the samples, in each coordinate; the statement needs 0. Else the mean is a direction.
      noise_of_value, noise_of_slope: Standard deviations of e and r.
      num_members: Independent runs, one pack.
      num_steps: Of each.
      seed: Of all draws.
    """
    draws = Generator().manual_seed(seed)
    module = StackedModule.generator(MLP(latent=4, width=16), (2,))
    weights = module.initial(draws).double()
    latents = torch.randn(8, 4, generator=draws, dtype=torch.float64)
    jacobians: Tensor = jacrev(lambda theta: module(theta[None], latents[None])[0])(weights)  # [b, d, p]
    lengths = jacobians.norm(dim=1)
    chosen = lengths.mean(0).topk(3).indices
    along, scales = jacobians[:, :, chosen], lengths[:, chosen].mean(0) * noise_of_slope / noise_of_value

    def gradients() -> Tensor:
        """Of every member: ``[k, c]``."""
        e = noise_of_value * torch.randn(num_members, len(latents), generator=draws, dtype=torch.float64).abs()
        r = noise_of_slope * torch.randn(num_members, len(latents), 2, generator=draws, dtype=torch.float64)
        logits = (e.log() - (-e).log1p()).requires_grad_()
        (by_logit,) = torch.autograd.grad(LOSSES[loss].generator_fake(logits).sum(), logits)
        by_sample = (by_logit / (e * (1 - e)))[..., None] * (slope + r)  # dD = D (1 - D) dlogit
        return torch.einsum("nbd,bdc->nc", by_sample, along) / len(latents)

    rules: dict[str, Optimizer] = {
        "Adam": Adam(learning_rate=1.0),
        "RMSprop": RMSprop(learning_rate=1.0),
        "clipped SGD": SGD(learning_rate=1.0),
    }
    places = {name: torch.zeros(num_members, len(chosen), dtype=torch.float64) for name in rules}
    updates = {name: StackedOptimizer([rule] * num_members, places[name]) for name, rule in rules.items()}
    averages = []
    for _ in range(num_steps):
        gradient = gradients()
        averages.append(gradient.unflatten(0, (-1, 100)).mean(1))
        for name in rules:
            bounded = gradient.clamp(-scales, scales) if name == "clipped SGD" else gradient
            places[name] = updates[name](places[name], bounded)
    means = {name: place.mean(0).abs() * math.sqrt(num_members) / place.std(0) for name, place in places.items()}
    worst = {name: float(mean.max()) for name, mean in means.items()}
    walk = places["clipped SGD"].var(0) / (num_steps * scales.square())
    expected = 2 / math.pi * (1 - math.pi / 4) + 1 / 2  # E min(x^2, 1) of a Cauchy variable
    columns = torch.cat(averages).T
    fits = [
        float(stats.kstest(column.numpy(), stats.cauchy(scale=float(scale)).cdf).pvalue)
        for column, scale in zip(columns, scales, strict=True)
    ]
    return assess(
        f"mean displacement {', '.join(f'{value:.2f} ({name})' for name, value in worst.items())} standard errors; "
        f"variance a step {float(walk.min()):.3f} to {float(walk.max()):.3f}; unbounded: p {min(fits):.2g}",
        f"0, here <= {_STANDARD_ERRORS:g}; {expected:.3f}; means of 100 Cauchy like one (p > {0.01 / len(fits):.2g})",
        *(at_most(value, _STANDARD_ERRORS) for value in worst.values()),
        # the variance of a variance: at most (kurtosis of a long walk, 3) - 1 over the number of members
        *(
            close(float(value), expected, tolerance=_STANDARD_ERRORS * expected * math.sqrt(2 / num_members))
            for value in walk
        ),
        at_least(min(fits), 0.01 / len(fits)),
    )


@dataclass(frozen=True)
class _Estimates:
    """What `Divergences` has, as estimates."""

    jsd: Estimate
    kl_pq: Estimate
    kl_qp: Estimate

    @staticmethod
    def of(found: NoisyDivergence) -> _Estimates:
        assert found.kl_real_fake is not None, "normal noise is unbounded"
        assert found.kl_fake_real is not None, "normal noise is unbounded"
        return _Estimates(found.jsd, found.kl_real_fake, found.kl_fake_real)


def _deviations(found: _Estimates, distance: float, *, jsd_weight: float, num_draws: int) -> list[float]:
    """Standard errors between estimates for two modes (p) and one (q), and quadrature.

    An estimate does not know of what happens more rarely than once in its draws, so its error is at least one such
    draw of one nat.
    """
    expected, objective = _by_quadrature(distance)
    estimates = (
        (found.jsd, expected.jsd),
        (found.kl_pq, expected.kl_pq),
        (found.kl_qp, expected.kl_qp),
    )
    rare = 1 / num_draws
    deviations = [abs(estimate.value - value) / max(estimate.standard_error, rare) for estimate, value in estimates]
    followed = found.kl_qp.value + jsd_weight * found.jsd.value
    error = found.kl_qp.standard_error + abs(jsd_weight) * found.jsd.standard_error
    return [*deviations, abs(followed - objective) / max(error, rare)]


def _by_quadrature(distance: float) -> tuple[Divergences, float]:
    """The divergences of two modes (p) and one (q), and ``2 KL((p + q) / 2 || p)``."""
    x = np.linspace(-12, distance + 12, 20001)
    log_two, log_one = log_mixture(x, [0.0, distance], 1.0), log_mixture(x, [0.0], 1.0)
    step = float(x[1] - x[0])
    middle = np.logaddexp(log_two, log_one) - math.log(2)
    return divergences(log_two, log_one, step), 2 * divergences(middle, log_two, step).kl_pq
