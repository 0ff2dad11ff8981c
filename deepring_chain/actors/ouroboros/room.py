"""Room for the queries that are served: a bound in bytes, so that strangers fill neither memory nor disk."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Set
from typing import Generic, TypeVar

from deepring_chain.types import Digest, QueryId, TensorBytes

LEAST_BYTES = 64 * 1024
"""What a query takes at least: it has notes, routes and keys, however small its input."""

Asked = tuple[QueryId, Digest]
"""A query and its sealed input: after a reorganization a number may be another query's."""


class Room:
    """Bytes that queries share. Who does not fit waits, and nobody younger goes first. Any thread may ask.

    Args:
        limit: bytes.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._lock = threading.Lock()
        self._taken: dict[Asked, int] = {}
        self._waiting: dict[Asked, int] = {}

    @property
    def taken(self) -> int:
        """Bytes that are taken now."""
        with self._lock:
            return sum(self._taken.values())

    @property
    def waiting(self) -> list[Asked]:
        """Who asked for room and has none yet, oldest first."""
        with self._lock:
            return sorted(self._waiting)

    def size_of(self, asked: Asked) -> int | None:
        """What a query has; None if it has no room."""
        with self._lock:
            return self._taken.get(asked)

    def is_next(self, asked: Asked) -> bool:
        """Whether no older query waits."""
        with self._lock:
            return not any(other < asked for other in self._waiting)

    def enter(self, asked: Asked, weigh: Callable[[], int]) -> bool:
        """Whether the query has room, from now on or from before.

        Args:
            asked: the query.
            weigh: its bytes, asked for once, while it waits.
        """
        with self._lock:
            if asked in self._taken:
                return True
            known = self._waiting.get(asked)
        size = weigh() if known is None else known
        with self._lock:
            is_full = bool(self._taken) and sum(self._taken.values()) + size > self.limit
            if is_full or any(other < asked for other in self._waiting):
                self._waiting[asked] = size
                return False
            self._waiting.pop(asked, None)
            self._taken[asked] = size
            return True

    def take(self, asked: Asked, size: int) -> None:
        """Takes room for a query that is served already, whether there is any or not."""
        with self._lock:
            self._waiting.pop(asked, None)
            self._taken[asked] = size

    def leave(self, asked: Asked) -> None:
        """Gives a query's room back."""
        with self._lock:
            self._taken.pop(asked, None)

    def keep_only(self, queries: Set[Asked]) -> None:
        """Gives back the room of all other queries, and forgets those of them that wait."""
        with self._lock:
            for held in (self._taken, self._waiting):
                for asked in held.keys() - queries:
                    del held[asked]


Key = TypeVar("Key", bound=Hashable)


class TensorCache(Generic[Key]):
    """The tensors that were used last, up to a number of bytes. Any thread may use it.

    Args:
        limit: bytes; a larger tensor is not kept.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._held: OrderedDict[Key, TensorBytes] = OrderedDict()

    @property
    def held(self) -> int:
        """Bytes that are kept now."""
        with self._lock:
            return self._size()

    def get(self, key: Key) -> TensorBytes | None:
        """The tensor under a key, if it is still here."""
        with self._lock:
            if key in self._held:
                self._held.move_to_end(key)
            return self._held.get(key)

    def put(self, key: Key, tensor: TensorBytes) -> None:
        """Keeps a tensor, in place of those that were not used for longest."""
        if len(tensor.data) > self._limit:
            return
        with self._lock:
            self._held[key] = tensor
            self._held.move_to_end(key)
            while self._size() > self._limit:
                self._held.popitem(last=False)

    def drop(self, is_useless: Callable[[Key], bool]) -> None:
        """Forgets the tensors under such keys."""
        with self._lock:
            for key in [key for key in self._held if is_useless(key)]:
                del self._held[key]

    def _size(self) -> int:
        return sum(len(tensor.data) for tensor in self._held.values())
