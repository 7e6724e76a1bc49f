"""Feature spaces: what stands for a sample where metrics compare sets of samples."""

from __future__ import annotations

import abc
import functools
import hashlib
import json
import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field, SerializeAsAny, model_validator

from ...errors import suggest
from ...identity import canonical_json, digest
from ..extensions import resolve
from .datasets import existing_file
from .part import Part, chooser
from .problem import Problem
from .weights import missing, no_state_dict, why_no_state_dict

if TYPE_CHECKING:
    from torch import Tensor, nn

    from ...problems.sources import Source

Extract: TypeAlias = "Callable[[Tensor], Tensor]"
"""From some samples to their features."""
Weights: TypeAlias = "dict[str, Tensor]"
Keep: TypeAlias = "Callable[[str, Callable[[], Weights]], Weights]"
"""Gives the weights that are kept under an identity, or has them made and keeps them."""


class Features(Part):
    """Base of all feature spaces."""

    kind: ClassVar[str] = "feature space"

    def __hash__(self) -> int:
        return hash(self.label)  # options need not be hashable

    def why_not(self, problem: Problem) -> str | None:
        """What keeps a problem's samples from having such features; None if nothing does."""
        return None

    @abc.abstractmethod
    def function(self, problem: Problem, source: Source, keep: Keep) -> Extract:
        """A function from some samples ``[b, *shape]``, data units, to their features ``[b, f]``, each by itself.

        Args:
          problem: Whose samples they are.
          source: Its real samples, on the device of those that it will be given.
          keep: For weights that are made once.

        Raises:
          ValueError: If what it needs is not there.
        """


class Pixels(Features):
    """The samples themselves, flattened"""

    name: Literal["pixels"] = "pixels"

    def function(self, problem: Problem, source: Source, keep: Keep) -> Extract:
        return lambda samples: samples.flatten(1)


class Classifier(Features):
    """The last hidden layer, 64 units, of a small network that is trained once on the training set's labels"""

    name: Literal["classifier"] = "classifier"
    seed: int = Field(0, ge=0, le=2**63 - 1)

    def why_not(self, problem: Problem) -> str | None:
        return None if problem.num_classes else f"problem {problem.name} has no labels to train a classifier on"

    def function(self, problem: Problem, source: Source, keep: Keep) -> Extract:
        from ...problems import classifier

        identity = digest([problem.canonical, json.loads(self.canonical), classifier.VERSION])

        def train() -> Weights:
            if source.training is None or source.training_labels is None:
                raise ValueError(f"problem {problem.name} promised labels and has none")
            return classifier.train(
                source.training, source.training_labels, num_classes=problem.num_classes, seed=self.seed
            )

        weights = keep(identity, train)
        model = classifier.restored(weights, source.shape, problem.num_classes).to(source.device)
        return model[:-1]


