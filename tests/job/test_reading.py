"""Job files: what is accepted, and a clear place and way out for every kind of mistake."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from harness.errors import JobError
from harness.job.parts.noise import FullCovariance
from harness.job.parts.penalties import Roth
from harness.job.parts.penalty import number
from harness.job.reading import dump_job, load_job, parse_job
from harness.planning.grid import expand
from harness.theory.losses import LOSSES
from tests.conftest import PROBE, TRAIN, as_job, make_job

GOOD = """\
name: good
protocol: train
problem: {name: ring}
networks: {name: mlp, width: 8}
training:
  batch: 32
  steps_per_epoch: 10
grid:
  loss: [minimax, hinge]
  sigma: [0, 0.1]
  epoch: [1, 2]
  seed: [0]
"""


@dataclasses.dataclass(frozen=True)
class Wrong:
    """A mistake: what to replace in the good file, by what, and what the message must say."""

    what: str
    old: str
    new: str
    place: str
    says: str


WRONG = [
    Wrong("unknown key", "width: 8", "widht: 8", "4:23", "networks.widht: unknown key. Did you mean 'width'?"),
    Wrong("unknown key at the top", "name: good", "name: good\nsedes: 3", "2:1", "sedes: unknown key"),
    Wrong("misspelt loss", "hinge", "hing", "9:19", "grid.loss[1]: unknown loss 'hing'. Did you mean 'hinge'?"),
    Wrong("valid names are listed", "hinge", "hing", "9:19", "least_squares, minimax, non_saturating"),
    Wrong("negative sigma", "[0, 0.1]", "[0, -0.1]", "10:14", "grid.sigma[1]: sigma must be finite and >= 0, got -0.1"),
    Wrong("infinite sigma", "[0, 0.1]", "[.inf]", "10:11", "must be a finite number, got inf"),
    Wrong("sigma of a wrong type", "[0, 0.1]", "[big]", "10:11", "must be a number >= 0, a schedule such as"),
    Wrong("epoch 0", "[1, 2]", "[0, 2]", "11:11", "grid.epoch[0]: must be greater than or equal to 1, got 0"),
    Wrong("fractional epoch", "[1, 2]", "[1.5]", "11:11", "grid.epoch[0]: must be a valid integer, got 1.5"),
    Wrong("duplicate key", "name: good", "name: good\nname: again", "2:1", "duplicate key"),
    Wrong("duplicate value", "seed: [0]", "seed: [0, 0]", "12:9", "grid.seed: duplicate value 0"),
    Wrong("wrong type", "batch: 32", "batch: many", "6:10", "training.batch: must be a valid integer, got 'many'"),
    Wrong("text for a number", "batch: 32", "batch: '32'", "6:10", "must be a valid integer, got '32'"),
    Wrong("empty axis", "seed: [0]", "seed: []", "12:9", "grid.seed: is empty; give at least one value"),
    Wrong("a number where a list belongs", "seed: [0]", "seed: 0", "12:9", "grid.seed: must be a list: [0]"),
    Wrong("a name where a list belongs", "seed: [0]", "seed: [0]\n  penalty: r1", "13:12", "must be a list: [r1]"),
    Wrong(
        "a metric where a list belongs", "grid:", "evaluation: {metrics: kid}\ngrid:", "8:23", "must be a list: [kid]"
    ),
    Wrong("a mapping where a list belongs", "seed: [0]", "seed: {a: 1}", "12:9", "must be a list, got {'a': 1}"),
    Wrong(
        "a limit of nothing",
        "grid:",
        "evaluation: {collapsed: 0.3}\ngrid:",
        "8:25",
        "evaluation.collapsed: names a metric with its limit, such as {w1: 0.3}; got 0.3",
    ),
    Wrong(
        "a penalty's parameters under its name",
        "seed: [0]",
        "seed: [0]\n  penalty: [r1_r2: {gamma: 1}]",
        "13:13",
        "needs a name: write {name: r1_r2, gamma: 1}",
    ),
    Wrong("missing axis", "  seed: [0]\n", "", "8:1", "grid: 'seed' is missing"),
    Wrong("missing part", "problem: {name: ring}\n", "", "1:1", "'problem' is missing"),
    Wrong("tabs", "  batch: 32", "\tbatch: 32", "6:1", "a tab indents this line; use spaces"),
    Wrong("not YAML", "[minimax, hinge]", "[minimax, hinge", "10:8", "not YAML"),
    Wrong("unknown problem", "name: ring", "name: rng", "3:17", "unknown problem 'rng'. Did you mean 'ring'?"),
    Wrong("problem without a name", "{name: ring}", "{radius: 2}", "3:10", "problem: needs a name"),
    Wrong("unknown networks", "name: mlp", "name: cnn", "4:18", "unknown network 'cnn'"),
    Wrong("unknown protocol", "protocol: train", "protocol: trian", "2:11", "Did you mean 'train'?"),
    Wrong(
        "networks that do not fit",
        "{name: mlp, width: 8}",
        "{name: dcgan}",
        "4:18",
        "samples of shape [2]; use networks: {name: mlp}",
    ),
    Wrong("no epoch length", "  steps_per_epoch: 10\n", "", "5:1", "needs training.steps_per_epoch"),
    Wrong(
        "a part of the other protocol", "grid:", "probe: {iterations: 5}\ngrid:", "8:8", "protocol train has no probe"
    ),
    Wrong(
        "schedule without its parameters",
        "[0, 0.1]",
        "[{schedule: linear, start: 1}]",
        "10:11",
        "schedule linear takes start, end and may have fraction; got start",
    ),
    Wrong(
        "unknown schedule",
        "[0, 0.1]",
        "[{schedule: liner, start: 1, end: 0}]",
        "10:11",
        "unknown schedule 'liner'. Did you mean 'linear'?",
    ),
    Wrong(
        "unknown noise",
        "[0, 0.1]",
        "[0, {sigma: 0.1, noise: cauchi}]",
        "10:34",
        "grid.sigma[1].noise: unknown noise 'cauchi'. Did you mean 'cauchy'?",
    ),
    Wrong(
        "valid families are listed",
        "[0, 0.1]",
        "[{sigma: 0.1, noise: pink}]",
        "10:31",
        "Valid: cauchy, diffusion, full_covariance, gaussian, mixed_levels, truncated",
    ),
    Wrong("noise that is a list", "[0, 0.1]", "[{sigma: 1, noise: [cauchy]}]", "10:29", "must be the name of a noise"),
    Wrong("noise without a name", "[0, 0.1]", "[{sigma: 1, noise: {covariance: data}}]", "10:29", "needs a name"),
    Wrong("noise alone", "[0, 0.1]", "[{noise: gaussian}]", "10:11", "such as {sigma: 0.5, noise: gaussian}"),
    Wrong(
        "an option of another family",
        "[0, 0.1]",
        "[{sigma: 1, noise: {name: cauchy, covariance: data}}]",
        "10:44",
        "grid.sigma[0].noise.covariance: unknown key",
    ),
    Wrong(
        "a covariance that is not positive definite",
        "[0, 0.1]",
        "[0, {sigma: 1, noise: {name: full_covariance, covariance: [[1, 2], [2, 1]]}}]",  # eigenvalues 3 and -1
        "10:68",
        "grid.sigma[1].noise.covariance: must be symmetric and positive definite",
    ),
    Wrong(
        "a singular covariance",
        "[0, 0.1]",
        "[{sigma: 1, noise: {name: full_covariance, covariance: [[1, 1], [1, 1]]}}]",
        "10:65",
        "must be symmetric and positive definite",
    ),
    Wrong(
        "a covariance that is not symmetric",
        "[0, 0.1]",
        "[{sigma: 1, noise: {name: full_covariance, covariance: [[2, 0.5], [0, 1]]}}]",
        "10:65",
        "must be symmetric and positive definite",
    ),
    Wrong(
        "a covariance that is not square",
        "[0, 0.1]",
        "[{sigma: 1, noise: {name: full_covariance, covariance: [[1, 0]]}}]",
        "10:65",
        "must be a square matrix, or data",
    ),
    Wrong(
        "an empty covariance",
        "[0, 0.1]",
        "[{sigma: 1, noise: {name: full_covariance, covariance: []}}]",
        "10:65",
        "must be a square matrix, or data",
    ),
    Wrong(
        "a schedule's parameters under another noise",
        "[0, 0.1]",
        "[{schedule: linear, start: 1, noise: cauchy}]",
        "10:11",
        "schedule linear takes start, end and may have fraction; got start",
    ),
    Wrong(
        "an adaptive schedule from 0",
        "[0, 0.1]",
        "[{schedule: adaptive, start: 0, target: 0.7, rate: 5}]",
        "10:39",
        "needs start > 0",
    ),
    Wrong(
        "an accuracy beyond 1",
        "[0, 0.1]",
        "[{schedule: adaptive, start: 1, target: 1.0, rate: 5}]",
        "10:50",
        "target must be in (0, 1)",
    ),
    Wrong(
        "batch normalisation of an mlp",
        "seed: [0]",
        "seed: [0]\n  batch_norm: [joint, none]",
        "13:15",
        "mlp has no batch normalisation; remove the axis, or use dcgan",
    ),
    Wrong(
        "an unknown batch normalisation",
        "seed: [0]",
        "seed: [0]\n  batch_norm: [joint, apart]",
        "13:23",
        "batch_norm[1]: got 'apart'",
    ),
    Wrong(
        "unknown optimiser",
        "  batch: 32",
        "  optimizer: {name: adma}\n  batch: 32",
        "6:21",
        "unknown optimizer 'adma'. Did you mean 'adam'?",
    ),
    Wrong(
        "a parameter of another optimiser",
        "  batch: 32",
        "  optimizer: {name: sgd, betas: [0, 0.9]}\n  batch: 32",
        "6:26",
        "optimizer.betas: unknown key",
    ),
    Wrong("learning rate 0", "seed: [0]", "seed: [0]\n  learning_rate: [0]", "13:19", "must be greater than 0, got 0"),
    Wrong("unknown penalty", "seed: [0]", "seed: [0]\n  penalty: [clip]", "13:13", "unknown penalty 'clip'"),
    Wrong(
        "a list for a sum", "seed: [0]", "seed: [0]\n  penalty: [[r1, r2]]", "13:13", "a sum, {sum: [r1, r2]}; got the"
    ),
    Wrong(
        "a part of a sum", "seed: [0]", "seed: [0]\n  penalty: [{sum: [r1, clip]}]", "13:24", "unknown penalty 'clip'"
    ),
    Wrong(
        "a sum of one", "seed: [0]", "seed: [0]\n  penalty: [{sum: [r1]}]", "13:19", "has at least two penalties, got 1"
    ),
    Wrong("none in a sum", "seed: [0]", "seed: [0]\n  penalty: [{sum: [r1, none]}]", "13:24", "none cannot be part of"),
    Wrong(
        "a key beside a sum", "seed: [0]", "seed: [0]\n  penalty: [{sum: [r1, r2], gamma: 1}]", "13:29", "unknown key"
    ),
    Wrong(
        "a parameter within a sum",
        "seed: [0]",
        "seed: [0]\n  penalty: [{sum: [r1, {name: r2, gama: 1}]}]",
        "13:35",
        "grid.penalty[0].sum[1].gama: unknown key. Did you mean 'gamma'?",
    ),
    Wrong(
        "a strength by no schedule",
        "seed: [0]",
        "seed: [0]\n  penalty: [{name: r1, gamma: {start: 1}}]",
        "13:31",
        "must be a number >= 0, or a schedule such as {schedule: cosine, start: 0.05, end: 0.005}; got {'start': 1}",
    ),
    Wrong(
        "an end of a strength's schedule",
        "seed: [0]",
        "seed: [0]\n  penalty: [{name: r1, gamma: {schedule: linear, start: -1, end: 0}}]",
        "13:57",
        "grid.penalty[0].gamma.start: start must be finite and >= 0, got -1",
    ),
    Wrong(
        "an adaptive strength",
        "seed: [0]",
        "seed: [0]\n  penalty: [{name: r1, gamma: {schedule: adaptive, start: 1, target: 0.6, rate: 1}}]",
        "13:31",
        "adaptive moves sigma by what the discriminator does; a strength is a function of t",
    ),
    Wrong(
        "Roth's penalty of a loss that is no cross-entropy",
        "seed: [0]",
        "seed: [0]\n  penalty: [none, {sum: [r1, roth]}]",
        "13:19",
        "roth weighs gradients by sigmoid(D)",
    ),
    Wrong(
        "overconfidence of logits without a threshold",
        "[minimax, hinge]\n  sigma: [0, 0.1]",
        "[minimax, relativistic]\n  sigma: [0, {schedule: overconfidence, rate: 1}]",
        "10:14",
        "grid.sigma[1]: overconfidence counts logits above a threshold, which the discriminator of loss relativistic "
        "does not have; use adaptive, which follows P(r > f) there; losses that it goes with",
    ),
    Wrong(
        "uneven GPU share",
        "grid:",
        "resources: {gpus_per_actor: 0.3}\ngrid:",
        "8:29",
        "0.3 does not divide a GPU evenly",
    ),
    Wrong("a name that is no folder", "name: good", "name: a/b", "1:7", "name: String should match pattern"),
    Wrong("a device of Windows", "name: good", "name: Con.first", "1:7", "'Con.first' is no name of a folder on every"),
    Wrong("a dot at the end", "name: good", "name: good.", "1:7", "'good.' is no name of a folder on every system"),
    Wrong("the store's own folder", "name: good", "name: snapshots", "1:7", "'snapshots' is the store's own folder"),
    Wrong("a loss that cannot be imported", "hinge", "nowhere.losses:mine", "9:19", "cannot be imported"),
    Wrong("a loss that is none", "hinge", "os.path:join", "9:19", "a loss must be a harness.theory.losses.Loss"),
    Wrong("a missing file", "{name: ring}", "{name: arrays, path: nowhere.npy}", "3:31", "no such file: 'nowhere.npy'"),
    Wrong(
        "a missing folder", "{name: ring}", "{name: image_folder, root: nowhere}", "3:37", "no such folder: 'nowhere'"
    ),
    Wrong("a data set that is not there", "{name: ring}", "{name: mnist, root: nowhere}", "3:10", "set download: true"),
    Wrong("a key that is YAML 1.1's true", "name: good", "name: good\non: 3", "2:1", "on: unknown key"),
    Wrong(
        "a batch beyond the data",
        "{name: ring}",
        "{name: digits, held_out: 0.99}",
        "6:10",
        "larger than the 18 training samples",
    ),
]


NASTY = {
    "a mistake in a merged mapping": (
        GOOD.replace("networks: {name: mlp, width: 8}", "base: &b {widht: 3}\nnetworks: {<<: *b, name: mlp}"),
        "networks.widht: unknown key",
    ),
    "a name that is a list": (GOOD.replace("{name: ring}", "{name: [a]}"), "unknown problem"),
    "a seed beyond 64 bits": (GOOD.replace("seed: [0]", "seed: [99999999999999999999]"), "must be less than or equal"),
    "a sigma beyond floats": (GOOD.replace("[0, 0.1]", f"[1{'0' * 400}]"), "grid.sigma[0]"),
    "a sigma that underflows": (GOOD.replace("[0, 0.1]", "[1e-200]"), "at least 1e-20"),
    "a vanishing GPU share": (GOOD + "resources: {gpus_per_actor: 1e-320}\n", "too small a share"),
    "an empty sigma grid": (GOOD + "evaluation: {sigmas: []}\n", "is empty"),
    "a path beyond all limits": (GOOD.replace("{name: ring}", f"{{name: arrays, path: {'x' * 5000}}}"), "no such file"),
    "a module that cannot be parsed": (GOOD.replace("hinge", ".x:y"), "cannot be imported"),
    "a problem that fails": (
        GOOD.replace("{name: ring}", "{name: 'tests.problems.test_problems:made_samples', options: {nmu: 3}}"),
        "unexpected keyword argument 'nmu'",
    ),
    "a schedule that is no schedule": (
        GOOD.replace("[0, 0.1]", "[{schedule: 'os.path:join', a: 1}]"),
        "'os.path:join' is no schedule",
    ),
    "endless brackets": (f"name: {'[' * 3000}", "<job>:1:"),
}


@pytest.mark.parametrize("what", NASTY)
def test_nasty_files_get_a_message_and_no_traceback(what: str) -> None:
    text, says = NASTY[what]
    with pytest.raises(JobError) as caught:
        parse_job(text)
    assert says in str(caught.value)
    assert re.match(r"<job>:\d+:\d+: ", str(caught.value))


def test_an_empty_section_is_the_default_one() -> None:
    content = {key: value for key, value in PROBE.items() if key not in ("probe", "reference")}
    job = parse_job(json.dumps({**content, "probe": None, "reference": None}))
    assert job == parse_job(json.dumps(content))
    assert as_job(job).probe is not None


def test_several_arrays_in_one_file_are_refused(tmp_path: Path) -> None:
    with (tmp_path / "a.npy").open("wb") as file:
        np.savez(file, a=np.zeros((9, 2)))
    with pytest.raises(JobError, match="holds several arrays"):
        parse_job(GOOD.replace("{name: ring}", f"{{name: arrays, path: {tmp_path / 'a.npy'}}}"))


def test_the_good_file_is_good() -> None:
    assert len(expand(as_job(parse_job(GOOD)))) == 8


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: wrong.what)
def test_a_mistake_is_reported_with_its_place_and_a_way_out(wrong: Wrong) -> None:
    assert GOOD.count(wrong.old) == 1
    with pytest.raises(JobError) as caught:
        parse_job(GOOD.replace(wrong.old, wrong.new), source="job.yaml")
    message = str(caught.value)
    assert wrong.says in message
    assert f"job.yaml:{wrong.place}: " in message


def test_all_mistakes_are_reported_at_once_in_the_order_of_the_file() -> None:
    text = GOOD.replace(": train", ": trian").replace("hinge", "hing").replace("[1, 2]", "[0, 2]").replace("width", "w")
    with pytest.raises(JobError) as caught:
        parse_job(text)
    lines = [int(match) for match in re.findall(r"^<job>:(\d+):", str(caught.value), re.MULTILINE)]
    assert lines == [2, 4, 9, 11], str(caught.value)


@pytest.mark.parametrize("text", ["", "- a\n- b\n", "just text\n"])
def test_a_file_that_is_no_mapping_is_refused(text: str) -> None:
    with pytest.raises(JobError, match="a job file is a mapping"):
        parse_job(text)


def test_a_missing_file_names_the_job_files_nearby(tmp_path: Path) -> None:
    (tmp_path / "ring.yaml").write_text(GOOD)
    with pytest.raises(JobError, match=r"(?s)rng\.yaml: no such job file.*Did you mean '.*ring\.yaml'"):
        load_job(tmp_path / "rng.yaml")


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(JobError, match="cannot be read"):
        load_job(tmp_path / "binary.yaml")


def test_images_of_a_wrong_size_are_refused_for_dcgan(tmp_path: Path) -> None:
    for index in range(60):
        Image.new("L", (28, 28)).save(tmp_path / f"{index}.png")
    text = GOOD.replace("{name: ring}", f"{{name: image_folder, root: {tmp_path}}}").replace(
        "{name: mlp, width: 8}", "{name: dcgan}"
    )
    with pytest.raises(JobError, match=r"shape \[3, 28, 28\]; set problem.size"):
        parse_job(text)
    assert parse_job(text.replace(str(tmp_path), f"{tmp_path}, size: 32"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (np.zeros(10), "needed: \\[n, ...\\]"),
        (np.zeros((3, 2)), "n >= 8"),
        (np.array([["a", "b"]] * 9), "real numbers"),
    ],
)
def test_an_array_of_a_wrong_shape_is_refused(tmp_path: Path, content: np.ndarray, message: str) -> None:
    np.save(tmp_path / "a.npy", content)
    with pytest.raises(JobError, match=message):
        parse_job(GOOD.replace("{name: ring}", f"{{name: arrays, path: {tmp_path / 'a.npy'}}}"))


def test_numbers_in_scientific_notation_are_numbers() -> None:
    job = parse_job(GOOD.replace("seed: [0]", "seed: [0]\n  learning_rate: [1e-3]"))
    assert as_job(job).grid[0].learning_rate == (1e-3,)


def test_a_schedule_belongs_to_protocol_train() -> None:
    with pytest.raises(JobError, match=r"grid\.sigma\[0\]: a probe has one sigma"):
        make_job(PROBE, grid={"sigma": [{"schedule": "linear", "start": 1, "end": 0}]})


SEVERAL = (
    GOOD.split("grid:")[0]
    + """\
