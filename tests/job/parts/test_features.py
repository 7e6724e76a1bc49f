"""Feature spaces as parts of a job: their names, their identities, what is refused, and torchvision's networks."""

from __future__ import annotations

import hashlib
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from pydantic import TypeAdapter, ValidationError
from torch import Generator, Tensor, nn
from torchvision import models
from torchvision.transforms import v2

from harness.errors import JobError
from harness.job.parts.datasets import Digits
from harness.job.parts.features import LAST_LAYERS, AnyFeatures, Features
from harness.job.parts.metrics import METRICS, FeatureMetric
from harness.job.parts.problems import Ring
from harness.job.parts.settings import Evaluation
from harness.job.parts.weights import why_no_state_dict
from harness.job.reading import dump_job, load_job, parse_job
from harness.planning.plan import make_plan
from harness.problems.sources import Source
from harness.storage.store import Store
from tests.conftest import TRAIN, make_job

pytestmark = pytest.mark.usefixtures("one_thread")
CPU = torch.device("cpu")
NAMES = ["frechet_distance", "kid", "precision", "recall", "density", "coverage", "memorisation"]
DIGITS = {**TRAIN, "problem": {"name": "digits"}}


def space_of(value: Any) -> Features:
    space: Features = TypeAdapter(AnyFeatures).validate_python(value)
    return space


def evaluation_of(**content: Any) -> Evaluation:
    return make_job(DIGITS, evaluation=content).evaluation


def features_of(space: Features, samples: Tensor) -> Tensor:
    """Without a store."""
    source = Source(tuple(samples.shape[1:]), CPU, training=samples)
    return space.function(Digits(), source, lambda identity, make: make())(samples)


def saved(network: str, folder: Path, *, num_classes: int = 5, ending: str = "pth", **options: Any) -> tuple[Path, Any]:
    """A file of random weights, and the network that has them."""
    torch.manual_seed(0)
    with torch.random.fork_rng():
        model = models.get_model(network, num_classes=num_classes, **options).eval()
    path = folder / f"{network}.{ending}"
    if ending == "safetensors":
        path.write_bytes(safetensors.torch.save(model.state_dict()))
    else:
        torch.save(model.state_dict(), path)
    return path, model


# --- names, labels, identities


def test_every_metric_of_features_is_listed() -> None:
    assert [name for name, metric in METRICS.items() if issubclass(metric, FeatureMetric)] == NAMES


def test_rows_name_the_feature_space_and_what_is_not_a_default() -> None:
    metrics = [
        "kid",
        {"name": "density", "k": 3},
        {"name": "frechet_distance", "features": "classifier"},
        {"name": "recall", "features": {"name": "classifier", "seed": 2}, "k": 4},
        {"name": "kid", "features": {"name": "noiselab.features:polar", "options": {"about": 1.0}}},
    ]
    assert [metric.label for metric in evaluation_of(metrics=metrics).metrics] == [
        "kid",
        "density(k=3)",
        "frechet_distance[classifier]",
        "recall[classifier(seed=2)](k=4)",
        "kid[noiselab.features:polar(options={'about': 1.0})]",
    ]


def test_metrics_that_name_no_space_have_the_jobs() -> None:
    shared = evaluation_of(features="classifier", metrics=["kid", {"name": "recall", "features": "pixels"}, "coverage"])
    own = evaluation_of(
        metrics=[{"name": "kid", "features": "classifier"}, "recall", {"name": "coverage", "features": "classifier"}]
    )
    assert [metric.label for metric in shared.metrics] == ["kid[classifier]", "recall", "coverage[classifier]"]
    assert shared.canonical == own.canonical


def test_a_space_that_no_metric_uses_is_in_no_identity() -> None:
    for metrics in ([], ["energy_distance"]):
        assert (
            evaluation_of(features="classifier", metrics=metrics).canonical == evaluation_of(metrics=metrics).canonical
        )


def test_the_cells_of_jobs_without_metrics_of_features_are_those_they_were(store: Store) -> None:
    """What their identities had before there were feature spaces."""
    before = {"samples": 60, "draws": 100, "directions": 64, "sigmas": [0.1, 0.3]}
    for metrics in ([], [{"name": "energy_distance"}]):
        cells = make_plan(make_job(TRAIN, evaluation={"metrics": metrics}), store, slots=1).cells
        found = {json.dumps(json.loads(cell.identity)["evaluation"]) for cell in cells}
        assert [json.loads(text) for text in found] == [{**before, "metrics": metrics} if metrics else before]


