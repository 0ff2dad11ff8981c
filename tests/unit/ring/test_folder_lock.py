"""The lock on a folder: one holder at a time, freed by the kernel, named in one line."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from deepring_chain.errors import ConfigError
from deepring_chain.ring.folder_lock import LOCK_FILE, FolderLock, locked, owners, refuse_if_owned

HOLD = """
import sys
from pathlib import Path
from deepring_chain.ring.folder_lock import FolderLock
lock = FolderLock.take(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def holder(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that holds a folder until its input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def refused(folder: Path) -> str:
    with pytest.raises(ConfigError) as error:
        FolderLock.take(folder)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_second_holder_is_refused_and_told_the_first_ones_process(tmp_path: Path) -> None:
    with holder(tmp_path) as first:
        assert refused(tmp_path).startswith(f"{tmp_path}: already run by process {first.pid};")
        with pytest.raises(ConfigError, match=f"already run by process {first.pid};"):
            refuse_if_owned(tmp_path)
        assert [owner.pid for owner in owners(tmp_path)] == [first.pid]


def test_lock_dies_with_its_process_however_that_ends(tmp_path: Path) -> None:
    with holder(tmp_path) as first:
        first.send_signal(signal.SIGKILL)
        first.wait()
        refuse_if_owned(tmp_path)
        with locked(tmp_path):
            assert [owner.pid for owner in owners(tmp_path)] == [os.getpid()]
    assert owners(tmp_path) == []


def test_two_locks_within_one_process_exclude_each_other_too(tmp_path: Path) -> None:
    with locked(tmp_path):
        assert f"process {os.getpid()};" in refused(tmp_path)
    with locked(tmp_path):
        pass


def test_child_that_inherits_the_lock_keeps_it_when_its_parent_ends_and_is_named(tmp_path: Path) -> None:
    """As a ring's host does when `deepring up` is killed."""
    code = "import sys; from deepring_chain.ring.folder_lock import FolderLock; "
    code += "FolderLock(int(sys.argv[1])).sign(); print('held', flush=True); sys.stdin.read()"
    lock = FolderLock.take(tmp_path)
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(lock.handle)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        pass_fds=(lock.handle,),
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "held\n"
    assert [owner.pid for owner in owners(tmp_path)] == [os.getpid(), child.pid]
    os.close(lock.handle)  # as the end of this process would
    assert "already run by" in refused(tmp_path)
    child.communicate()
    with locked(tmp_path):
        pass


def test_copy_of_a_folder_that_is_held_is_not_held(tmp_path: Path) -> None:
    original = tmp_path / "one"
    original.mkdir()
    with holder(original):
        copy = Path(shutil.copytree(original, tmp_path / "two"))
        refuse_if_owned(copy)
        with locked(copy):
            pass


def test_link_to_a_folder_is_that_folder(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").symlink_to(tmp_path / "one")
    with holder(tmp_path / "one"):
        assert "already run by" in refused(tmp_path / "two")


@pytest.mark.parametrize("content", [b"", b"\xff\n", b"[]\n", b"{}\n", b'{"pid": 1e999}\n', b"[" * 4000])
def test_damaged_record_names_nobody_and_locks_nobody_out(tmp_path: Path, content: bytes) -> None:
    (tmp_path / LOCK_FILE).write_bytes(content)
    assert owners(tmp_path) == []
    with holder(tmp_path):
        (tmp_path / LOCK_FILE).write_bytes(content)
        assert "already run by another process" in refused(tmp_path)
    with locked(tmp_path):
        pass


def test_number_in_use_by_a_later_process_is_nobody(tmp_path: Path) -> None:
    with locked(tmp_path):
        text = (tmp_path / LOCK_FILE).read_text()
        (tmp_path / LOCK_FILE).write_text(text.replace('"started": "', '"started": "9'))
        assert owners(tmp_path) == []


def test_holder_on_another_machine_is_named_and_hinders_no_early_look(tmp_path: Path) -> None:
    with holder(tmp_path) as first:
        text = (tmp_path / LOCK_FILE).read_text()
        (tmp_path / LOCK_FILE).write_text(text.replace('"machine": "', '"machine": "far-'))
        refuse_if_owned(tmp_path)
        assert f"already run by process {first.pid} on far-" in refused(tmp_path)


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_file_system_without_locks_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def no_locks(_handle: int, _how: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", no_locks)
    told = refused(tmp_path)
    assert "this file system has no locks" in told
    assert told.endswith("move it to a local disk")


def test_folder_that_cannot_be_written_or_is_not_there_is_one_line(tmp_path: Path) -> None:
    (tmp_path / LOCK_FILE).mkdir()
    assert "choose a writable place" in refused(tmp_path)
    assert "there is no such folder" in refused(tmp_path / "absent")
    (tmp_path / "file").touch()
    assert "cannot be opened" in refused(tmp_path / "file")


def test_full_disk_leaves_the_owner_without_a_name_and_the_lock_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_arguments: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "pwrite", full)
    with locked(tmp_path):
        assert "already run by another process" in refused(tmp_path)
