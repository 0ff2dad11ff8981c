"""What a worker put into the store in queries that are still open: the store may lose it, and nobody else has it."""

from __future__ import annotations

import shutil
from pathlib import Path

from deepring_chain.crypto.digest import sha256
from deepring_chain.errors import ConfigError
from deepring_chain.types import Pointer, QueryId


class Outbox:
    """Envelopes by query and digest, one file each.

    They are not flushed to the disk: the store's copy is, and this one is a help for when that is lost, no record that
    anything depends on. A file that a crash left damaged counts as none.

    Args:
        folder: the worker's own; made when first needed.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def keep(self, query: QueryId, digest: Pointer, envelope: bytes) -> None:
        """Keeps an envelope until `keep_only` no longer names its query.

        Raises:
            ConfigError: the folder cannot be written.
        """
        path = self._path(query, digest)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(envelope)
        except OSError as error:
            raise ConfigError(
                f"{path}: cannot be written ({error.strerror}); make room, or the folder writable"
            ) from None

    def fetch(self, query: QueryId, digest: Pointer) -> bytes | None:
        """The envelope of this digest, None if it is not here, or not whole."""
        try:
            envelope = self._path(query, digest).read_bytes()
        except OSError:
            return None
        return envelope if sha256(envelope) == digest else None

    def keep_only(self, queries: set[QueryId]) -> None:
        """Removes the envelopes of all other queries, also those from before a restart."""
        if not self._folder.is_dir():
            return
        for held in self._folder.iterdir():
            if int(held.name) not in queries:
                shutil.rmtree(held, ignore_errors=True)

    def _path(self, query: QueryId, digest: Pointer) -> Path:
        return self._folder / str(query) / digest.hex()