grid:
  - loss: [minimax, hinge]
    sigma: [0, 0.1]
    epoch: [1]
    seed: [0]
  - loss: [wasserstein]
    sigma: [{sigma: 0.2, noise: gaussian}]
    epoch: [1, 2]
    seed: [0, 1]
"""
)


def test_a_job_of_several_grids_is_their_union() -> None:
    job = as_job(parse_job(SEVERAL))
    assert len(expand(job)) == 2 * 2 + 2 * 2
    assert parse_job(dump_job(job)) == job


@pytest.mark.parametrize(
    ("old", "new", "place", "says"),
    [
        ("minimax, hinge", "minimax, hing", "9:21", "grid[0].loss[1]: unknown loss 'hing'. Did you mean 'hinge'?"),
        ("wasserstein", "waserstein", "13:12", "grid[1].loss[0]: unknown loss 'waserstein'"),
        ("gaussian", "gausian", "14:33", "grid[1].sigma[0].noise: unknown noise 'gausian'. Did you mean 'gaussian'?"),
        ("[1, 2]", "[1, 0]", "15:16", "grid[1].epoch[1]: must be greater than or equal to 1"),
        ("seed: [0, 1]", "sede: [0, 1]", "16:5", "grid[1].sede: unknown key"),
        ("    seed: [0, 1]\n", "", "13:5", "grid[1]: 'seed' is missing"),
        ("    seed: [0, 1]\n", "    seed: [0]\n    batch_norm: [none]\n", "17:17", "grid[1].batch_norm: mlp has no"),
    ],
)
def test_a_mistake_in_one_of_several_grids_is_reported_there(old: str, new: str, place: str, says: str) -> None:
    assert SEVERAL.count(old) == 1
    with pytest.raises(JobError) as caught:
        parse_job(SEVERAL.replace(old, new), source="job.yaml")
    assert f"job.yaml:{place}: " in str(caught.value)
    assert says in str(caught.value)


def test_an_empty_list_of_grids_is_refused() -> None:
    with pytest.raises(JobError, match=r"^<job>:8:7: grid: is empty; give at least one value"):
        parse_job(GOOD.split("grid:")[0] + "grid: []\n")


@pytest.mark.parametrize("text", [GOOD, SEVERAL])
def test_an_unknown_axis_names_the_axes_there_are(text: str) -> None:
    with pytest.raises(JobError, match=r"unknown key\. Did you mean 'sigma'\?"):
        parse_job(text.replace("  sigma:", "  sgima:"))


@pytest.mark.parametrize("loss", LOSSES)
def test_a_reference_follows_overconfidence_where_its_logits_have_a_threshold(loss: str) -> None:
    content = {**PROBE, "reference": {"loss": loss, "sigma": {"schedule": "overconfidence", "rate": 1}}}
    if LOSSES[loss].objective.threshold is not None:
        assert as_job(parse_job(json.dumps(content))).reference is not None
        return
    with pytest.raises(JobError, match=rf"reference.sigma: overconfidence counts .* of loss {loss} does not have"):
        parse_job(json.dumps(content))


def test_a_schedule_in_the_second_grid_of_a_probe_is_reported_there() -> None:
    grid = PROBE["grid"]
    later = {**grid, "sigma": [0, {"schedule": "linear", "start": 1, "end": 0}]}
    with pytest.raises(JobError, match=r"grid\[1\]\.sigma\[1\]: a probe has one sigma"):
        parse_job(json.dumps({**PROBE, "grid": [grid, later]}))


FAMILIES = """\
  sigma:
    - 0.5
    - {sigma: 0.5, noise: gaussian}
    - {schedule: linear, start: 1, end: 0, noise: cauchy}
    - {sigma: 0.2, noise: {name: full_covariance, covariance: [[2, 0.6], [0.6, 1]]}}
    - {sigma: 0.2, noise: full_covariance}
    - {schedule: adaptive, start: 0.3, target: 0.7, rate: 5}
