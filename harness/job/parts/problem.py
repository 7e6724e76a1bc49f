"""The base of all problems: where real samples come from."""

from __future__ import annotations

import abc
import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, NamedTuple

from pydantic import Field

from ...identity import canonical_json
from .part import Part

if TYPE_CHECKING:
    import torch
    from torch import Generator, Tensor

    from ...problems.sources import FloatArray, IntArray, Samples, Source


@dataclass(frozen=True)
class ProblemInfo:
    """Shape of one sample and how many there are; None where the problem makes as many as asked for."""

    shape: tuple[int, ...]
    num_training: int | None = None
    num_held_out: int | None = None


class Mixture(NamedTuple):
    """Equal Gaussians: their centres, and the standard deviation of each in each coordinate (data units)."""

    centres: tuple[tuple[float, ...], ...]
    std: float


class Problem(Part):
    """Base of all problems. One that makes its samples has `draw`, one with files of its own `load`."""

    kind: ClassVar[str] = "problem"
    num_classes: ClassVar[int] = 0
    """Of the labels that the samples have; 0 for none."""

    @classmethod
    def undefined(cls) -> list[str]:
        has_samples = cls.draw is not Problem.draw or cls.load is not Problem.load
        return [*super().undefined(), *([] if has_samples else ["draw or load"])]

    def info(self) -> ProblemInfo:
        """Shape and counts, without loading the samples where possible; found once.

        Raises:
          ValueError: If the samples are not what the job file promises.
        """
        return self._info

    @abc.abstractmethod
    def find_info(self) -> ProblemInfo:
        """Finds out shape and counts."""

    def identity(self) -> dict[str, Any]:
        """What determines the samples; a path does not, the content behind it does."""
        return self.with_source(self.model_dump(mode="json"))

    def load(self) -> Samples | None:
        """The data set in host memory; None for problems that make their samples.

        Raises:
          ValueError: If files hold something else than the job file promised.
        """
        return None

    @property
    def has_samples(self) -> bool:
        """Whether there are any to `load`; else they are drawn."""
        return type(self).load is not Problem.load

    def draw(self, num: int, generator: Generator) -> Tensor:
        """Fresh samples, float32, on the generator's device: ``[num, *shape]``, data units."""
        raise NotImplementedError

    def mixture(self) -> Mixture | None:
        """The modes, where the samples are a mixture of equal Gaussians in equal shares; else None."""
        return None

    def source(self, samples: Samples | None, *, device: torch.device) -> Source:
        """The samples on a device, from what `load` gave."""
        from ...problems.sources import Source

        shape = self.info().shape
        return Source(shape, device, draw=self.draw) if samples is None else Source.of(samples, shape, device)

    @functools.cached_property
    def canonical(self) -> str:
        """`identity` as canonical JSON."""
        return canonical_json(self.identity())

    @functools.cached_property
    def _info(self) -> ProblemInfo:
        return self.find_info()


HeldOut = Annotated[float, Field(gt=0, lt=1)]


class DataSet(Problem):
    """Base of problems with one set of samples, a share of which is held out."""

    held_out: HeldOut = 1 / 3

    @abc.abstractmethod
    def samples(self) -> FloatArray:
        """All samples, float32 ``[n, *shape]``, data units."""

    def labels(self) -> IntArray | None:
        """Class of each of `samples`, from 0 to `num_classes` - 1: ``[n]``; None where there are no labels."""
        return None

    def find_info(self) -> ProblemInfo:
        """From the samples themselves."""
        samples = self.checked_samples()
        return self.split_info(samples.shape[1:], len(samples))

    def split_info(self, shape: tuple[int, ...], total: int) -> ProblemInfo:
        """What becomes of so many samples of a shape; at least two are held out."""
        num_held_out = max(2, round(total * self.held_out))
        return ProblemInfo(shape, total - num_held_out, num_held_out)

    def checked_samples(self) -> FloatArray:
        """`samples`, which may be a user's own code, as what they should be.

        Raises:
          ValueError: If they are not, or cannot be had.
        """
        import numpy as np

        try:
            samples = np.asarray(self.samples(), dtype=np.float32)
        except (Exception, SystemExit) as error:
            raise ValueError(f"{self.name} failed: {type(error).__name__}: {error}") from error
        if samples.ndim < 2 or len(samples) < 8:
            raise ValueError(f"{self.name} gave shape {list(samples.shape)}; needed: [n, ...] with n >= 8")
        if not np.isfinite(samples).all():
            raise ValueError(f"{self.name} gave samples that are NaN or infinite")
        return samples

    def load(self) -> Samples | None:
        import numpy as np

        from ...problems.sources import Samples

        info, samples = self.info(), np.asarray(self.samples(), dtype=np.float32)
        if samples.shape[1:] != info.shape:
            raise ValueError(
                f"problem {self.name} gave samples of {list(samples.shape[1:])}, promised {list(info.shape)}"
            )
        labels = self.labels()
        if self.num_classes and labels is None:
            raise ValueError(f"problem {self.name} promised labels of {self.num_classes} classes and has none")
        return Samples.split(samples, num_training=info.num_training or 0, name=self.name, labels=labels)
