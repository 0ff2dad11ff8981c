"""Atomic writing: the old content or the new, never a part, and nothing left behind."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from deepring_chain.errors import ConfigError
from deepring_chain.files import write_atomic


def test_write_makes_folder_and_file(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "file"
    write_atomic(path, b"content")
    assert path.read_bytes() == b"content"


def test_write_replaces_and_leaves_no_temporary_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomic(path, b"old")
    write_atomic(path, b"new")
    assert path.read_bytes() == b"new"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("mode", [0o600, 0o644])
def test_write_sets_the_mode_whatever_the_umask(tmp_path: Path, mode: int) -> None:
    before = os.umask(0)
    try:
        write_atomic(tmp_path / "file", b"", mode)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == mode


def test_write_secret_is_never_readable_by_others_on_its_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another user watches the folder while a key is written: the temporary file is the owner's alone too."""
    seen: list[int] = []
    flush = os.fsync

    def look(handle: int) -> None:
        seen.extend(stat.S_IMODE(entry.stat().st_mode) for entry in tmp_path.iterdir())
        flush(handle)

    monkeypatch.setattr(os, "fsync", look)
    before = os.umask(0)
    try:
        write_atomic(tmp_path / "key", b"secret", 0o600)
    finally:
        os.umask(before)
    assert seen
    assert set(seen) == {0o600}


def test_write_interrupted_keeps_the_old_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write_atomic(path, b"old")

    def interrupt(handle: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_write_full_disk_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(ConfigError, match=r"file: cannot be written \(No space left on device\)"):
        write_atomic(tmp_path / "file", b"new")
    assert list(tmp_path.iterdir()) == []


def test_write_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ConfigError, match="cannot be written"):
        write_atomic(tmp_path / "file" / "below", b"")


def test_write_over_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(ConfigError, match="cannot be written"):
        write_atomic(tmp_path / "folder", b"")
    assert [entry.name for entry in tmp_path.iterdir()] == ["folder"]