"""


def test_a_sigma_names_its_family_of_noise() -> None:
    job = as_job(parse_job(GOOD.replace("  sigma: [0, 0.1]\n", FAMILIES)))
    (grid,) = job.grid
    names = ["truncated", "gaussian", "cauchy", "full_covariance", "full_covariance", "truncated"]
    assert [sigma.noise.name for sigma in grid.sigma] == names
    of_full = [sigma.noise for sigma in grid.sigma[3:5] if isinstance(sigma.noise, FullCovariance)]
    assert [noise.covariance for noise in of_full] == [((2, 0.6), (0.6, 1)), "data"]
    assert [sigma.at(0.25) for sigma in grid.sigma] == [0.5, 0.5, 0.75, 0.2, 0.2, None]
    assert parse_job(dump_job(job)) == job


def test_truncated_noise_by_name_is_what_a_plain_number_means() -> None:
    """The default must keep the identity it had before there were families: no row computed before is stale."""
    plain = make_job(TRAIN, grid={"sigma": [0, 0.2]})
    named = make_job(TRAIN, grid={"sigma": [{"sigma": 0, "noise": "truncated"}, {"sigma": 0.2, "noise": "truncated"}]})
    assert plain == named
    assert [cell.cell_id for cell in expand(plain)] == [cell.cell_id for cell in expand(named)]
    for cell in expand(plain):
        assert json.loads(cell.identity)["run"]["sigma"] == ["constant", {"sigma": cell.sigma_value}, ""]
    for cell in expand(make_job(PROBE)):
        assert "noise" not in json.loads(cell.identity)["probe"]


@pytest.mark.parametrize("base", [TRAIN, PROBE])
def test_cells_of_different_families_are_different_cells(base: dict[str, Any]) -> None:
    grids: list[list[dict[str, Any]]] = [
        [{"sigma": 0.2, "noise": name}] for name in ("truncated", "gaussian", "cauchy", "full_covariance")
    ]
    dimension = 2 if base is TRAIN else 64
    identity = [[float(row == column) for column in range(dimension)] for row in range(dimension)]
    grids.append([{"sigma": 0.2, "noise": {"name": "full_covariance", "covariance": identity}}])
    ids = [{cell.cell_id for cell in expand(make_job(base, grid={"sigma": grid}))} for grid in grids]
    assert len(set().union(*ids)) == sum(map(len, ids))
    places = [{cell.key for cell in expand(make_job(base, grid={"sigma": grid}))} for grid in grids]
    assert len(set().union(*places)) == sum(map(len, places))


@pytest.mark.parametrize("base", [TRAIN, PROBE])
def test_the_dumped_text_gives_the_same_job(base: dict[str, Any]) -> None:
    job = make_job(base)
    assert parse_job(dump_job(job)) == job


PLANE = ("gaussian", "line", "circle", "four_lines")


@pytest.mark.parametrize(
    ("path", "cells"),
    [
        ("jobs/quickstart.yaml", 72),
        ("jobs/ring.yaml", 54),
        ("jobs/roth.yaml", 140),
        *((f"jobs/converge_{problem}.yaml", 200) for problem in PLANE),
    ],
)
def test_the_jobs_that_ship_are_valid(path: str, cells: int) -> None:
    job = as_job(load_job(path))
    assert len(expand(job)) == cells
    assert parse_job(dump_job(job)) == job


def test_the_jobs_of_mescheders_problems_differ_in_nothing_else() -> None:
    jobs = [as_job(load_job(f"jobs/converge_{problem}.yaml")) for problem in PLANE]
    assert [job.problem.name for job in jobs] == list(PLANE)
    assert len({job.model_copy(update={"problem": jobs[0].problem, "name": "one"}).canonical for job in jobs}) == 1


def test_the_strengths_of_the_job_of_roths_regulariser_are_the_variances_of_its_noises() -> None:
    runs = [cell.run for cell in expand(as_job(load_job("jobs/roth.yaml")))]
    sigmas = {sigma for run in runs if (sigma := run.sigma.at(0.0))}
    gammas = {number(run.penalty.gamma) for run in runs if isinstance(run.penalty, Roth)}
    assert sorted(gammas) == pytest.approx(sorted(sigma**2 for sigma in sigmas))


def test_a_job_is_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        parse_job(GOOD).name = "other"  # type: ignore[misc]  # frozen