LAST_LAYERS: Mapping[str, str] = {
    **dict.fromkeys(("resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "wide_resnet50_2"), "fc"),
    **dict.fromkeys(("resnext50_32x4d", "shufflenet_v2_x1_0", "googlenet", "inception_v3"), "fc"),
    **dict.fromkeys(("alexnet", "vgg11", "vgg16", "vgg19"), "classifier.6"),
    **dict.fromkeys(("densenet121", "densenet201"), "classifier"),
    **dict.fromkeys(("mobilenet_v2", "efficientnet_b0"), "classifier.1"),
    **dict.fromkeys(("mobilenet_v3_small", "mobilenet_v3_large"), "classifier.3"),
    **dict.fromkeys(("convnext_tiny", "convnext_base"), "classifier.2"),
    **dict.fromkeys(("vit_b_16", "vit_b_32", "vit_l_16"), "heads.head"),
    **dict.fromkeys(("swin_t", "swin_b"), "head"),
}
"""torchvision's classification networks, and the last layer of each, before which the features are."""
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, as all of them expect
_AT_ONCE = 64  # images


def _known_network(name: str) -> str:
    if name not in LAST_LAYERS:
        raise ValueError(f"unknown network '{name}'.{suggest(name, LAST_LAYERS)}")
    return name


class TorchvisionNetwork(Features):
    """All layers but the last of one of torchvision's networks, with weights from a file; nothing is downloaded

    Images are resized to `size`, grey ones have their channel three times, and [-1, 1] is scaled as ImageNet was.
    inception_v3 is torchvision's, whose Frechet distance is *not* the FID of the literature.
    """

    name: Literal["network"] = "network"
    network: Annotated[str, AfterValidator(_known_network)]
    weights: Annotated[str, AfterValidator(existing_file)]
    size: int | None = Field(None, ge=32, le=1024)

    @property
    def label(self) -> str:
        """The network and the beginning of the file's hash, as torchvision names its files: ``resnet18-f37072fd``."""
        return f"{self.network}-{self.content[:8]}" + (f" at {self.size}" if self.size else "")

    @model_validator(mode="after")
    def _readable(self) -> TorchvisionNetwork:
        try:
            _ = self.content
        except OSError as error:
            raise ValueError(f"'{self.weights}' cannot be read: {error}") from error
        return self

    @functools.cached_property
    def content(self) -> str:
        """SHA-256 of the file."""
        with Path(self.weights).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    @functools.cached_property
    def canonical(self) -> str:
        """With the file's content, and without its path."""
        return canonical_json({**self.model_dump(mode="json", exclude={"weights"}), "content": self.content})

    def why_not(self, problem: Problem) -> str | None:
        shape = problem.info().shape
        is_image = len(shape) == 3 and shape[0] in (1, 3)
        if not is_image:
            return f"{self.network} needs images, problem {problem.name} has shape {list(shape)}"
        return self._why_no_weights

    @functools.cached_property
    def _why_no_weights(self) -> str | None:
        """What can be seen of it without torch: whether the file has the last layer."""
        needed = f"{LAST_LAYERS[self.network]}.weight"
        return why_no_state_dict(Path(self.weights), network=self.network, needed=needed)

    def function(self, problem: Problem, source: Source, keep: Keep) -> Extract:
        import torch
        from torchvision.transforms.v2.functional import resize

        model = self._model().to(source.device)
        mean, std = (torch.tensor(values, device=source.device)[:, None, None] for values in (_MEAN, _STD))
        size = self.size or (299 if self.network == "inception_v3" else 224)

        def extract(samples: Tensor) -> Tensor:
            with torch.no_grad():
                pictures = resize(samples.expand(-1, 3, -1, -1), [size, size], antialias=True)
                return torch.cat([model(part) for part in (((pictures + 1) / 2 - mean) / std).split(_AT_ONCE)])

        return extract

    def _model(self) -> nn.Module:
        """The network as far as its last layer.

        Raises:
          ValueError: If the file is not what it was, or holds no weights of this network.
        """
        import torch
        from torch import nn
        from torchvision import models

        weights, last = self._read(), LAST_LAYERS[self.network]
        try:
            num_classes = len(weights[f"{last}.weight"])
            own = _of_inceptions(weights) if self.network in ("googlenet", "inception_v3") else {}
            with torch.device("meta"):
                model: nn.Module = models.get_model(self.network, num_classes=num_classes, **own)
            model.load_state_dict(weights, assign=True)
        except KeyError as error:
            raise ValueError(no_state_dict(self.weights, self.network, missing(error.args))) from error
        except (RuntimeError, TypeError) as error:
            lacking = [name for name in model.state_dict() if name not in weights]
            reason = missing(lacking) if lacking else textwrap.shorten(str(error), 300)
            raise ValueError(no_state_dict(self.weights, self.network, reason)) from error
        owner, _, attribute = last.rpartition(".")
        setattr(model.get_submodule(owner), attribute, nn.Identity())
        return model.float().eval().requires_grad_(requires_grad=False)

    def _read(self) -> Weights:
        import io

        import safetensors.torch
        import torch

        data = Path(existing_file(self.weights)).read_bytes()
        if hashlib.sha256(data).hexdigest() != self.content:
            raise ValueError(f"'{self.weights}' is not what it was when the job was read, or differs on this machine")
        if self.weights.endswith(".safetensors"):
            return dict(safetensors.torch.load(data))
        try:
            found = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
        except Exception as error:  # torch raises whatever its reader stumbles over
            reason = textwrap.shorten(f"torch reads no weights from it: {error}", 300)
            raise ValueError(no_state_dict(self.weights, self.network, reason)) from error
        if not isinstance(found, Mapping):
            reason = f"it holds no dictionary but a {type(found).__name__}"
            raise ValueError(no_state_dict(self.weights, self.network, reason))
        return dict(found)


def _of_inceptions(weights: Weights) -> dict[str, bool]:
    """What the two networks want that were trained elsewhere first, and may have heads beside the last layer."""
    has_more_heads = any(name.lower().startswith("aux") for name in weights)
    return {"transform_input": True, "init_weights": False, "aux_logits": has_more_heads}


class FunctionFeatures(Features):
    """A user's function ``package.module:function`` from some samples to their features, called with `options`"""

    options: dict[str, Any] = Field(default_factory=dict)

    def function(self, problem: Problem, source: Source, keep: Keep) -> Extract:
        function: Any = resolve(self.name, {}, kind=self.kind)
        return functools.partial(function, **self.options)


FEATURES: Mapping[str, type[Features]] = {
    "pixels": Pixels,
    "classifier": Classifier,
    "network": TorchvisionNetwork,
}
_choose = chooser(Features, FEATURES, of_function=FunctionFeatures)


def _parse(value: Any) -> Any:
    """``{network: NAME, weights: FILE}`` needs no name."""
    if isinstance(value, Mapping) and "network" in value and "name" not in value:
        value = {"name": "network", **value}
    return _choose(value)


AnyFeatures = Annotated[SerializeAsAny[Features], BeforeValidator(_parse)]
"""A feature space as a job names it."""
PIXELS = Pixels()
