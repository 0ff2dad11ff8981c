"""Whoever may write to the store plants something under a blob's name: it is that blob's trouble, never the store's.

Attack: an unreadable thing under a name counts as an outage, for which everybody waits and nobody is blamed.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from deepring_chain.errors import StoreError
from deepring_chain.store.backend import Obstacle
from deepring_chain.store.content import (
    MOST_SEALS,
    BlobBlocked,
    BlobFault,
    BlobMissing,
    BlobUnreadable,
    ContentStore,
)
from deepring_chain.types import Digest, Pointer

DATA = b"a sealed message" * 100
DIGEST = Pointer(Digest(hashlib.sha256(DATA).digest()))
Trap = Callable[[Path], None]


def folder(path: Path) -> None:
    path.mkdir()


def full_folder(path: Path) -> None:
    path.mkdir()
    (path / "something").write_bytes(b"of somebody's")


def pipe(path: Path) -> None:
    os.mkfifo(path)


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def loop(path: Path) -> None:
    path.symlink_to(path)


def dangling(path: Path) -> None:
    path.symlink_to(path.with_name("nowhere"))


def link_to_a_folder(path: Path) -> None:
    path.symlink_to(path.parents[2])


def socket_file(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # a socket's path is 108 bytes long at the most
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path.name)
    finally:
        os.chdir(here)


def file(path: Path) -> None:
    path.write_bytes(b"no folder")


def link_to_another_disk(path: Path) -> None:
    path.symlink_to("/proc")


TRAPS: list[Trap] = [folder, full_folder, pipe, device, loop, dangling, link_to_a_folder, socket_file]
IN_PLACE_OF_THE_FOLDER: list[Trap] = [file, pipe, device, loop, dangling, link_to_another_disk]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "blobs"


@pytest.fixture
def store(root: Path) -> ContentStore:
    """A store with another blob in it."""
    store = ContentStore(str(root))
    store.put(b"another")
    return store


def place(root: Path, digest: Digest = DIGEST) -> Path:
    path = root / digest.hex()[:2] / digest.hex()
    path.parent.mkdir(exist_ok=True)
    return path


@pytest.mark.parametrize("trap", TRAPS)
@pytest.mark.parametrize("fresh", [False, True], ids=["", "by a reader that never found anything there"])
def test_what_lies_under_a_name_is_that_blobs_fault_and_is_displaced(
    root: Path, store: ContentStore, trap: Trap, fresh: bool
) -> None:
    trap(place(root))
    if fresh:
        store = ContentStore(str(root))
    with pytest.raises(BlobFault) as caught:
        store.get(DIGEST)
    assert DIGEST.hex() in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not store.has_good(DIGEST)
    assert store.put(DATA) == DIGEST
    assert store.get(DIGEST) == DATA
    assert place(root).is_file()
    assert not place(root).is_symlink()


@pytest.mark.parametrize("trap", IN_PLACE_OF_THE_FOLDER)
def test_what_lies_in_place_of_the_folder_is_that_blobs_fault_and_is_displaced(
    root: Path, store: ContentStore, trap: Trap
) -> None:
    trap(root / DIGEST.hex()[:2])
    with pytest.raises(BlobFault):
        store.get(DIGEST)
    assert store.put(DATA) == DIGEST
    assert store.get(DIGEST) == DATA


def test_folder_with_something_in_it_is_kept_beside_the_blobs(root: Path, store: ContentStore) -> None:
    """It is not deleted: it may be large, or somebody's, and no link in it is followed."""
    full_folder(place(root))
    store.put(DATA)
    (kept,) = root.glob(".displaced-*")
    assert (kept / "something").read_bytes() == b"of somebody's"


def test_link_is_replaced_and_what_it_points_to_stays(root: Path, store: ContentStore, tmp_path: Path) -> None:
    (tmp_path / "another's").write_bytes(b"other bytes")
    place(root).symlink_to(tmp_path / "another's")
    store.put(DATA)
    assert (tmp_path / "another's").read_bytes() == b"other bytes"


