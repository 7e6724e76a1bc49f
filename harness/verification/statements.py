"""All statements in the order of the papers, each with its check: a literal mapping, no torch until a check runs."""

from __future__ import annotations

import importlib
import math
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from ..errors import suggest
from ..threads import one_thread
from .findings import Assessment, Finding


@dataclass(frozen=True)
class Check:
    """A statement in a few words, and the function that checks it: its module in this package, and its name."""

    title: str
    module: str
    function: str

    def load(self) -> Callable[..., Assessment]:
        module = importlib.import_module(f".{self.module}", __package__)
        return cast(Callable[..., Assessment], getattr(module, self.function))


CHECKS: dict[str, Check] = {
    "optimal": Check("L(D*) = 2 JSD - 2 log 2, the maximum", "games", "optimal_discriminator"),
    "lemma1": Check("samples of a network lie on manifolds of dimension <= dim Z", "manifolds", "lemma_1"),
    "lemma2": Check("randomly shifted manifolds do not perfectly align", "manifolds", "lemma_2"),
    "lemma3": Check("manifolds that do not align meet in a null set", "manifolds", "lemma_3"),
    "2.1": Check("disjoint supports: perfect discriminator without gradient", "discrimination", "theorem_2_1"),
    "2.2": Check("crossing supports: the same almost everywhere", "discrimination", "theorem_2_2"),
    "2.3": Check("JSD = log 2 and KL = inf at any distance", "measures", "theorem_2_3"),
    "2.4": Check("the generator's gradient vanishes as D approaches D*", "generator_gradients", "theorem_2_4"),
    "2.5": Check("-log D follows KL(P_g||P_r) - 2 JSD", "generator_gradients", "theorem_2_5"),
    "asymmetry": Check("KL pays for dropped modes, -log D for fakes", "remarks.minus_log_d", "asymmetry"),
    "2.6": Check("-log D under white noise: centred Cauchy gradients", "unstable_gradients", "theorem_2_6"),
    "bounded": Check("bounded updates under white noise are 0 on average", "remarks.minus_log_d", "bounded_updates"),
    "3.1": Check("noise makes distributions absolutely continuous", "smoothing", "theorem_3_1"),
    "corollary3.1": Check("noisy densities of three noise families", "smoothing", "corollary_3_1"),
    "3.2": Check("the generator's gradient in terms of a(z) and b(z)", "smoothing", "theorem_3_2"),
    "cancellation": Check("a(z) and b(z) cancel where P_r+eps = P_g+eps", "remarks.noisy_gradients", "cancellation"),
    "adversarial": Check("noise in D's step alone misleads the generator", "remarks.noisy_gradients", "adversarial"),
    "corollary3.2": Check("through noisy samples the gradient is that of 2 JSD", "smoothing", "corollary_3_2"),
    "approach": Check("W -> 0 as manifolds approach; under noise the JSD too", "remarks.closeness", "approach"),
    "ownnoise": Check("seen ever finer, JSD(P_X, P_X+eps) -> log 2; W -> 0", "remarks.closeness", "own_noise"),
    "lemma4": Check("W(P_X, P_X+eps) <= sqrt V", "distances", "lemma_4"),
    "3.3": Check("every bound is above the exact Wasserstein distance", "distances", "theorem_3_3"),
    "comparability": Check("JSDs of two sigmas do not compare, bounds do", "remarks.closeness", "comparability"),
    "dirac2": Check("Dirac-GAN: eigenvalues +- i f'(0)", "dirac_gans", "lemma_2"),
    "dirac2.3": Check("Dirac-GAN: theta^2 + psi^2 is constant", "dirac_gans", "lemma_2_3"),
    "dirac3.2": Check("Dirac-GAN with instance noise", "dirac_gans", "lemma_3_2"),
    "dirac3.3": Check("Dirac-GAN with R1 or R2", "dirac_gans", "lemma_3_3"),
    "plane": Check("R1, R2 and noise make a GAN in the plane converge", "remarks.equilibria", "plane"),
    "momentum": Check("momentum keeps a WGAN from its equilibrium", "remarks.equilibria", "momentum"),
    "relativistic": Check("relativistic gradients; P(real) falls as fakes improve", "games", "relativistic"),
    "shares": Check("when fakes move, a perfect D learns from them alone", "remarks.relativism", "shares"),
    "ipm": Check(
        "IPM losses are relativistic losses of linear functions", "remarks.relativism", "integral_probability"
    ),
}


def run_checks(only: Sequence[str] | None = None) -> Iterator[Finding]:
    """Runs checks in the order of `CHECKS`, one at a time as findings are asked for.

    Args:
      only: Identifiers of the statements to check; None for all.

    Raises:
      ValueError: If an identifier is unknown; at the call, before anything runs.
    """
    for statement in only or ():
        if statement not in CHECKS:
            raise ValueError(f"unknown statement '{statement}'.{suggest(statement, CHECKS)}")
    return (_run(statement, check) for statement, check in CHECKS.items() if only is None or statement in only)


def _run(statement: str, check: Check) -> Finding:
    """The finding of one check; what it raises is a failure of this statement, and the others are still checked."""
    start = time.perf_counter()
    try:
        function = check.load()
        with one_thread():
            start = time.perf_counter()  # imports are not the check's time
            assessment = function()
    except Exception as error:  # noqa: BLE001 - a check exercises the whole harness, which may break in any way
        assessment = Assessment(_describe(error), "the check runs to its end", -math.inf)
    seconds = time.perf_counter() - start
    return Finding(
        statement=statement,
        title=check.title,
        measured=assessment.measured,
        theory=assessment.theory,
        margin=assessment.margin,
        passed=assessment.passed,
        seconds=seconds,
    )


def _describe(error: Exception) -> str:
    """``ValueError: its message (module.py:12)``, on one line."""
    text = " ".join("".join(traceback.format_exception_only(error)).split())
    where = traceback.extract_tb(error.__traceback__)[-1]
    return f"{text} ({Path(where.filename).name}:{where.lineno})"
