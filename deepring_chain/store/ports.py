"""What actors need of a blob store, as a protocol: whoever keeps blobs elsewhere implements this."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from deepring_chain.types import Pointer


class BlobStore(Protocol):
    """Blobs under their SHA-256, and small messages under names.

    What is wrong with one blob is a `BlobFault`; a store that is away is any other `StoreError`.

    Attributes:
        url: where it is, without secrets.
        max_bytes: the largest blob that it takes.
    """

    url: str
    max_bytes: int

    def put(self, data: bytes) -> Pointer:
        """Store a blob, in place of whatever lies under its name."""

    def put_sealed(self, blob: bytes, seal_anew: Callable[[], bytes]) -> tuple[Pointer, bytes]:
        """Store a blob; if its name is blocked, what `seal_anew` makes. Return what was stored."""

    def get(self, digest: Pointer, max_bytes: int | None = None) -> bytes:
        """The blob, whose bytes hash to the digest."""

    def size(self, digest: Pointer) -> int:
        """Bytes of a blob, unread."""

    def has_good(self, digest: Pointer) -> bool:
        """Say whether the blob lies there, whole and undamaged."""

    def leave(self, name: str, message: bytes) -> None:
        """Leave a message under a name."""

    def pick_up(self, name: str) -> bytes | None:
        """The message under a name, if a readable one is there."""

    def discard(self, name: str) -> None:
        """Remove a message, if that can be."""
