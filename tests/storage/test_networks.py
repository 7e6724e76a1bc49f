"""Networks of feature spaces in a store: several workers, damage, and no job."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.storage.store import Store
from harness.storage.writer import FEATURES
from tests.storage import s3


@pytest.fixture(scope="module")
def served() -> Iterator[s3.Proxy]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "somebody")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "a-secret-of-theirs")
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        with s3.served() as proxy:
            yield proxy


@pytest.fixture(params=["folder", pytest.param("s3", marks=pytest.mark.slow)])
def anywhere(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """A store in a folder, and one in a bucket."""
    if request.param == "folder":
        return Store(tmp_path / "results")
    proxy: s3.Proxy = request.getfixturevalue("served")
    return Store(proxy.uri(f"networks-{tmp_path.name}"))


def test_what_is_kept_is_found_by_what_determines_it(anywhere: Store) -> None:
    assert anywhere.networks.read("one") is None
    anywhere.networks.write("one", b"weights")
    anywhere.networks.write("other", b"others")
    assert anywhere.networks.read("one") == b"weights"
    assert anywhere.networks.read("other") == b"others"
    assert anywhere.networks.read("on") is None


def test_of_two_workers_that_make_one_at_once_all_take_the_same(anywhere: Store) -> None:
    for content in (b"first", b"second", b"first"):
        anywhere.networks.write("one", content)
    (taken,) = {anywhere.networks.read("one") for _ in range(3)}
    assert taken == min((b"first", b"second"), key=lambda content: hashlib.sha256(content).hexdigest())


def test_a_damaged_file_is_deleted_and_another_taken(store: Store) -> None:
    store.networks.write("one", b"weights")
    (file,) = (Path(store.root) / FEATURES).iterdir()
    file.write_bytes(b"weight")
    assert store.networks.read("one") is None
    assert not file.exists()


def test_their_folder_is_no_job(store: Store) -> None:
    store.networks.write("one", b"weights")
    assert store.jobs() == []