def test_identities_have_the_space_its_parameters_and_the_source_of_a_users_own() -> None:
    def of(features: Any) -> Any:
        (metric,) = evaluation_of(metrics=[{"name": "kid", "features": features}]).metrics
        return json.loads(metric.canonical)

    assert of("pixels") == {"name": "kid", "features": {"name": "pixels"}}
    assert of({"name": "classifier", "seed": 3})["features"] == {"name": "classifier", "seed": 3}
    own = of("noiselab.features:polar")["features"]
    assert own["name"] == "noiselab.features:polar"
    assert len(own["source"]) == 20


def test_a_job_with_spaces_survives_being_written_and_read() -> None:
    metrics = ["kid", {"name": "density", "k": 3, "features": "noiselab.features:polar"}]
    job = make_job(DIGITS, evaluation={"features": {"name": "classifier", "seed": 1}, "metrics": metrics})
    assert parse_job(dump_job(job)) == job


def test_a_metric_that_becomes_another_by_the_jobs_space_is_a_duplicate() -> None:
    with pytest.raises(JobError, match=r"evaluation\.metrics: duplicate value kid"):
        load_job(
            {
                **DIGITS,
                "evaluation": {"features": "classifier", "metrics": ["kid", {"name": "kid", "features": "classifier"}]},
            }
        )


# --- what is refused before any work

TEXT = """name: measured
protocol: train
problem: {problem}
networks: mlp
training: {{steps_per_epoch: 2}}
grid: {{loss: [minimax], sigma: [0.1], epoch: [1], seed: [0]}}
evaluation:
  samples: 40
  features: {features}
  metrics: [kid, {metric}]
"""


@pytest.mark.parametrize(
    ("problem", "features", "metric", "message"),
    [
        (
            *("ring", "classifier", "recall"),
            ":9:13: evaluation.features: problem ring has no labels to train a classifier on; use features: pixels",
        ),
        (
            *("ring", "pixels", "{name: recall, features: classifier}"),
            ":10:18: evaluation.metrics[1]: metric recall: in feature space classifier: problem ring has no labels",
        ),
        (
            *("ring", "pixels", "memorisation"),
            ":10:18: evaluation.metrics[1]: metric memorisation: problem ring draws new samples at every step, so",
        ),
        (
            *("digits", "pixels", "{name: coverage, k: 40}"),
            ":10:18: evaluation.metrics[1]: metric coverage needs 41 held-out samples, and there are 40; lower its k",
        ),
        (
            *("digits", "classif", "recall"),
            ":9:13: evaluation.features: unknown feature space 'classif'. Did you mean 'classifier'?",
        ),
        (*("digits", "{network: resnet18}", "recall"), ":9:13: evaluation.features: 'weights' is missing"),
        (
            *("digits", "{network: resnet17, weights: README.md}", "recall"),
            ":9:23: evaluation.features.network: unknown network 'resnet17'. Did you mean 'resnet",
        ),
        (
            *("digits", "{network: resnet18, weights: nowhere.pth}", "recall"),
            ":9:42: evaluation.features.weights: no such file: 'nowhere.pth' (relative paths start at",
        ),
        (
            *("ring", "{network: resnet18, weights: README.md}", "recall"),
            ":9:13: evaluation.features: resnet18 needs images, problem ring has shape [2]",
        ),
        (
            *("digits", "{name: classifier, seed: -1}", "recall"),
            ":9:38: evaluation.features.seed: must be greater than or equal to 0, got -1",
        ),
        (
            *("digits", "noiselab.features:polr", "recall"),
            ":9:13: evaluation.features: feature space 'noiselab.features:polr' cannot be imported",
        ),
    ],
)
def test_mistakes_have_a_place_and_a_way_out(problem: str, features: str, metric: str, message: str) -> None:
    with pytest.raises(JobError) as caught:
        parse_job(TEXT.format(problem=problem, features=features, metric=metric))
    assert message in str(caught.value)
    assert len(str(caught.value).split("\n<job>")) == 1


# --- torchvision's networks


@pytest.mark.parametrize("name", LAST_LAYERS)
def test_the_last_layer_of_each_network_is_the_one_that_classifies(name: str) -> None:
    own = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    with torch.device("meta"):
        model = models.get_model(name, num_classes=7, **own).eval()
        layer = model.get_submodule(LAST_LAYERS[name])
        assert isinstance(layer, nn.Linear)
        given: list[Tensor] = []
        layer.register_forward_hook(lambda module, inputs, output: given.extend([*inputs, output]))
        size = 299 if name == "inception_v3" else 224
        logits = model(torch.zeros(2, 3, size, size))
    assert given[0].shape == (2, layer.in_features)
    assert given[1] is logits or given[1].shape == logits.shape == (2, 7)


