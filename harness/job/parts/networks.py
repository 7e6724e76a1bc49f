"""Networks a job can name."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from ..spec import Spec

# --- networks ---------------------------------------------------------------------------------------------------


BatchNorm: TypeAlias = Literal["joint", "separate", "none"]


class MLP(Spec):
    """Fully connected generator and discriminator of equal width and depth.

    `spectral_norm` divides every weight matrix of the discriminator by its largest singular value.
    """

    name: Literal["mlp"]
    width: int = Field(64, ge=1)
    depth: int = Field(2, ge=1)
    latent: int = Field(8, ge=1)
    spectral_norm: bool = False

    @property
    def batch_norm(self) -> BatchNorm:
        """How the discriminator normalises real and fake batches: not at all."""
        return "none"


class DCGAN(Spec):
    """Radford et al. (2016) for square images of a power-of-two size from 8 to 128.

    `batch_norm` is the discriminator's: ``separate`` normalises real and fake batches apart (which leaks the label),
    ``joint`` together, ``none`` has no normalisation. The generator always has it. `spectral_norm` divides every weight
    matrix of the discriminator by its largest singular value (Miyato et al. 2018).
    """

    name: Literal["dcgan"]
    width: int = Field(16, ge=1)
    latent: int = Field(32, ge=1)
    batch_norm: BatchNorm = "joint"
    spectral_norm: bool = False


NETWORKS: dict[str, type[Spec]] = {"mlp": MLP, "dcgan": DCGAN}
Networks = Annotated[MLP | DCGAN, Field(discriminator="name")]
