"""What can be wrong with one blob while the store as such works."""

from __future__ import annotations

from deepring_chain.errors import StoreError
from deepring_chain.types import Pointer


class BlobFault(StoreError):
    """One blob is unusable; the store itself works."""


class BlobMissing(BlobFault):
    """The store has no blob under this digest."""

    def __init__(self, digest: Pointer, url: str) -> None:
        self.digest = digest
        super().__init__(f"blob {digest.hex()} is not in the store {url}; ask its writer to put it there again")


class BlobCorrupt(BlobFault):
    """The store returned other bytes than the ones asked for.

    Attributes:
        expected: SHA-256 that was asked for.
        actual: SHA-256 of what the store returned.
    """

    def __init__(self, expected: Pointer, actual: Pointer, url: str) -> None:
        self.expected = expected
        self.actual = actual
        super().__init__(
            f"blob {expected.hex()} in the store {url} is damaged: its bytes hash to {actual.hex()}; "
            "delete it or have its writer put it again"
        )


class BlobUnreadable(BlobFault):
    """Something lies under the digest that cannot be read, while the store as such can.

    Attributes:
        reason: what the driver says.
    """

    def __init__(self, digest: Pointer, reason: str, url: str) -> None:
        self.digest = digest
        self.reason = reason
        super().__init__(
            f"blob {digest.hex()} in the store {url} cannot be read ({reason}); "
            "remove what lies there, or have its writer put it again"
        )


class BlobBlocked(BlobFault):
    """Something lies under the digest that cannot be displaced, while other names can be written to."""

    def __init__(self, digest: Pointer, reason: str, url: str) -> None:
        self.digest = digest
        super().__init__(
            f"blob {digest.hex()} cannot be put into the store {url} ({reason}); remove what is in its way"
        )


class BlobTooLarge(BlobFault):
    """A blob is larger than the caller is ready to hold."""

    def __init__(self, digest: Pointer, size: int, max_bytes: int, url: str) -> None:
        self.digest = digest
        self.size = size
        self.max_bytes = max_bytes
        super().__init__(
            f"blob {digest.hex()} for the store {url} has {size} bytes, more than the {max_bytes} allowed; "
            "split the batch or raise max_bytes"
        )