def test_pipe_that_takes_a_files_place_between_two_looks_holds_up_no_reader(
    root: Path, store: ContentStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put(DATA)
    found = store._fs.info(str(place(root)))
    place(root).unlink()
    pipe(place(root))
    info = store._fs.info
    monkeypatch.setattr(store._fs, "info", lambda path: found if path == str(place(root)) else info(path))
    with pytest.raises(BlobUnreadable):
        store.get(DIGEST)


def test_exists_says_what_is_no_file(root: Path, store: ContentStore) -> None:
    folder(place(root))
    with pytest.raises(BlobUnreadable, match="a directory lies there"):
        store.exists(DIGEST)


# ---------------------------------------------------------------------- a file system that refuses


class Guarded(MemoryFileSystem):  # type: ignore[misc]  # fsspec has no types
    """An object store that refuses some names; also, while `is_away`, all of them."""

    protocol = ("guarded", "s3")
    cachable = False
    unreadable: frozenset[str] = frozenset()
    unwritable: frozenset[str] = frozenset()
    is_away = False
    hides_absence = False
    failures = 0

    def _refuse(self, path: str, names: frozenset[str]) -> None:
        if self.failures:
            self.failures -= 1
            raise TimeoutError("503 slow down")
        if self.is_away or any(name in path for name in names):
            raise PermissionError("403 Access Denied")

    def _refuse_to_read(self, path: str) -> None:
        self._refuse(path, self.unreadable)
        if self.hides_absence and path not in self.store:
            raise PermissionError("403 Access Denied")

    def info(self, path: str, **options: Any) -> Any:
        self._refuse_to_read(path)
        return super().info(path, **options)

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **options: Any) -> Any:
        self._refuse_to_read(path)
        return super().cat_file(path, start=start, end=end, **options)

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **options: Any) -> None:
        self._refuse(path, self.unwritable)
        super().pipe_file(path, value, mode, **options)
        self.unreadable = frozenset(name for name in self.unreadable if name not in path)  # it is the writer's now

    def rm_file(self, path: str) -> None:
        self._refuse(path, self.unwritable)
        super()._rm(path)


@pytest.fixture
def objects(monkeypatch: pytest.MonkeyPatch) -> ContentStore:
    monkeypatch.setattr(Guarded, "store", {})
    monkeypatch.setattr(Guarded, "pseudo_dirs", [""])
    fsspec.register_implementation("guarded", Guarded, clobber=True)
    return ContentStore(f"guarded://{uuid.uuid4().hex}")


def test_object_without_access_is_that_blobs_fault_and_is_overwritten(objects: ContentStore) -> None:
    objects.put(DATA)
    objects._fs.unreadable = frozenset({DIGEST.hex()})
    with pytest.raises(BlobUnreadable, match="Access Denied"):
        objects.get(DIGEST)
    assert objects.put(DATA) == DIGEST
    assert objects.get(DIGEST) == DATA


def test_object_store_that_does_not_answer_is_away_and_no_blob_is_at_fault(objects: ContentStore) -> None:
    objects.put(DATA)
    objects._fs.is_away = True
    calls: list[Callable[[], object]] = [
        lambda: objects.get(DIGEST),
        lambda: objects.has_good(DIGEST),
        lambda: objects.put(b"x"),
        lambda: objects.leave("name", b"message"),
        objects.check_writable,
    ]
    for call in calls:
        with pytest.raises(StoreError) as caught:
            call()
        assert not isinstance(caught.value, BlobFault)
    assert objects.pick_up("name") is None
    objects.discard("name")


def test_error_that_passes_is_no_fault_of_the_blob(objects: ContentStore) -> None:
    objects.put(DATA)
    objects._fs.failures = 1
    assert objects.get(DIGEST) == DATA


def test_absent_object_is_missing(objects: ContentStore) -> None:
    objects.put(b"another")
    with pytest.raises(BlobMissing):
        objects.get(DIGEST)


def test_store_in_which_absent_and_refused_look_alike_is_found_at_the_start(objects: ContentStore) -> None:
    """S3 answers so to who may not list the bucket: every lost blob would count as an outage."""
    objects._fs.hides_absence = True
    with pytest.raises(StoreError, match="list"):
        objects.check_writable()


def test_name_that_cannot_be_displaced_is_blocked_and_the_content_sealed_anew(objects: ContentStore) -> None:
    objects._fs.unwritable = frozenset({DIGEST.hex()})
    with pytest.raises(BlobBlocked, match="Access Denied"):
        objects.put(DATA)
    digest, blob = objects.put_sealed(DATA, lambda: b"sealed anew")
    assert blob == b"sealed anew" == objects.get(digest)


def test_content_is_not_sealed_anew_without_need(objects: ContentStore) -> None:
    assert objects.put_sealed(DATA, lambda: b"sealed anew") == (DIGEST, DATA)


