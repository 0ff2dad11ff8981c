"""Content-addressed store of ciphertexts: a blob's name is the SHA-256 of its bytes, checked on every read.

The store is not trusted. A reader either gets the very bytes whose digest the ledger names, or an error that says
which blob, where, and what was found instead. Blobs lie at `<root>/<first byte>/<64 hex digits>`.

An error is the whole store's if its root, probed after it, fails too; else it is that one blob's (`BlobFault`). Whoever
may write to the store can plant a folder, a pipe or a file without access under any name, and nothing of it may count
as an outage that everybody waits for (docs/adr/0028).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from deepring_chain.errors import StoreError
from deepring_chain.store.backend import Backend, Obstacle, one_line
from deepring_chain.store.faults import (
    BlobBlocked,
    BlobCorrupt,
    BlobFault,
    BlobMissing,
    BlobTooLarge,
    BlobUnreadable,
)
from deepring_chain.types import Digest, Pointer

__all__ = [
    "BlobBlocked",
    "BlobCorrupt",
    "BlobFault",
    "BlobMissing",
    "BlobTooLarge",
    "BlobUnreadable",
    "ContentStore",
]

MAX_BLOB_BYTES = 256 * 2**20
"""Largest blob that is written or read unless the caller says otherwise."""

MAX_MESSAGE_BYTES = 4096
"""Largest message that `leave` takes."""

MOST_SEALS = 4
"""A blob is sealed so often before it counts as the store's failure that none can be written."""