@pytest.mark.parametrize(
    ("network", "size", "options", "ending"),
    [
        ("resnet18", 48, {}, "pth"),
        ("resnet18", None, {}, "safetensors"),
        ("mobilenet_v3_small", 64, {}, "pth"),
        ("vgg11", 32, {}, "pth"),
        ("inception_v3", 80, {"transform_input": True, "init_weights": False}, "pth"),
        ("inception_v3", 96, {"transform_input": True, "init_weights": False, "aux_logits": False}, "pth"),
    ],
)
def test_features_are_what_the_last_layer_is_given(
    network: str, size: int | None, options: dict[str, Any], ending: str, tmp_path: Path
) -> None:
    """By a hook in torchvision's own network, with its own transforms."""
    path, model = saved(network, tmp_path, ending=ending, **options)
    samples = 2 * torch.rand(3, 1, 28, 28, generator=Generator().manual_seed(1)) - 1
    space = space_of({"network": network, "weights": str(path), **({"size": size} if size else {})})
    found = features_of(space, samples)

    given: list[Tensor] = []
    model.get_submodule(LAST_LAYERS[network]).register_forward_hook(lambda m, inputs, output: given.append(inputs[0]))
    transform = v2.Compose(
        [
            v2.Resize([size or 224] * 2, antialias=True),
            v2.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
        ]
    )
    with torch.no_grad():
        model(transform((samples + 1).repeat(1, 3, 1, 1) / 2))
    scale = float((given[0][0] - given[0][1]).abs().max())  # random weights make small differences of pictures
    torch.testing.assert_close(found / scale, given[0] / scale, rtol=0, atol=1e-3)
    assert not found.requires_grad


def test_the_name_of_a_network_has_the_files_hash_and_its_identity_no_path(tmp_path: Path) -> None:
    path, _ = saved("resnet18", tmp_path)
    content = hashlib.sha256(path.read_bytes()).hexdigest()
    moved = path.rename(tmp_path / "moved.pth")
    space = space_of({"network": "resnet18", "weights": str(moved)})
    assert space.label == f"resnet18-{content[:8]}"
    assert space_of({"network": "resnet18", "weights": str(moved), "size": 64}).label == f"resnet18-{content[:8]} at 64"
    assert json.loads(space.canonical) == {"name": "network", "network": "resnet18", "size": None, "content": content}


def test_a_file_that_changes_after_the_job_was_read_is_refused(tmp_path: Path) -> None:
    """Also in a worker, to which the space travels: another machine may have another file there."""
    path, _ = saved("resnet18", tmp_path)
    space = space_of({"network": "resnet18", "weights": str(path)})
    assert space.canonical  # as in a plan
    travelled = pickle.loads(pickle.dumps(space))
    saved("resnet18", tmp_path, num_classes=6)
    for one in (space, travelled):
        with pytest.raises(ValueError, match="is not what it was when the job was read, or differs on this machine"):
            features_of(one, torch.zeros(2, 3, 32, 32))


def test_files_without_the_networks_weights_are_refused(tmp_path: Path) -> None:
    other, _ = saved("mobilenet_v3_small", tmp_path)
    with pytest.raises(ValueError, match=r"is no state dict of resnet18: it lacks 'fc\.weight'; save one with torch"):
        features_of(space_of({"network": "resnet18", "weights": str(other)}), torch.zeros(2, 3, 32, 32))
    weights = torch.load(other, weights_only=True)
    torch.save({name: value for name, value in weights.items() if not name.startswith("features.0")}, other)
    # a convolution and the normalisation behind it: weight, weight, bias, mean, variance and their number
    with pytest.raises(
        ValueError, match=r"small: it lacks 'features\.0\.0\.weight', 'features\.0\.1\.weight' and 4 more; save"
    ):
        features_of(space_of({"network": "mobilenet_v3_small", "weights": str(other)}), torch.zeros(2, 3, 32, 32))


def test_a_file_that_cannot_be_read_is_a_mistake_in_the_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, _ = saved("resnet18", tmp_path)

    def broken(*arguments: Any) -> Any:
        raise PermissionError("no permission")

    monkeypatch.setattr(hashlib, "file_digest", broken)
    with pytest.raises(JobError, match=r":9:13: evaluation.features: '.*resnet18.pth' cannot be read: no permission"):
        parse_job(TEXT.format(problem="digits", features=f"{{network: resnet18, weights: {path}}}", metric="recall"))


def whole(path: Path) -> None:
    torch.save(models.resnet18(num_classes=2), path)


def inside(path: Path) -> None:
    torch.save({"epoch": 3, "model": models.resnet18(num_classes=2).state_dict()}, path)


def of_another(path: Path) -> None:
    torch.save(models.mobilenet_v3_small(num_classes=2).state_dict(), path)


def parallel(path: Path) -> None:
    torch.save(nn.DataParallel(models.resnet18(num_classes=2)).state_dict(), path)


