"""The ciphertext store: what is put comes back, or an error says what is wrong."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import signal
import sys
import uuid
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deepring_chain.errors import StoreError
from deepring_chain.store.content import BlobCorrupt, BlobMissing, BlobTooLarge, ContentStore
from deepring_chain.types import Digest, Pointer
from tests.waiting import wait_until

DATA = b"a sealed message" * 100
SPAWN = multiprocessing.get_context("spawn")


def sha256(data: bytes) -> Pointer:
    return Pointer(Digest(hashlib.sha256(data).digest()))


def blob_file(root: Path, digest: bytes) -> Path:
    return root / digest.hex()[:2] / digest.hex()


def files_in(root: Path) -> list[Path]:
    return sorted(path for path in root.rglob("*") if path.is_file())


def one_line(error: pytest.ExceptionInfo[StoreError]) -> str:
    text = str(error.value)
    assert "\n" not in text
    return text


@pytest.fixture(params=["path", "file", "memory"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return {
        "path": str(tmp_path / "blobs"),
        "file": f"file://{tmp_path}/blobs",
        "memory": f"memory://{uuid.uuid4().hex}/blobs",
    }[request.param]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "blobs"


@pytest.fixture
def store(root: Path) -> ContentStore:
    return ContentStore(str(root))


def test_put_bytes_come_back_under_their_sha256(url: str) -> None:
    store = ContentStore(url)
    digest = store.put(DATA)
    assert digest == sha256(DATA)
    assert store.get(digest) == DATA
    assert ContentStore(url).get(digest) == DATA


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.binary(max_size=2000))
def test_put_any_bytes_come_back(store: ContentStore, data: bytes) -> None:
    assert store.get(store.put(data)) == data


def test_empty_blob_comes_back(url: str) -> None:
    store = ContentStore(url)
    assert store.get(store.put(b"")) == b""


def test_blob_lies_in_a_folder_named_by_its_first_byte(store: ContentStore, root: Path) -> None:
    digest = store.put(DATA)
    assert files_in(root) == [blob_file(root, digest)]
    assert blob_file(root, digest).read_bytes() == DATA


def test_relative_folder_stays_the_same_when_the_process_moves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store = ContentStore("blobs")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert blob_file(tmp_path / "blobs", store.put(DATA)).is_file()


def test_put_good_blob_again_leaves_the_file_alone(store: ContentStore, root: Path) -> None:
    file = blob_file(root, store.put(DATA))
    before = file.stat()
    store.put(DATA)
    after = file.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


@pytest.mark.parametrize("damaged", [b"x" + DATA[1:], DATA[:-1], DATA + b"x", b""])
def test_put_damaged_blob_again_repairs_it(store: ContentStore, root: Path, damaged: bytes) -> None:
    digest = store.put(DATA)
    blob_file(root, digest).write_bytes(damaged)
    assert store.put(DATA) == digest
    assert store.get(digest) == DATA
    assert files_in(root) == [blob_file(root, digest)]


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(place=st.integers(0, len(DATA) - 1), bit=st.integers(0, 7))
def test_read_flipped_bit_is_refused(store: ContentStore, root: Path, place: int, bit: int) -> None:
    digest = store.put(DATA)
    flipped = DATA[:place] + bytes([DATA[place] ^ 1 << bit]) + DATA[place + 1 :]
    blob_file(root, digest).write_bytes(flipped)
    with pytest.raises(BlobCorrupt) as error:
        store.get(digest)
    assert (error.value.expected, error.value.actual) == (digest, sha256(flipped))
    assert digest.hex() in one_line(error)
    assert sha256(flipped).hex() in one_line(error)


@pytest.mark.parametrize("kept", [0, 1, len(DATA) - 1])
def test_read_truncated_blob_is_refused(store: ContentStore, root: Path, kept: int) -> None:
    digest = store.put(DATA)
    blob_file(root, digest).write_bytes(DATA[:kept])
    with pytest.raises(BlobCorrupt):
        store.get(digest)


def test_read_another_blob_under_the_name_is_refused(store: ContentStore, root: Path) -> None:
    digest, other = store.put(DATA), store.put(DATA + b"!")
    blob_file(root, other).replace(blob_file(root, digest))
    with pytest.raises(BlobCorrupt):
        store.get(digest)


def test_read_absent_blob_names_digest_and_store(url: str) -> None:
    with pytest.raises(BlobMissing) as error:
        ContentStore(url).get(Pointer(sha256(DATA)))
    assert sha256(DATA).hex() in one_line(error)
    assert url in one_line(error)


def test_exists_follows_put(url: str) -> None:
    store = ContentStore(url)
    assert not store.exists(Pointer(sha256(DATA)))
    store.put(DATA)
    assert store.exists(Pointer(sha256(DATA)))
    assert not store.exists(Pointer(sha256(b"other")))


def test_two_stores_do_not_share_blobs(tmp_path: Path) -> None:
    first, second = ContentStore(str(tmp_path / "a")), ContentStore(str(tmp_path / "b"))
    digest = first.put(DATA)
    assert not second.exists(digest)
    second.put(DATA)
    blob_file(tmp_path / "a", digest).unlink()
    assert second.get(digest) == DATA


def test_read_larger_than_the_bound_is_refused_unread(url: str) -> None:
    store = ContentStore(url)
    digest = store.put(DATA)
    assert store.get(digest, max_bytes=len(DATA)) == DATA
    with pytest.raises(BlobTooLarge) as error:
        store.get(digest, max_bytes=len(DATA) - 1)
    assert (error.value.size, error.value.max_bytes) == (len(DATA), len(DATA) - 1)
    one_line(error)


def test_put_larger_than_the_bound_is_refused_and_leaves_nothing(root: Path) -> None:
    with pytest.raises(BlobTooLarge):
        ContentStore(str(root), max_bytes=10).put(bytes(11))
    assert not root.exists()


@pytest.mark.parametrize("name", [b"", bytes(31), bytes(33)])
def test_name_of_another_length_is_refused(store: ContentStore, name: bytes) -> None:
    with pytest.raises(StoreError, match="32 bytes"):
        store.get(Pointer(Digest(name)))


def unusable_roots(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    return {
        "a file": str(tmp_path / "file"),
        "below a file": f"file://{tmp_path}/file/blobs",
        "a loop": str(tmp_path / "loop" / "blobs"),
        "a name too long": str(tmp_path / ("x" * 300)),
        "proc": "/proc/blobs",
    }


UNUSABLE = ["a file", "below a file", "a loop", "a name too long", *["proc"] * Path("/proc/self").exists()]


@pytest.mark.parametrize("kind", UNUSABLE)
@pytest.mark.parametrize("act", [ContentStore.check_writable, lambda store: store.put(DATA)], ids=["check", "put"])
def test_unwritable_store_is_one_clear_line(tmp_path: Path, kind: str, act) -> None:  # type: ignore[no-untyped-def]
    url = unusable_roots(tmp_path)[kind]
    with pytest.raises(StoreError) as error:
        act(ContentStore(url))
    assert url in one_line(error)


def test_check_writable_leaves_nothing_behind(url: str, root: Path) -> None:
    ContentStore(url).check_writable()
    assert files_in(root) == []


@pytest.mark.parametrize("url", ["", "  ", "nonsense://x"])
def test_unknown_url_is_one_clear_line(url: str) -> None:
    with pytest.raises(StoreError) as error:
        ContentStore(url)
    one_line(error)


def test_missing_driver_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(StoreError, match="s3fs") as error:
        ContentStore("s3://bucket/blobs")
    one_line(error)


def test_password_in_the_url_is_not_shown() -> None:
    with pytest.raises(StoreError) as error:
        ContentStore("nonsense://user:hunter2@host/x")
    assert "hunter2" not in one_line(error)


def test_failed_write_leaves_no_blob_and_no_part(
    store: ContentStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_space(*_args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("deepring_chain.store.backend._flush_to_disk", no_space)
    with pytest.raises(StoreError, match="No space left") as error:
        store.put(DATA)
    one_line(error)
    assert files_in(root) == []


def _put_and_hang(url: str, started: str) -> None:
    """A writer that stops right before the rename, with all bytes written."""
    store = ContentStore(url)

    def hang(staged: str, path: str) -> None:
        Path(started).touch()
        signal.pause()

    store._files._place = hang  # type: ignore[method-assign]
    store.put(DATA)


def test_writer_killed_midway_leaves_no_blob_under_the_name(store: ContentStore, root: Path, tmp_path: Path) -> None:
    started = tmp_path / "started"
    writer = SPAWN.Process(target=_put_and_hang, args=(str(root), str(started)))
    writer.start()
    wait_until(started.exists, "all bytes are written")
    os.kill(writer.pid or 0, signal.SIGKILL)
    writer.join()
    assert not store.exists(Pointer(sha256(DATA)))
    assert store.get(store.put(DATA)) == DATA


def _put_repeatedly(url: str, data: bytes, end: str) -> None:
    store = ContentStore(url)
    while not Path(end).exists():
        store.put(data)


def test_concurrent_writers_of_one_blob_never_show_a_partial_one(
    store: ContentStore, root: Path, tmp_path: Path
) -> None:
    data, end = os.urandom(2**20), tmp_path / "end"
    writers = [SPAWN.Process(target=_put_repeatedly, args=(str(root), data, str(end))) for _ in range(3)]
    for writer in writers:
        writer.start()
    seen = 0
    while seen < 10 and all(writer.is_alive() for writer in writers):
        try:
            seen += store.get(Pointer(sha256(data))) == data  # BlobCorrupt here would be a partial blob
            blob_file(root, sha256(data)).unlink(missing_ok=True)  # makes the writers write it again
        except BlobMissing:
            pass
    end.touch()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0, 0, 0]
    assert seen == 10
    store.put(data)
    assert files_in(root) == [blob_file(root, sha256(data))]
