"""An actor's write-ahead record: what it signed or drew, on disk before it leaves the process.

A worker that was killed between signing and posting posts the very same update again, never a second one for the same
place (SQLite with full synchronization; one row, one fsync).
"""

from __future__ import annotations

import sqlite3
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from deepring_chain.errors import ConfigError

CACHE_KIB = 256
"""Of the file that SQLite keeps in memory: old records are hardly ever read again."""

_SCHEMA = "CREATE TABLE IF NOT EXISTS record (key TEXT PRIMARY KEY, payload BLOB NOT NULL) WITHOUT ROWID"


class Journal:
    """Records that are written once and never changed. Any thread may use it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch(mode=0o600, exist_ok=True)
            self._database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            self._database.execute("PRAGMA journal_mode=WAL")
            self._database.execute("PRAGMA synchronous=FULL")
            self._database.execute(f"PRAGMA cache_size=-{CACHE_KIB}")
            self._database.execute(_SCHEMA)
        except (OSError, sqlite3.Error, ValueError) as error:  # a ValueError: a text that is no UTF-8
            raise ConfigError(
                f"{path}: unusable journal ({_one_line(error)}); restore it, or use another folder"
            ) from None

    def read(self, key: str) -> bytes | None:
        """The record under `key`, if there is one."""
        rows = self._execute("SELECT payload FROM record WHERE key = ?", (key,))
        if rows and type(rows[0][0]) is not bytes:
            raise ConfigError(f"{self._path}: damaged journal (record {key}); restore it")
        return rows[0][0] if rows else None

    def size(self, key: str) -> int | None:
        """Bytes of the record under `key`, unread; None if there is none."""
        rows = self._execute("SELECT length(payload) FROM record WHERE key = ?", (key,))
        return rows[0][0] if rows else None

    def record_once(self, key: str, make: Callable[[], bytes]) -> bytes:
        """The record under `key`; made by `make` and flushed to disk if there was none.

        Of two processes or threads that make one at a time the first to write wins, and both get its record.
        """
        known = self.read(key)
        if known is not None:
            return known
        payload = make()
        self._execute("INSERT INTO record (key, payload) VALUES (?, ?) ON CONFLICT DO NOTHING", (key, payload))
        recorded = self.read(key)
        return payload if recorded is None else recorded

    def forget(self, key: str) -> None:
        """Removes a record, such as a key that opens nothing any more."""
        self._execute("DELETE FROM record WHERE key = ?", (key,))

    def keys(self, prefix: str) -> list[str]:
        """All keys that begin with `prefix`."""
        # A range of the primary key; a condition on a part of the key would read the whole journal, which only grows.
        last = prefix + chr(sys.maxunicode)
        rows = self._execute("SELECT key FROM record WHERE key >= ? AND key <= ?", (prefix, last))
        return [row[0] for row in rows]

    def close(self) -> None:
        """Closes the file."""
        with self._lock:
            self._database.close()

    def _execute(self, statement: str, values: tuple[object, ...]) -> list[tuple[Any, ...]]:
        try:
            with self._lock:
                return self._database.execute(statement, values).fetchall()
        except (sqlite3.Error, ValueError) as error:
            raise ConfigError(f"{self._path}: journal failed ({_one_line(error)}); check the disk") from None


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
