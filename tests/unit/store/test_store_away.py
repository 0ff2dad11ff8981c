"""A store that goes away for a while has lost nothing, and nothing is written where it was."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from deepring_chain.errors import StoreError
from deepring_chain.store.content import BlobFault, BlobMissing, ContentStore
from deepring_chain.types import Digest, Pointer

UNKNOWN = Pointer(Digest(bytes(32)))
CALLS: dict[str, Callable[[ContentStore, Digest], object]] = {
    "get": lambda store, digest: store.get(Pointer(digest)),
    "exists": lambda store, digest: store.exists(Pointer(digest)),
    "has_good": lambda store, digest: store.has_good(Pointer(digest)),
    "put": lambda store, _digest: store.put(b"another"),
    "put again": lambda store, _digest: store.put(b"blob"),
    "leave": lambda store, _digest: store.leave("name", b"message"),
    "check_writable": lambda store, _digest: store.check_writable(),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
def test_store_that_is_away_is_an_error_of_its_own_and_is_not_made_anew(
    tmp_path: Path, call: Callable[[ContentStore, Digest], object]
) -> None:
    folder = tmp_path / "store"
    store = ContentStore(folder.as_uri())
    digest = store.put(b"blob")
    folder.rename(tmp_path / "away")
    with pytest.raises(StoreError, match="there is no store at") as caught:
        call(store, digest)
    assert not isinstance(caught.value, BlobMissing)
    assert not folder.exists()
    (tmp_path / "away").rename(folder)
    assert store.get(digest) == b"blob"
    call(store, digest)


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
def test_mount_that_is_away_leaves_an_empty_folder_and_is_an_error_of_the_store(
    tmp_path: Path, call: Callable[[ContentStore, Digest], object]
) -> None:
    folder = tmp_path / "store"
    store = ContentStore(folder.as_uri())
    store.check_writable()
    digest = store.put(b"blob")
    store.check_writable()
    folder.rename(tmp_path / "away")
    folder.mkdir()
    with pytest.raises(StoreError, match="nothing is left in the store") as caught:
        call(store, digest)
    assert not isinstance(caught.value, BlobMissing)
    assert list(folder.iterdir()) == []
    folder.rmdir()
    (tmp_path / "away").rename(folder)
    assert store.get(digest) == b"blob"
    call(store, digest)


def test_store_that_somebody_emptied_is_there_and_its_blobs_are_missing(tmp_path: Path) -> None:
    """Attack: who may delete everything has the store count as away, and no verdict is given."""
    store = ContentStore((tmp_path / "store").as_uri())
    digest = store.put(b"blob")
    store.leave("name", b"message")
    for path in (tmp_path / "store").iterdir():
        shutil.rmtree(path)
    with pytest.raises(BlobMissing):
        store.get(digest)
    assert store.pick_up("name") is None
    assert store.put(b"blob") == digest


def test_mount_that_comes_back_as_another_folder_is_the_store(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    store = ContentStore(folder.as_uri())
    digest = store.put(b"blob")
    shutil.copytree(folder, tmp_path / "copy")
    shutil.rmtree(folder)
    (tmp_path / "copy").rename(folder)
    assert store.get(digest) == b"blob"
    shutil.rmtree(folder / digest.hex()[:2])
    with pytest.raises(BlobMissing):
        store.get(digest)


def test_trap_in_a_store_that_is_away_is_no_fault_of_a_blob(tmp_path: Path) -> None:
    """An error at a blob's name is held against the root: here that is a file."""
    folder = tmp_path / "store"
    store = ContentStore(folder.as_uri())
    digest = store.put(b"blob")
    folder.rename(tmp_path / "away")
    folder.write_bytes(b"no store")
    with pytest.raises(StoreError, match="no folder") as caught:
        store.get(digest)
    assert not isinstance(caught.value, BlobFault)


def test_empty_store_that_was_only_tried_has_no_blobs_and_takes_the_first_one(tmp_path: Path) -> None:
    store = ContentStore((tmp_path / "store").as_uri())
    store.check_writable()
    assert not store.exists(UNKNOWN)
    assert store.get(store.put(b"blob")) == b"blob"


def test_store_whose_empty_folders_were_removed_is_there_as_long_as_it_holds_something(tmp_path: Path) -> None:
    store = ContentStore((tmp_path / "store").as_uri())
    digests = [store.put(bytes([number])) for number in range(3)]
    folders = [tmp_path / "store" / digest.hex()[:2] for digest in digests]
    assert len(set(folders)) == 3
    for digest, folder in zip(digests[1:], folders[1:], strict=True):
        assert store.exists(digest)
        (folder / digest.hex()).unlink()
        folder.rmdir()
        assert not store.exists(digest)
    assert store.get(digests[0]) == b"\x00"


def test_who_only_ever_read_knows_it_too(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    digest = ContentStore(folder.as_uri()).put(b"blob")
    reader = ContentStore(folder.as_uri())
    assert reader.exists(digest)
    folder.rename(tmp_path / "away")
    with pytest.raises(StoreError, match="there is no store at"):
        reader.exists(digest)


def test_blob_that_is_gone_from_a_store_that_is_there_is_missing(tmp_path: Path) -> None:
    store = ContentStore((tmp_path / "store").as_uri())
    store.put(b"blob")
    with pytest.raises(BlobMissing):
        store.get(UNKNOWN)


def test_store_that_was_never_there_has_no_blobs_and_is_made_by_the_first_one(tmp_path: Path) -> None:
    store = ContentStore((tmp_path / "store").as_uri())
    assert not store.exists(UNKNOWN)
    assert store.get(store.put(b"blob")) == b"blob"


def test_store_of_objects_has_no_folder_that_could_go_away() -> None:
    store = ContentStore("memory://away")
    digest = store.put(b"blob")
    store._fs.rm("/away", recursive=True)
    assert not store.exists(digest)
    assert store.put(b"blob") == digest


class FilesOnly(SimpleHTTPRequestHandler):
    """A web server that tells nobody what is in a folder."""

    def list_directory(self, path: Any) -> None:  # noqa: ARG002 - the base class names it
        self.send_error(404)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it
        """Says nothing."""


def test_reader_of_a_web_server_that_lists_no_folder_is_told_which_blob_is_missing(tmp_path: Path) -> None:
    digest = ContentStore(str(tmp_path)).put(b"blob")

    def answer(*given: Any) -> FilesOnly:
        return FilesOnly(*given, directory=str(tmp_path))

    with ThreadingHTTPServer(("127.0.0.1", 0), answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        reader = ContentStore(f"http://127.0.0.1:{server.server_port}/")
        assert reader.get(digest) == b"blob"
        with pytest.raises(BlobMissing):
            reader.get(UNKNOWN)
        server.shutdown()
    for pointer in (digest, UNKNOWN):
        with pytest.raises(StoreError) as caught:
            reader.get(pointer)
        assert not isinstance(caught.value, BlobFault)