def test_store_in_which_every_name_is_blocked_is_an_error_of_the_store(objects: ContentStore) -> None:
    blobs = [bytes([number]) for number in range(2 * MOST_SEALS)]
    names = [hashlib.sha256(blob).hexdigest() for blob in blobs]
    objects._fs.unwritable = frozenset(names)
    sealed = iter(blobs)
    with pytest.raises(StoreError, match="nothing can be put") as caught:
        objects.put_sealed(next(sealed), lambda: next(sealed))
    assert not isinstance(caught.value, BlobFault)
    assert len(list(sealed)) == MOST_SEALS


def test_store_that_takes_nothing_is_an_error_of_the_store_and_nothing_is_sealed_anew(objects: ContentStore) -> None:
    objects._fs.unwritable = frozenset({objects._root})

    def seal() -> bytes:
        raise AssertionError("sealed anew in vain")

    with pytest.raises(StoreError, match="cannot write to the store") as caught:
        objects.put_sealed(DATA, seal)
    assert not isinstance(caught.value, BlobFault)


# ---------------------------------------------------------------------- folders that refuse


def test_unreadable_file_is_that_blobs_fault_and_is_displaced(
    root: Path, store: ContentStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tests may run as root, who may read everything: the operating system's refusal is played."""
    store.put(DATA)
    inode, opened = place(root).stat().st_ino, os.open

    def refuse(path: str, *flags: int) -> int:
        if os.stat(path).st_ino == inode:  # noqa: PTH116 - what `os.open` is given
            raise PermissionError(13, "Permission denied", path)
        return opened(path, *flags)

    monkeypatch.setattr("deepring_chain.store.backend.os.open", refuse)
    with pytest.raises(BlobUnreadable, match="Permission denied"):
        store.get(DIGEST)
    assert store.put(DATA) == DIGEST
    assert store.get(DIGEST) == DATA


def test_folder_that_lets_nothing_in_blocks_its_blobs_and_no_others(
    root: Path, store: ContentStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed, replace = root / DIGEST.hex()[:2], Path.replace

    def refuse(self: Path, target: str) -> Path:
        if closed in Path(target).parents:
            raise PermissionError(13, "Permission denied", target)
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(BlobBlocked, match="Permission denied"):
        store.put(DATA)
    anew = next(blob for blob in (bytes([n]) for n in range(9)) if hashlib.sha256(blob).hexdigest()[:2] != closed.name)
    assert store.put_sealed(DATA, lambda: anew)[1] == anew
    assert [path.name for path in root.rglob("*.part")] == []


# ---------------------------------------------------------------------- messages


@pytest.mark.parametrize("trap", TRAPS)
def test_what_lies_under_a_messages_name_is_no_message_and_is_displaced(
    root: Path, store: ContentStore, trap: Trap
) -> None:
    (root / "messages").mkdir()
    trap(root / "messages" / "name")
    assert store.pick_up("name") is None
    store.leave("name", b"message")
    assert store.pick_up("name") == b"message"


@pytest.mark.parametrize("trap", IN_PLACE_OF_THE_FOLDER)
def test_what_lies_in_place_of_the_messages_folder_holds_no_message_and_is_displaced(
    root: Path, store: ContentStore, trap: Trap
) -> None:
    trap(root / "messages")
    assert store.pick_up("name") is None
    store.discard("name")
    store.leave("name", b"message")
    assert store.pick_up("name") == b"message"


@pytest.mark.parametrize("trap", TRAPS)
def test_what_cannot_be_discarded_is_left_alone(root: Path, store: ContentStore, trap: Trap) -> None:
    (root / "messages").mkdir()
    trap(root / "messages" / "name")
    store.discard("name")
    assert store.pick_up("name") is None


def test_message_whose_name_is_blocked_is_one_clear_line(objects: ContentStore) -> None:
    objects._fs.unwritable = frozenset({"messages/name"})
    with pytest.raises(StoreError, match="message name cannot be left") as caught:
        objects.leave("name", b"message")
    assert "\n" not in str(caught.value)


def test_mount_that_goes_while_a_blob_is_put_is_the_stores_trouble(
    root: Path, store: ContentStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is sealed anew for it, and no name counts as blocked."""

    def write(_path: str, _data: bytes) -> None:
        shutil.rmtree(root)
        raise Obstacle("no such device")

    monkeypatch.setattr(store._files, "write", write)
    with pytest.raises(StoreError, match="there is no store at") as refused:
        store.put(b"a blob")
    assert not isinstance(refused.value, BlobFault)
