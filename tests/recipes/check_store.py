"""Run in a copy of the package with `sqlite_store.py` in it: blobs and messages through `ContentStore`."""

from __future__ import annotations

import hashlib
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from deepring_chain.errors import StoreError
from deepring_chain.store import kinds
from deepring_chain.store.content import ContentStore
from deepring_chain.store.faults import BlobCorrupt, BlobMissing
from deepring_chain.types import NO_BLOB
from tests.recipes.copied_package import is_copied

BLOBS = (b"", b"blob", bytes(range(256)) * 64)


def check_blobs(url: str) -> None:
    written, read = ContentStore(url), ContentStore(url)
    for blob in BLOBS:
        digest = written.put(blob)
        assert digest == hashlib.sha256(blob).digest()
        assert read.get(digest) == blob
        assert (read.size(digest), read.exists(digest), read.has_good(digest)) == (len(blob), True, True)
    with pytest.raises(BlobMissing):
        read.get(NO_BLOB)
    read.check_readable()
    read.check_writable()


def check_damage(url: str, file: Path) -> None:
    store = ContentStore(url)
    digest = store.put(b"good")
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("UPDATE blobs SET data = ? WHERE path LIKE ?", (b"evil", f"%{digest.hex()}"))
    with pytest.raises(BlobCorrupt):
        store.get(digest)
    assert store.put(b"good") == digest
    assert store.get(digest) == b"good"


def check_messages(url: str) -> None:
    store = ContentStore(url)
    assert store.pick_up("note") is None
    store.leave("note", b"first")
    store.leave("note", b"second")
    assert ContentStore(url).pick_up("note") == b"second"
    store.discard("note")
    assert store.pick_up("note") is None


def check_outage(url: str, file: Path) -> None:
    store = ContentStore(url)
    digest = store.put(b"there")
    file.write_bytes(b"no database" * 1000)
    with pytest.raises(StoreError, match=f"cannot read the store {url}") as caught:
        store.get(digest)
    assert type(caught.value) is StoreError


def main() -> None:
    assert is_copied(kinds.__file__)
    file = Path("blobs.db").resolve()
    url = f"sqlite://{file}"
    check_blobs(url)
    check_damage(url, file)
    check_messages(url)
    check_outage(url, file)


if __name__ == "__main__":
    main()
