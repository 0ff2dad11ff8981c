"""Following the ledger for the pages: a thread reads, requests see what was read so far and never wait for it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from deepring_chain.audit.storage import read_terms
from deepring_chain.chain.client import LedgerClient
from deepring_chain.errors import DeepRingError
from deepring_chain.explorer.blobs import BlobLooker
from deepring_chain.explorer.record import Record
from deepring_chain.explorer.text import Names, clean
from deepring_chain.explorer.witness import read_witness
from deepring_chain.follow.history import HistoryReader

LOG = logging.getLogger(__name__)

POLL_SECONDS = 0.25
"""Between two looks at the chain."""

PATIENCE_SECONDS = 2.0
"""Between two looks at a node that failed."""


@dataclass(frozen=True)
class Source:
    """Where the record is read: no key, no ring folder.

    Attributes:
        client: a connection without an account.
        first_block: the ledger's.
        names: what to call the members.
        where: node and store as the reader named them, without passwords and paths, which may hold keys.
    """

    client: LedgerClient
    first_block: int
    names: Names
    where: str = ""


class RecordReader:
    """Reads the chain into a record, each event once; after a reorganization all of it anew."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._terms = read_terms(source.client)
        self.history = HistoryReader(source.client, source.first_block)
        self.record = Record(self._terms)

    def refresh(self, lock: threading.Lock) -> Iterator[int]:
        """Takes in what is new, piece by piece; the lock is held only while the record changes.

        Yields:
            How many events the piece had.

        Raises:
            ChainError: the node fails.
        """
        if self.history.is_gone():
            LOG.warning("the chain was reorganized; reading it anew")
            with lock:
                self.history = HistoryReader(self._source.client, self._source.first_block)
                self.record = Record(self._terms)
        for entries in self.history.read():
            witnesses = [read_witness(self._source.client, entry) for entry in entries]
            with lock:
                for entry, witness in zip(entries, witnesses, strict=True):
                    self.record.add(entry, witness)
            yield len(entries)

    def read_all(self) -> Record:
        """Everything up to now."""
        for _ in self.refresh(threading.Lock()):
            pass
        return self.record


class Watcher:
    """Keeps a record up to date from a thread of its own.

    Attributes:
        source, blobs: where the record comes from, and what its pointers lead to.
    """

    def __init__(self, source: Source, blobs: BlobLooker) -> None:
        self.source, self.blobs = source, blobs
        self._reader = RecordReader(source)
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._version = 0
        self._trouble = ""
        self._shown_behind = 0
        self._thread = threading.Thread(target=self._follow, name="watcher", daemon=True)

    def start(self) -> None:
        """Begins to read."""
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread, which may hang in a request for some seconds; nobody waits for that."""
        self._stopped.set()
        self._thread.join(1.0)

    @property
    def version(self) -> str:
        """Another text whenever a page may look different."""
        return f"{self._version}.{self.blobs.version}"

    @contextmanager
    def reading(self) -> Iterator[tuple[Record, Sequence[str]]]:
        """The record, which does not change meanwhile, and what the reader should know about its reading."""
        with self._lock:
            yield self._reader.record, self._remarks()

    def _remarks(self) -> list[str]:
        behind = self._behind()
        reading = [f"Still reading: {behind:,} blocks to go."] if behind > 1 and not self._trouble else []
        return [*([self._trouble] if self._trouble else []), *reading]

    def _behind(self) -> int:
        """Blocks that are known and not read."""
        history = self._reader.history
        read = history.cursor.number if history.cursor else self.source.first_block - 1
        return max(0, history.newest - read)

    def _follow(self) -> None:
        while not self._stopped.is_set():
            trouble = self._look()
            if trouble != self._trouble:
                self._trouble, self._version = trouble, self._version + 1
            self._stopped.wait(PATIENCE_SECONDS if trouble else POLL_SECONDS)

    def _look(self) -> str:
        """One look; what went wrong, in a line."""
        try:
            for count in self._reader.refresh(self._lock):
                progress = self._behind()
                self._version += bool(count) or progress != self._shown_behind
                self._shown_behind = progress
        except DeepRingError as error:
            return clean(str(error))
        except Exception as error:  # noqa: BLE001 - a node can answer anything; the page must go on to say so
            return f"The node's answers cannot be used ({type(error).__name__}); name another one."
        return ""
