"""A look at blobs in the background: a store that is slow, lies or is gone costs the pages nothing but a remark."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from deepring_chain.errors import DeepRingError, ModelError
from deepring_chain.model.card import ModelCard
from deepring_chain.store.content import BlobCorrupt, BlobFault, BlobMissing, BlobTooLarge, ContentStore
from deepring_chain.types import ZERO, Pointer

LARGEST_BLOB = 32 * 2**20
"""Bytes; larger blobs are not read for a page."""

LARGEST_CARD = 64 * 2**10
"""Bytes of a model card that is read."""

SLOW_SECONDS = 3.0
"""After this a read counts as not answered."""

LOOK_AGAIN_SECONDS = 20.0
MOST_WAITING = 2_000
THREADS = 3


class BlobState(Enum):
    """What was found under a pointer."""

    NO_STORE = "not looked at: no store was named"
    WAITING = "not looked at yet"
    SLOW = "the store does not answer"
    GOOD = "in the store, and its bytes hash to the pointer"
    MISSING = "not in the store"
    DAMAGED = "in the store with other bytes"
    LARGE = "in the store, too large to look at here"
    OBSTRUCTED = "not in the store: what lies under its name cannot be read"
    UNREADABLE = "the store cannot be read"
    NONE = "no blob: the pointer is zero"

    @property
    def is_bad(self) -> bool:
        """Whether a reader should worry."""
        return self not in {BlobState.NO_STORE, BlobState.WAITING, BlobState.GOOD, BlobState.NONE}


@dataclass(frozen=True)
class Blob:
    """What was found, and how large it is in bytes if it was read; a model card where one was asked for."""

    state: BlobState
    size: int | None = None
    card: ModelCard | None = None


@dataclass
class _Look:
    blob: Blob
    asked: float
    is_running: bool = True


class BlobLooker:
    """Reads blobs in threads of its own and tells what is known so far, at once.

    Args:
        store: the ciphertext store; None if nobody named one.
        clock: seconds that only grow.
        slow_seconds: after which a read counts as not answered.

    """

    def __init__(
        self,
        store: ContentStore | None,
        clock: Callable[[], float] = time.monotonic,
        slow_seconds: float = SLOW_SECONDS,
    ) -> None:
        self._store = store
        self._clock = clock
        self._slow_seconds = slow_seconds
        self._looks: dict[tuple[Pointer, bool], _Look] = {}
        self._waiting: queue.Queue[tuple[Pointer, bool]] = queue.Queue(MOST_WAITING)
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._findings = 0

    @property
    def version(self) -> int:
        """Another number whenever a look at some blob may tell something else."""
        with self._lock:
            return self._findings + sum(self._is_slow(look) for look in self._looks.values())

    def look(self, pointer: Pointer | None, *, as_card: bool = False) -> Blob:
        """What is known of a blob; the first call has it looked at, and a call long after has it looked at again."""
        if pointer is None or pointer == ZERO:
            return Blob(BlobState.NONE)
        if self._store is None:
            return Blob(BlobState.NO_STORE)
        with self._lock:
            return self._known((pointer, as_card))

    def wait(self, seconds: float) -> None:
        """Gives pending reads some time, for callers without a page to fill in later."""
        deadline = self._clock() + seconds
        while self._clock() < deadline:
            with self._lock:
                if not any(look.is_running for look in self._looks.values()):
                    return
            time.sleep(0.01)

    def _known(self, key: tuple[Pointer, bool]) -> Blob:
        look, now = self._looks.get(key), self._clock()
        if look is None:
            look = self._looks[key] = _Look(Blob(BlobState.WAITING), now, is_running=False)
            self._ask(key, look)
        elif not look.is_running and now - look.asked > LOOK_AGAIN_SECONDS:
            self._ask(key, look)
        return Blob(BlobState.SLOW) if self._is_slow(look) else look.blob

    def _is_slow(self, look: _Look) -> bool:
        is_open = look.is_running and look.blob.state is BlobState.WAITING
        return is_open and self._clock() - look.asked > self._slow_seconds

    def _ask(self, key: tuple[Pointer, bool], look: _Look) -> None:
        try:
            self._waiting.put_nowait(key)
        except queue.Full:
            return
        look.asked, look.is_running = self._clock(), True
        if len(self._threads) < THREADS:
            thread = threading.Thread(target=self._read_all, name="blobs", daemon=True)
            self._threads.append(thread)
            thread.start()

    def _read_all(self) -> None:
        while True:
            key = self._waiting.get()
            blob = self._read(*key)
            with self._lock:
                look = self._looks[key]
                self._findings += look.blob != blob
                look.blob, look.is_running = blob, False

    def _read(self, pointer: Pointer, as_card: bool) -> Blob:
        try:
            return read_blob(self._store, pointer, as_card=as_card) if self._store else Blob(BlobState.NO_STORE)
        except Exception:  # noqa: BLE001 - whatever a driver raises, the pages go on without the blob
            return Blob(BlobState.UNREADABLE)


def read_blob(store: ContentStore, pointer: Pointer, *, as_card: bool = False) -> Blob:
    """Reads one blob; whatever is wrong with it is in the answer."""
    try:
        data = store.get(pointer, LARGEST_CARD if as_card else LARGEST_BLOB)
    except BlobMissing:
        return Blob(BlobState.MISSING)
    except BlobCorrupt:
        return Blob(BlobState.DAMAGED)
    except BlobTooLarge as error:
        return Blob(BlobState.LARGE, error.size)
    except BlobFault:
        return Blob(BlobState.OBSTRUCTED)
    except DeepRingError:
        return Blob(BlobState.UNREADABLE)
    return Blob(BlobState.GOOD, len(data), _card(data) if as_card else None)


def _card(data: bytes) -> ModelCard | None:
    try:
        return ModelCard.decode(data)
    except ModelError:
        return None