def of_another_before_zip(path: Path) -> None:
    weights = models.mobilenet_v3_small(num_classes=2).state_dict()
    torch.save(weights, path, _use_new_zipfile_serialization=False)


def one_tensor(path: Path) -> None:
    torch.save(torch.zeros(3), path)


def whole_by_pickle(path: Path) -> None:
    path.write_bytes(pickle.dumps(models.resnet18(num_classes=2)))


def half(path: Path) -> None:
    whole(path)
    path.write_bytes(path.read_bytes()[:999])


WHOLE = "it holds no dictionary but a torchvision.models.resnet.ResNet"
ANOTHER = "it has no 'fc.weight' but 'features.0.0.weight', 'features.0.1.weight', ..."


@pytest.mark.parametrize(
    ("write", "name", "reason"),
    [
        (whole, "a.pth", WHOLE),
        (whole_by_pickle, "a.pkl", WHOLE),
        (inside, "a.pth", "its weights are under 'model', which is to be saved alone"),
        (of_another, "a.pth", ANOTHER),
        (of_another_before_zip, "a.pth", ANOTHER),
        (parallel, "a.pth", "it has no 'fc.weight' but 'module.conv1.weight', 'module.bn1.weight', ..."),
        (one_tensor, "a.pth", "it holds no dictionary but a torch._utils._rebuild_tensor_v2"),
        (lambda path: path.write_text("no weights\n"), "a.pth", "it is no file of torch.save"),
        (lambda path: path.write_bytes(b""), "a.pth", "it is no file of torch.save"),
        (half, "a.pth", "it is no file of torch.save"),
        (lambda path: path.write_text("no weights\n"), "a.safetensors", "it is no file of safetensors"),
        (
            lambda path: path.write_bytes(safetensors.torch.save({"w": torch.zeros(1)}, {"by": "x"})),
            "a.safetensors",
            "it has no 'fc.weight' but 'w'",
        ),
    ],
)
def test_a_file_that_holds_something_else_is_a_mistake_in_the_job(
    write: Callable[[Path], Any], name: str, reason: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    write(path)
    with pytest.raises(JobError) as caught:
        parse_job(TEXT.format(problem="digits", features=f"{{network: resnet18, weights: {path}}}", metric="recall"))
    way_out = "save one with torch.save(model.state_dict(), 'FILE'); use features: pixels, or a space of your own"
    assert str(caught.value) == (
        f"<job>:9:13: evaluation.features: '{path}' is no state dict of resnet18: {reason}; {way_out}"
    )


@pytest.mark.parametrize("is_zip", [True, False])
def test_state_dicts_are_seen_without_torch(is_zip: bool, tmp_path: Path) -> None:
    for network, last in LAST_LAYERS.items():
        own = {"init_weights": False} if network in ("googlenet", "inception_v3") else {}
        with torch.device("meta"):
            weights = models.get_model(network, num_classes=2, **own).state_dict()
        small = {name: torch.zeros(1) for name in weights}
        torch.save(small, tmp_path / "a.pth", _use_new_zipfile_serialization=is_zip)
        needed = f"{last}.weight"
        assert why_no_state_dict(tmp_path / "a.pth", network=network, needed=needed) is None
        del small[needed]
        torch.save(small, tmp_path / "a.pth", _use_new_zipfile_serialization=is_zip)
        assert why_no_state_dict(tmp_path / "a.pth", network=network, needed=needed) is not None


class Evil:
    """What runs when it is unpickled."""

    def __reduce__(self) -> tuple[Any, tuple[Path]]:
        return Path.touch, (Path("evil"),)


def test_a_file_of_weights_runs_no_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "weights.pth"
    for write in (
        lambda: torch.save({"fc.weight": Evil()}, path),
        lambda: path.write_bytes(pickle.dumps(Evil(), protocol=2)),
    ):
        write()
        with pytest.raises(
            ValueError, match=r"weights.pth' is no state dict of resnet18: torch reads no weights from it"
        ):
            features_of(space_of({"network": "resnet18", "weights": str(path)}), torch.zeros(2, 3, 32, 32))
        space_of({"network": "resnet18", "weights": str(path)}).why_not(Digits())
    assert not (tmp_path / "evil").exists()


def test_pixels_are_the_samples_and_classifiers_want_labels() -> None:
    samples = torch.rand(4, 2, 3, 3)
    assert torch.equal(features_of(space_of("pixels"), samples), samples.flatten(1))
    assert space_of("classifier").why_not(Digits()) is None
    assert space_of("classifier").why_not(Ring()) is not None
    with pytest.raises(ValidationError):
        space_of({"name": "pixels", "seed": 1})
