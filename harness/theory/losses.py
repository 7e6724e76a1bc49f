"""The nine GAN losses, as instances of one construction.

With raw logits ``r = D(x_real)`` and ``f = D(x_fake)``, every loss of the field is

    L_D = scale * (mean real(a) + mean fake(b))        (the discriminator's objective)
    L_G = scale * (mean generator_real(a) + mean generator_fake(b))

where the comparison makes ``(a, b)`` from the logits:

    absolute   a = r            b = f
    paired     a = r - f        b = f - r              (relativistic, RGAN)
    average    a = r - mean f   b = f - mean r         (relativistic average, RaGAN)

Means are *not* detached. This module needs no ``import torch``: it works on tensors by their methods,
so that job files can be checked against the list of losses without loading torch.

References:
  Goodfellow et al. (2014); Mao et al. (2017); Lim & Ye (2017); Arjovsky et al. (2017);
  Jolicoeur-Martineau (2018), "The relativistic discriminator", arXiv:1807.00734.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from torch import Tensor

Scalar = Callable[["Tensor"], "Tensor"]
Comparison = Literal["absolute", "paired", "average"]


def softplus(t: Tensor) -> Tensor:
    """``log(1 + e^t)``, elementwise, without overflow."""
    return t.logaddexp(t.new_zeros(()))


@dataclass(frozen=True)
class Objective:
    """What a discriminator minimises. Probes of losses with one objective share one discriminator.

    Attributes:
      name: Identifies the objective, e.g. ``cross_entropy``.
      real, fake: Elementwise functions of the compared logits.
      comparison: How ``(a, b)`` is made from the logits (see the module).
      scale: Factor of both terms.
      threshold: Logit above which a sample is called real; None where logits have no such level, so that
        accuracy is the pairwise P(r > f).
      is_cross_entropy: Whether the minimum is ``2 log 2 - 2 JSD``, so that the value estimates a JSD.
    """

    name: str
    real: Scalar
    fake: Scalar
    comparison: Comparison = "absolute"
    scale: float = 1.0
    threshold: float | None = None
    is_cross_entropy: bool = False

    def __call__(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """The discriminator's loss over the last axis: ``[..., b], [..., b] -> [...]``."""
        a, b = compare(real_logits, fake_logits, comparison=self.comparison)
        return self.scale * (self.real(a).mean(-1) + self.fake(b).mean(-1))


