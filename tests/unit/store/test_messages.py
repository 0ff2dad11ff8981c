"""What a store takes, at the bounds: blobs by their size, messages by their size and name."""

from __future__ import annotations

from pathlib import Path

import pytest

from deepring_chain.errors import StoreError
from deepring_chain.store.content import MAX_MESSAGE_BYTES, ContentStore


def test_blob_of_just_the_stores_bound_is_taken(tmp_path: Path) -> None:
    store = ContentStore(str(tmp_path), max_bytes=10)
    assert store.get(store.put(bytes(10))) == bytes(10)


def test_longest_message_is_taken_and_a_longer_one_refused(tmp_path: Path) -> None:
    store = ContentStore(str(tmp_path))
    store.leave("name", bytes(MAX_MESSAGE_BYTES))
    assert store.pick_up("name") == bytes(MAX_MESSAGE_BYTES)
    with pytest.raises(StoreError, match="a message of"):
        store.leave("name", bytes(MAX_MESSAGE_BYTES + 1))


@pytest.mark.parametrize("name", ["", "../name", "-name", "Name", "a" * 201, "a/b"])
def test_name_that_could_lead_elsewhere_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be named"):
        ContentStore(str(tmp_path)).leave(name, b"message")
