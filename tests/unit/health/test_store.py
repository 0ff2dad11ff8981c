"""The doctor's look at the store: one blob that cannot be read is that blob's trouble, not the store's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from deepring_chain.health import store as health_store
from deepring_chain.health.store import PointedBlob, look_at_store
from deepring_chain.store.content import ContentStore
from deepring_chain.types import Digest, Pointer


@pytest.mark.parametrize("is_needed", [False, True])
def test_obstacle_under_a_name_is_a_lost_blob_and_the_store_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_needed: bool
) -> None:
    good, planted = ContentStore(str(tmp_path)).put(b"blob"), Pointer(Digest(bytes(32)))
    (tmp_path / planted.hex()[:2] / planted.hex()).mkdir(parents=True)
    pointers = [PointedBlob(good, "the input", is_needed), PointedBlob(planted, "the answer", is_needed)]
    monkeypatch.setattr(health_store, "pointers_of", lambda _state: iter(pointers))
    state: Any = object()
    facts = look_at_store(str(tmp_path), state)
    assert facts.trouble is None
    assert [(lost.digest, lost.what) for lost in facts.lost] == [(planted, "the answer is unreadable")]
