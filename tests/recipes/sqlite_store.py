"""Blobs in one SQLite file, as `sqlite:///path`: the file to copy for a store, as `store/kinds/sqlite_store.py`."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import Any

from fsspec import AbstractFileSystem

from deepring_chain.store.kind import StoreKind


class SqliteFileSystem(AbstractFileSystem):  # type: ignore[misc]  # fsspec has no types
    """What `Backend` asks of a store without folders."""

    protocol = "sqlite"

    def __init__(self, file: str) -> None:
        super().__init__()
        self._file = file
        self._run("CREATE TABLE IF NOT EXISTS blobs (path TEXT PRIMARY KEY, data BLOB)")

    def _run(self, statement: str, *values: Any) -> list[Any]:
        with closing(sqlite3.connect(self._file)) as connection, connection:
            return connection.execute(statement, values).fetchall()

    def _data(self, path: str) -> bytes:
        found = self._run("SELECT data FROM blobs WHERE path = ?", path)
        if not found:
            raise FileNotFoundError(path)
        return bytes(found[0][0])

    def info(self, path: str, **_options: Any) -> dict[str, Any]:
        """Size of a blob; the root is always there."""
        if not path:
            return {"name": path, "size": 0, "type": "directory"}
        return {"name": path, "size": len(self._data(path)), "type": "file"}

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **_options: Any) -> bytes:
        """Bytes of a blob."""
        return self._data(path)[start:end]

    def pipe_file(self, path: str, value: bytes, **_options: Any) -> None:
        """Writes a blob in one transaction."""
        self._run("INSERT OR REPLACE INTO blobs VALUES (?, ?)", path, value)

    def rm_file(self, path: str) -> None:
        """Removes a blob."""
        self._run("DELETE FROM blobs WHERE path = ?", path)


def _open(url: str) -> tuple[SqliteFileSystem, str]:
    return SqliteFileSystem(url.removeprefix("sqlite://")), ""


KIND = StoreKind(frozenset({"sqlite"}), has_folders=False, puts_whole=True, open=_open)
