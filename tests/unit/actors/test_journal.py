"""The write-ahead record: written once, never changed, there after a crash, and nobody else's to read."""

from __future__ import annotations

import sqlite3
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from deepring_chain.actors.journal import Journal
from deepring_chain.errors import ConfigError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "actor" / "journal.sqlite"


def never() -> bytes:
    raise AssertionError("made again")


def give(payload: bytes) -> Callable[[], bytes]:
    return lambda: payload


def test_record_is_made_once_and_kept(path: Path) -> None:
    journal = Journal(path)
    assert journal.read("key") is None
    assert journal.record_once("key", give(b"first")) == b"first"
    assert journal.record_once("key", never) == b"first"
    assert journal.read("key") == b"first"


@pytest.mark.parametrize("payload", [b"", b"\0", bytes(range(256)) * 1000])
def test_record_survives_a_restart(path: Path, payload: bytes) -> None:
    first = Journal(path)
    first.record_once("key", give(payload))
    first.close()
    assert Journal(path).record_once("key", never) == payload


def test_record_is_on_disk_before_it_is_returned(path: Path) -> None:
    """The process is killed the moment it has its record: another one finds it, with nothing closed or flushed."""
    journal = Journal(path)
    journal.record_once("key", give(b"signed"))
    with sqlite3.connect(path) as other:
        assert other.execute("SELECT payload FROM record").fetchall() == [(b"signed",)]
    (mode,) = journal._database.execute("PRAGMA synchronous").fetchone()
    assert mode == 2  # FULL
    assert journal.read("key") == b"signed"


def test_failure_to_make_leaves_no_record(path: Path) -> None:
    journal = Journal(path)
    with pytest.raises(AssertionError):
        journal.record_once("key", never)
    assert journal.read("key") is None
    assert journal.record_once("key", give(b"later")) == b"later"


def test_two_processes_see_one_record(path: Path) -> None:
    first, second = Journal(path), Journal(path)
    assert first.record_once("key", give(b"first")) == b"first"
    assert second.record_once("key", never) == b"first"
    assert second.record_once("other", give(b"second")) == b"second"
    assert first.read("other") == b"second"


def test_two_processes_that_make_one_at_a_time_get_the_same(path: Path) -> None:
    """A worker was started twice by mistake: both sign, and only what the first has written may be posted."""
    first, second = Journal(path), Journal(path)

    def slow() -> bytes:
        assert second.record_once("key", give(b"second")) == b"second"
        return b"first"

    assert first.record_once("key", slow) == b"second"
    assert first.read("key") == second.read("key") == b"second"


def test_forgotten_record_is_gone_and_can_be_made_again(path: Path) -> None:
    journal = Journal(path)
    journal.record_once("key", give(b"old"))
    journal.forget("key")
    journal.forget("never there")
    assert journal.read("key") is None
    assert journal.record_once("key", give(b"new")) == b"new"


def test_keys_are_those_with_the_prefix(path: Path) -> None:
    journal = Journal(path)
    for key in ("a/1", "a/10", "b/1", "ab", "a", "A/1", "a%", "a_"):
        journal.record_once(key, give(b""))
    assert sorted(journal.keys("a/")) == ["a/1", "a/10"]
    assert sorted(journal.keys("a%")) == ["a%"]
    assert sorted(journal.keys("a_")) == ["a_"]
    assert journal.keys("c") == []
    assert len(journal.keys("")) == 8


def test_keys_are_data_not_statements(path: Path) -> None:
    journal = Journal(path)
    key = "x'); DROP TABLE record; --"
    journal.record_once(key, give(b"kept"))
    assert journal.read(key) == b"kept"


def test_journal_is_the_owners_alone(path: Path) -> None:
    """Another user of the machine reads the keys and draws in a journal."""
    journal = Journal(path)
    journal.record_once("key", give(b"secret"))
    modes = {entry.name: stat.S_IMODE(entry.stat().st_mode) for entry in path.parent.iterdir()}
    assert set(modes.values()) == {0o600}
    assert path.name in modes


@pytest.mark.parametrize("content", [b"not a database", b"\0" * 4096, b"SQLite format 3\0" + b"\xff" * 4080])
def test_damaged_journal_is_refused(path: Path, content: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="unusable journal"):
        Journal(path)


def test_journal_with_damaged_pages_is_refused_when_read(path: Path) -> None:
    journal = Journal(path)
    for number in range(50):
        journal.record_once(f"key/{number}", give(bytes([number]) * 500))
    journal.close()
    data = path.read_bytes()
    path.write_bytes(data[:4096] + b"\xff" * (len(data) - 4096))
    with pytest.raises(ConfigError, match="journal"):
        Journal(path).keys("key/")


def test_journal_in_place_of_a_folder_is_refused(path: Path) -> None:
    path.mkdir(parents=True)
    with pytest.raises(ConfigError, match="unusable journal"):
        Journal(path)


def test_journal_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ConfigError, match="unusable journal"):
        Journal(tmp_path / "file" / "journal.sqlite")


def test_journal_that_another_process_locks_is_one_line(path: Path) -> None:
    journal = Journal(path)
    journal._database.execute("PRAGMA busy_timeout=10")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(ConfigError, match=r"journal failed .*locked"):
        journal.record_once("key", give(b""))
    other.execute("ROLLBACK")
    assert journal.record_once("key", give(b"then")) == b"then"