class ContentStore:
    """Blobs under their SHA-256, on any file system that fsspec knows.

    A folder in which something was found or written before, and which is gone, is an error of the store: its blobs are
    not missing. So is one that is empty, and not the folder that it was: a mount that is gone leaves such a one. That
    is all that counts as *away*. Who may only write in the root can neither take it away nor make another one of it.

    Args:
        url: a folder: plain path, `file://`, `memory://`, or `s3://bucket/prefix` with s3fs installed. It is made
            on the first write.
        max_bytes: largest blob that `put` takes, and that `get` returns by default.

    Raises:
        StoreError: the URL names no known file system, or its driver is not installed.
    """

    def __init__(self, url: str, max_bytes: int = MAX_BLOB_BYTES) -> None:
        self._files = Backend(url)
        self._fs, self._root = self._files.fs, self._files.root
        self.url = self._files.url
        self.max_bytes = max_bytes
        self._was_used = False  # something was found or written
        self._identity: object = None  # of the root, when that was so last

    def put(self, data: bytes) -> Pointer:
        """Store bytes, once, and return their digest.

        A reader sees the whole blob or none, also when the writer is killed midway. A good blob is left as it is;
        whatever else lies there is displaced.

        Raises:
            BlobTooLarge: there are more than `max_bytes` bytes.
            BlobBlocked: what lies there cannot be displaced.
            StoreError: the store cannot be read or written.
        """
        digest = Pointer(Digest(hashlib.sha256(data).digest()))
        if len(data) > self.max_bytes:
            raise BlobTooLarge(digest, len(data), self.max_bytes, self.url)
        if not self.has_good(digest):
            try:
                self._write(self._path(digest), data)
            except Obstacle as obstacle:
                raise BlobBlocked(digest, str(obstacle), self.url) from obstacle
        return digest

    def put_sealed(self, blob: bytes, seal_anew: Callable[[], bytes]) -> tuple[Pointer, bytes]:
        """Store a sealed blob; where its name is blocked, what `seal_anew` makes, which has another name.

        To be called before anything is signed or recorded that names the blob.

        Returns:
            The digest, and the blob that was stored.

        Raises:
            BlobTooLarge: it has more than `max_bytes` bytes.
            StoreError: the store cannot be read or written, or each of `MOST_SEALS` names is blocked.
        """
        for _ in range(MOST_SEALS - 1):
            with suppress(BlobBlocked):
                return self.put(blob), blob
            blob = seal_anew()
        try:
            return self.put(blob), blob
        except BlobBlocked as blocked:
            raise StoreError(f"nothing can be put into the store {self.url}; last: {blocked}") from blocked

    def get(self, digest: Pointer, max_bytes: int | None = None) -> bytes:
        """Read the bytes whose SHA-256 is `digest`.

        Args:
            digest: 32 bytes.
            max_bytes: largest blob to accept; the store's own bound if None. Larger ones are refused unread.

        Raises:
            BlobMissing: there is no such blob.
            BlobTooLarge: it is larger than `max_bytes`.
            BlobCorrupt: its bytes have another digest.
            BlobUnreadable: something lies there that cannot be read.
            StoreError: the store cannot be read.
        """
        limit = self.max_bytes if max_bytes is None else max_bytes
        with suppress(BlobUnreadable):  # what passes at the second try was no fault of the blob
            return self._read(digest, limit)
        return self._read(digest, limit)

    def exists(self, digest: Pointer) -> bool:
        """Say whether a file lies under this digest; only `get` tells whether it is good.

        Raises:
            BlobUnreadable: something else lies there.
            StoreError: the store cannot be read.
        """
        try:
            self.size(digest)
        except BlobMissing:
            return False
        return True

    def size(self, digest: Pointer) -> int:
        """Bytes that lie under this digest, good or not.

        Raises:
            BlobMissing: there is no such blob.
            BlobUnreadable: something else lies there.
            StoreError: the store cannot be read.
        """
        with self._reading(digest):
            return self._files.size(self._path(digest))

    def leave(self, name: str, message: bytes) -> None:
        """Leave a small message under a name, in place of an earlier one. Nothing vouches for it but what it says.

        Args:
            name: of lower-case letters, digits and dashes.
            message: at most `MAX_MESSAGE_BYTES`.

        Raises:
            StoreError: an unusable name or message, or the store cannot be written, or not under this name.
        """
        if len(message) > MAX_MESSAGE_BYTES:
            raise StoreError(f"a message of {len(message)} bytes; the store {self.url} takes {MAX_MESSAGE_BYTES}")
        try:
            self._write(self._message_path(name), message)
        except Obstacle as obstacle:
            raise StoreError(
                f"message {name} cannot be left in the store {self.url} ({obstacle}); remove what is in its way"
            ) from obstacle

    def pick_up(self, name: str) -> bytes | None:
        """The message under a name, unverified; None if there is none, or nothing that can be read as one.

        Whoever can write there can leave a folder, a pipe or a link to an endless file under the name. Nor is it an
        error that the store is away: nobody waits for a message alone.
        """
        path = self._message_path(name)
        try:
            size = self._files.size(path)
            if self._files.is_link(path) or not 0 < size <= MAX_MESSAGE_BYTES:
                return None
            return self._files.read(path, size)
        except Exception:  # noqa: BLE001 - drivers raise their own libraries' types
            return None

    def discard(self, name: str) -> None:
        """Remove the message under a name, if there is one; what cannot be removed stays."""
        path = self._message_path(name)
        with suppress(Exception):
            self._fs.rm_file(path)

    def _message_path(self, name: str) -> str:
        if re.fullmatch(r"[a-z0-9][a-z0-9-]{0,199}", name) is None:
            raise StoreError(f"a message of the store {self.url} cannot be named {name[:40]!r}")
        return f"{self._root}/messages/{name}"

    def check_writable(self) -> None:
        """Write and remove a probe, so that an unusable store is found before any work is done.

        Raises:
            StoreError: the store cannot be written, or not be read.
        """
        with self._writing():
            self._files.probe()
        self._check_there(was_refused=True)

    def check_readable(self) -> None:
        """Look at the store's root, which is there from the first write on.

        Raises:
            StoreError: nothing is there, or it cannot be read.
        """
        try:
            with self._driver("read", "check that it is a folder you may read"):
                self._fs.info(self._root)
        except FileNotFoundError:
            raise StoreError(f"there is no store at {self.url}; bring it back, or name the right place") from None

    def has_good(self, digest: Pointer) -> bool:
        """Say whether the blob lies there, whole and undamaged.

        Raises:
            StoreError: the store cannot be read.
        """
        try:
            self.get(digest)
        except BlobFault:
            return False
        return True

    def _path(self, digest: Pointer) -> str:
        if len(digest) != hashlib.sha256().digest_size:
            raise StoreError(
                f"a blob of the store {self.url} is named by 32 bytes, not by {len(digest)}; pass a SHA-256"
            )
        return f"{self._root}/{digest.hex()[:2]}/{digest.hex()}"

    def _read(self, digest: Pointer, limit: int) -> bytes:
        path = self._path(digest)
        with self._reading(digest):
            size = self._files.size(path)
            if size > limit:
                raise BlobTooLarge(digest, size, limit, self.url)
            data = self._files.read(path, size)
        actual = Pointer(Digest(hashlib.sha256(data).digest()))
        if actual != digest:
            raise BlobCorrupt(digest, actual, self.url)
        return data

    @contextmanager
    def _reading(self, digest: Pointer) -> Iterator[None]:
        """Whatever a driver raises at a blob's name is that blob's fault, unless the root fails too."""
        try:
            yield
        except BlobFault:
            raise
        except FileNotFoundError:
            self._check_there()
            raise BlobMissing(digest, self.url) from None
        except Exception as error:  # drivers raise their own libraries' types, not only OSError
            self._check_there(was_refused=True)
            raise BlobUnreadable(digest, one_line(error), self.url) from error
        self._note_used()

    def _check_there(self, *, was_refused: bool = False) -> None:
        """Probes the root: if it was there and is gone, such as a mount, nobody is to be blamed for its blobs.

        Args:
            was_refused: something was not absent, but refused. The root may be what refuses, also one that was never
                found before.

        Raises:
            StoreError: it is gone or cannot be read; or another folder is there in its place, and empty.
        """
        if self._files.has_folders:
            if self._was_used or was_refused:
                self._check_folder()
        elif was_refused or not self._files.tells_missing:
            with self._driver("read", "check that you may list and read it"):
                self._files.answers()

    def _check_folder(self) -> None:
        self.check_readable()
        if self._is_emptied():
            raise StoreError(f"nothing is left in the store {self.url}; bring it back, or name the right place")

    def _is_emptied(self) -> bool:
        """Whether an empty folder is there that is not the one that was, as far as the file system tells them apart.

        The same folder, emptied, has lost its blobs: whoever may delete them cannot have the store count as away.
        """
        try:
            with self._driver("read", "check that it is a folder you may read"):
                is_empty = self._files.is_empty()
        except FileNotFoundError:  # the root itself went meanwhile
            return True
        return is_empty and self._was_used and (self._identity is None or self._identity != self._files.identity())

    def _note_used(self) -> None:
        self._was_used, self._identity = True, self._files.identity()

    def _write(self, path: str, data: bytes) -> None:
        with self._writing():
            self._files.write(path, data)
        self._note_used()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        if self._files.has_folders:
            self._check_there()  # what is gone is not made anew
        try:
            with self._driver("write to", "choose a folder that you may write to, or free some space"):
                yield
        except FileNotFoundError as error:
            raise StoreError(f"cannot write to the store {self.url}: {one_line(error)}; create it first") from error
        except Obstacle:
            self._check_there(was_refused=True)
            raise

    @contextmanager
    def _driver(self, action: str, advice: str) -> Iterator[None]:
        """Turn whatever a driver raises into one line; a missing file or an obstacle is left for the caller to name."""
        try:
            yield
        except (FileNotFoundError, Obstacle):
            raise
        except Exception as error:  # drivers raise their own libraries' types, not only OSError
            raise StoreError(f"cannot {action} the store {self.url}: {one_line(error)}; {advice}") from error