@dataclass(frozen=True)
class Loss:
    """A GAN loss: the discriminator's objective and the generator's two functions."""

    name: str
    objective: Objective
    generator_fake: Scalar
    generator_real: Scalar | None = None
    formula: str = ""

    def discriminator(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """Minimised by the discriminator: ``[..., b], [..., b] -> [...]``."""
        return self.objective(real_logits, fake_logits)

    @property
    def generator_needs_real(self) -> bool:
        """Whether the generator's value depends on the logits of real samples."""
        return self.objective.comparison != "absolute" or self.generator_real is not None

    def generator(self, real_logits: Tensor | None, fake_logits: Tensor) -> Tensor:
        """Minimised by the generator: ``[..., b], [..., b] -> [...]``.

        `real_logits` may be None unless `generator_needs_real`.
        """
        if real_logits is None:
            return self.objective.scale * self.generator_fake(fake_logits).mean(-1)
        a, b = compare(real_logits, fake_logits, comparison=self.objective.comparison)
        value = self.generator_fake(b).mean(-1)
        if self.generator_real is not None:
            value = value + self.generator_real(a).mean(-1)
        return self.objective.scale * value


def compare(real_logits: Tensor, fake_logits: Tensor, *, comparison: Comparison) -> tuple[Tensor, Tensor]:
    """The compared logits ``(a, b)`` of the module's table, each of shape ``[..., b]``."""
    if comparison == "absolute":
        return real_logits, fake_logits
    if comparison == "paired":
        return real_logits - fake_logits, fake_logits - real_logits
    return (
        real_logits - fake_logits.mean(-1, keepdim=True),
        fake_logits - real_logits.mean(-1, keepdim=True),
    )


def relativistic(name: str, base: Objective, *, comparison: Comparison, formula: str) -> Loss:
    """The relativistic loss of a base objective: the generator plays with real and fake exchanged.

    The factor 1/2 makes the paired cross-entropy ``softplus(f - r)`` and follows the RaGAN paper's code.
    """
    objective = Objective(name, real=base.real, fake=base.fake, comparison=comparison, scale=0.5, threshold=None)
    return Loss(name, objective, generator_fake=base.real, generator_real=base.fake, formula=formula)


def accuracy(objective: Objective, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Share of samples the discriminator gets right, over the last axis: ``[..., n], [..., m] -> [...]``.

    With a threshold: the mean of P(r > threshold) and P(f < threshold). Without one (wasserstein and the
    relativistic losses have no probability): the pairwise P(r > f), ties counting one half.
    """
    if objective.threshold is not None:
        right_on_real = (real_logits > objective.threshold).to(real_logits.dtype).mean(-1)
        right_on_fake = (fake_logits < objective.threshold).to(fake_logits.dtype).mean(-1)
        return (right_on_real + right_on_fake) / 2
    from torch import searchsorted

    fakes = fake_logits.contiguous().sort(-1).values
    below, not_above = (searchsorted(fakes, real_logits.contiguous(), right=right) for right in (False, True))
    return (below + not_above).to(real_logits.dtype).mean(-1) / (2 * fake_logits.shape[-1])


def overconfidence(objective: Objective, real_logits: Tensor) -> Tensor:
    """``E sign(D(x) - threshold)`` over real samples, in [-1, 1], over the last axis: ``[..., n] -> [...]``.

    The share of real samples called real, less that called fake. Logits without a threshold are compared with 0.

    References:
      Karras et al. (2020), "Training generative adversarial networks with limited data", r_t of equation 1.
    """
    return (real_logits - (objective.threshold or 0.0)).sign().mean(-1)


@dataclass(frozen=True)
class Outputs:
    """What a discriminator says of real and of fake samples; one value per member, ``[...]``.

    Attributes:
      logit_real, logit_fake: Mean logits ``E r`` and ``E f``.
      p_real, p_fake: P(x_real is real) and P(x_fake is real), means of the sigmoid of the compared logits; None where
        the objective makes no probability of them.
      real_share: Of real samples in the discriminator's gradient: ``sum |dL/dr| / (sum |dL/dr| + sum |dL/df|)``; that
        of fake ones is the rest. NaN where the loss has no gradient at all.
    """

    logit_real: Tensor
    logit_fake: Tensor
    p_real: Tensor | None
    p_fake: Tensor | None
    real_share: Tensor


def outputs(objective: Objective, real_logits: Tensor, fake_logits: Tensor) -> Outputs:
    """What Figure 1 of the relativistic paper shows, and who moves the discriminator: ``[..., n], [..., n] -> [...]``.

    References:
      Jolicoeur-Martineau (2018), section 3: the gradient of an optimal standard discriminator ignores real samples,
      that of a relativistic one does not.
    """
    from torch import autograd, enable_grad

    with enable_grad():
        real, fake = (logits.detach().requires_grad_() for logits in (real_logits, fake_logits))
        weights = autograd.grad(objective(real, fake).sum(), (real, fake))
    of_real, of_fake = (weight.abs().sum(-1) for weight in weights)
    p_real = p_fake = None
    if objective.real is CROSS_ENTROPY.real:
        a, b = compare(real_logits.detach(), fake_logits.detach(), comparison=objective.comparison)
        p_real, p_fake = a.sigmoid().mean(-1), b.sigmoid().mean(-1)
    return Outputs(real.detach().mean(-1), fake.detach().mean(-1), p_real, p_fake, of_real / (of_real + of_fake))


CROSS_ENTROPY = Objective(
    "cross_entropy",
    real=lambda t: softplus(-t),
    fake=softplus,
    threshold=0.0,
    is_cross_entropy=True,
)
LEAST_SQUARES = Objective(
    "least_squares",
    real=lambda t: (t - 1).square() / 2,
    fake=lambda t: t.square() / 2,
    threshold=0.5,  # halfway between the targets 1 and 0: the logit itself estimates D*
)
SYMMETRIC_LEAST_SQUARES = Objective(
    "symmetric_least_squares", real=lambda t: (t - 1).square(), fake=lambda t: (t + 1).square()
)
HINGE = Objective("hinge", real=lambda t: (1 - t).relu(), fake=lambda t: (1 + t).relu(), threshold=0.0)
WASSERSTEIN = Objective("wasserstein", real=lambda t: -t, fake=lambda t: t)

LOSSES: dict[str, Loss] = {
    loss.name: loss
    for loss in (
        Loss(
            "minimax",
            CROSS_ENTROPY,
            generator_fake=lambda t: -softplus(t),
            formula="D: sp(-r) + sp(f)   G: -sp(f) = log(1 - D)",
        ),
        Loss(
            "non_saturating",
            CROSS_ENTROPY,
            generator_fake=lambda t: softplus(-t),
            formula="D: sp(-r) + sp(f)   G: sp(-f) = -log D",
        ),
        Loss(
            "least_squares",
            LEAST_SQUARES,
            generator_fake=lambda t: (t - 1).square() / 2,
            formula="D: (r-1)^2/2 + f^2/2   G: (f-1)^2/2",
        ),
        Loss(
            "hinge",
            HINGE,
            generator_fake=lambda t: -t,
            formula="D: relu(1-r) + relu(1+f)   G: -f",
        ),
        Loss("wasserstein", WASSERSTEIN, generator_fake=lambda t: -t, formula="D: f - r   G: -f"),
        relativistic("relativistic", CROSS_ENTROPY, comparison="paired", formula="D: sp(f-r)   G: sp(r-f), pairs"),
        relativistic(
            "relativistic_average",
            CROSS_ENTROPY,
            comparison="average",
            formula="D: [sp(F-r) + sp(f-R)]/2   G: [sp(r-F) + sp(R-f)]/2",
        ),
        relativistic(
            "relativistic_average_least_squares",
            SYMMETRIC_LEAST_SQUARES,
            comparison="average",
            formula="D: [(r-F-1)^2 + (f-R+1)^2]/2   G: [(r-F+1)^2 + (f-R-1)^2]/2",
        ),
        relativistic(
            "relativistic_average_hinge",
            HINGE,
            comparison="average",
            formula="D: [relu(1-r+F) + relu(1+f-R)]/2   G: [relu(1+r-F) + relu(1-f+R)]/2",
        ),
    )
}
