"""Content-addressed store of ciphertexts: a blob's name is the SHA-256 of its bytes, checked on every read.

The store is not trusted. A reader either gets the very bytes whose digest the ledger names, or an error that says
which blob, where, and what was found instead. Blobs lie at `<root>/<first byte>/<64 hex digits>`.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import fsspec

from deepring_chain.errors import StoreError
from deepring_chain.types import Digest

MAX_BLOB_BYTES = 256 * 2**20
"""Largest blob that is written or read unless the caller says otherwise."""

MAX_MESSAGE_BYTES = 4096
"""Largest message that `leave` takes."""

# One PUT of these stores shows the whole object or nothing, and they have no cheap rename.
_OBJECT_STORES = frozenset({"memory", "s3", "s3a", "gs", "gcs", "az", "abfs", "abfss"})

# These have no folder that could be there or away; a web server tells its files, mostly, and lists none.
_WITHOUT_FOLDERS = _OBJECT_STORES | {"http", "https"}


class BlobFault(StoreError):
    """One blob is unusable; the store itself works."""


class BlobMissing(BlobFault):
    """The store has no blob under this digest."""

    def __init__(self, digest: Digest, url: str) -> None:
        self.digest = digest
        super().__init__(f"blob {digest.hex()} is not in the store {url}; ask its writer to put it there again")


class BlobCorrupt(BlobFault):
    """The store returned other bytes than the ones asked for.

    Attributes:
        expected: SHA-256 that was asked for.
        actual: SHA-256 of what the store returned.
    """

    def __init__(self, expected: Digest, actual: Digest, url: str) -> None:
        self.expected = expected
        self.actual = actual
        super().__init__(
            f"blob {expected.hex()} in the store {url} is damaged: its bytes hash to {actual.hex()}; "
            "delete it or have its writer put it again"
        )


class BlobTooLarge(BlobFault):
    """A blob is larger than the caller is ready to hold."""

    def __init__(self, digest: Digest, size: int, max_bytes: int, url: str) -> None:
        self.digest = digest
        self.size = size
        self.max_bytes = max_bytes
        super().__init__(
            f"blob {digest.hex()} for the store {url} has {size} bytes, more than the {max_bytes} allowed; "
            "split the batch or raise max_bytes"
        )


class ContentStore:
    """Blobs under their SHA-256, on any file system that fsspec knows.

    A folder in which something was found or written before, and which is gone, is an error of the store: its blobs are
    not missing.

    Args:
        url: a folder: plain path, `file://`, `memory://`, or `s3://bucket/prefix` with s3fs installed. It is made
            on the first write.
        max_bytes: largest blob that `put` takes, and that `get` returns by default.

    Raises:
        StoreError: the URL names no known file system, or its driver is not installed.
    """

    def __init__(self, url: str, max_bytes: int = MAX_BLOB_BYTES) -> None:
        self.url = _without_password(url)
        self.max_bytes = max_bytes
        self._fs, root = _open_file_system(url, self.url)
        self._root = root.rstrip("/")
        self._seen = ""  # where something was found or written

    def put(self, data: bytes) -> Digest:
        """Store bytes, once, and return their digest.

        A reader sees the whole blob or none, also when the writer is killed midway. A good blob is left as it is;
        a damaged one is replaced.

        Raises:
            BlobTooLarge: there are more than `max_bytes` bytes.
            StoreError: the store cannot be read or written.
        """
        digest = Digest(hashlib.sha256(data).digest())
        if len(data) > self.max_bytes:
            raise BlobTooLarge(digest, len(data), self.max_bytes, self.url)
        if not self.has_good(digest):
            self._write(self._path(digest), data)
        return digest

    def get(self, digest: Digest, max_bytes: int | None = None) -> bytes:
        """Read the bytes whose SHA-256 is `digest`.

        Args:
            digest: 32 bytes.
            max_bytes: largest blob to accept; the store's own bound if None. Larger ones are refused unread.

        Raises:
            BlobMissing: there is no such blob.
            BlobTooLarge: it is larger than `max_bytes`.
            BlobCorrupt: its bytes have another digest.
            StoreError: the store cannot be read.
        """
        limit = self.max_bytes if max_bytes is None else max_bytes
        data = self._read(digest, limit)
        actual = Digest(hashlib.sha256(data).digest())
        if actual != digest:
            raise BlobCorrupt(digest, actual, self.url)
        return data

    def exists(self, digest: Digest) -> bool:
        """Say whether something lies under this digest; only `get` tells whether it is good.

        Raises:
            StoreError: the store cannot be read.
        """
        try:
            self._size(digest)
        except BlobMissing:
            return False
        return True

    def size(self, digest: Digest) -> int:
        """Bytes that lie under this digest, good or not.

        Raises:
            BlobMissing: there is no such blob.
            StoreError: the store cannot be read.
        """
        return self._size(digest)

    def leave(self, name: str, message: bytes) -> None:
        """Leave a small message under a name, in place of an earlier one. Nothing vouches for it but what it says.

        Args:
            name: of lower-case letters, digits and dashes.
            message: at most `MAX_MESSAGE_BYTES`.

        Raises:
            StoreError: an unusable name or message, or the store cannot be written.
        """
        if len(message) > MAX_MESSAGE_BYTES:
            raise StoreError(f"a message of {len(message)} bytes; the store {self.url} takes {MAX_MESSAGE_BYTES}")
        self._write(self._message_path(name), message)

    def pick_up(self, name: str) -> bytes | None:
        """The message under a name, unverified; None if there is none, or no file of a message's length.

        Whoever can write there can leave a folder, a pipe or a link to an endless file under the name.

        Raises:
            StoreError: the store cannot be read.
        """
        path = self._message_path(name)
        try:
            with self._driver("read", "check that it is a folder you may read"):
                found = self._fs.info(path)
                size = int(found["size"])
                if found.get("type", "file") != "file" or found.get("islink") or not 0 < size <= MAX_MESSAGE_BYTES:
                    return None
                return bytes(self._fs.cat_file(path, start=0, end=size))
        except FileNotFoundError:
            return None

    def discard(self, name: str) -> None:
        """Remove the message under a name, if there is one.

        Raises:
            StoreError: the store cannot be written.
        """
        with suppress(FileNotFoundError), self._driver("remove a message from", "make the folder writable"):
            self._fs.rm_file(self._message_path(name))

    def _message_path(self, name: str) -> str:
        if re.fullmatch(r"[a-z0-9][a-z0-9-]{0,199}", name) is None:
            raise StoreError(f"a message of the store {self.url} cannot be named {name[:40]!r}")
        return f"{self._root}/messages/{name}"

    def check_writable(self) -> None:
        """Write and remove a probe, so that an unusable store is found before any work is done.

        Raises:
            StoreError: the store cannot be written.
        """
        probe = f"{self._root}/.probe-{secrets.token_hex(8)}"
        self._write(probe, b"probe")
        with self._driver("remove a probe from", "make the folder writable"):
            self._fs.rm_file(probe)

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

    def has_good(self, digest: Digest) -> bool:
        """Say whether the blob lies there, whole and undamaged.

        Raises:
            StoreError: the store cannot be read.
        """
        try:
            self.get(digest)
        except (BlobMissing, BlobCorrupt, BlobTooLarge):
            return False
        return True

    def _path(self, digest: Digest) -> str:
        if len(digest) != hashlib.sha256().digest_size:
            raise StoreError(
                f"a blob of the store {self.url} is named by 32 bytes, not by {len(digest)}; pass a SHA-256"
            )
        return f"{self._root}/{digest.hex()[:2]}/{digest.hex()}"

    def _size(self, digest: Digest) -> int:
        path = self._path(digest)
        try:
            with self._driver("read", "check that it is a folder you may read"):
                size = int(self._fs.info(path)["size"])
        except FileNotFoundError:
            self._check_there()
            raise BlobMissing(digest, self.url) from None
        self._note_seen(path)
        return size

    def _check_there(self) -> None:
        """A folder that was there and is gone, such as a mount, has lost nothing: nobody is to be blamed for its blobs.

        Raises:
            StoreError: it is gone, or all that was in it: a mount leaves an empty folder.
        """
        if not self._seen or _protocols(self._fs) & _WITHOUT_FOLDERS:
            return
        self.check_readable()
        if self._is_emptied():
            raise StoreError(f"nothing is left in the store {self.url}; bring it back, or name the right place")

    def _is_emptied(self) -> bool:
        try:
            with self._driver("read", "check that it is a folder you may read"):
                return not self._fs.exists(self._seen) and not self._fs.ls(self._root, detail=False)
        except FileNotFoundError:  # the root itself went meanwhile
            return True

    def _note_seen(self, path: str) -> None:
        """Remembers a folder within the root, which stays when what is in it goes; the root where there is none."""
        if self._seen in ("", self._root):
            self._seen = path.rpartition("/")[0]

    def _read(self, digest: Digest, limit: int) -> bytes:
        size = self._size(digest)
        if size > limit:
            raise BlobTooLarge(digest, size, limit, self.url)
        if size == 0:  # object stores refuse a range of an empty object
            return b""
        try:
            with self._driver("read", "check that it is a folder you may read"):
                return bytes(self._fs.cat_file(self._path(digest), start=0, end=size))
        except FileNotFoundError:
            raise BlobMissing(digest, self.url) from None

    def _write(self, path: str, data: bytes) -> None:
        self._check_there()
        try:
            with self._driver("write to", "choose a folder that you may write to, or free some space"):
                if _protocols(self._fs) & _OBJECT_STORES:
                    self._fs.pipe_file(path, data)
                else:
                    self._write_and_rename(path, data)
        except FileNotFoundError as error:
            raise StoreError(f"cannot write to the store {self.url}: {_one_line(error)}; create it first") from error
        self._note_seen(path)

    def _write_and_rename(self, path: str, data: bytes) -> None:
        # fsspec's own transactions stage local files in the system's temporary folder and move them from there: a
        # copy, not a rename, when that is another file system. Beside its final name the move is one atomic rename.
        self._fs.makedirs(path.rpartition("/")[0], exist_ok=True)
        staged = f"{path}.{secrets.token_hex(8)}.part"
        try:
            with self._fs.open(staged, "wb") as file:
                file.write(data)
                _flush_to_disk(file)
            self._fs.mv(staged, path)
        except BaseException:
            with suppress(Exception):  # the first error is the one to report
                self._fs.rm_file(staged)
            raise

    @contextmanager
    def _driver(self, action: str, advice: str) -> Iterator[None]:
        """Turn whatever a driver raises into one line; a missing file is left for the caller to name."""
        try:
            yield
        except FileNotFoundError:
            raise
        except Exception as error:  # drivers raise their own libraries' types, not only OSError
            raise StoreError(f"cannot {action} the store {self.url}: {_one_line(error)}; {advice}") from error


def _open_file_system(url: str, shown: str) -> tuple[Any, str]:
    if not url.strip():
        raise StoreError("the store's URL is empty; give a folder or a URL such as file:///var/lib/ring/blobs")
    try:
        fs, root = fsspec.core.url_to_fs(url)
    except ImportError as error:
        raise StoreError(f"no driver for the store {shown}: {_one_line(error)}; pip install it") from error
    except Exception as error:
        raise StoreError(f"cannot open the store {shown}: {_one_line(error)}; check the URL") from error
    return fs, root


def _protocols(fs: Any) -> set[str]:
    return {fs.protocol} if isinstance(fs.protocol, str) else set(fs.protocol)


def _flush_to_disk(file: Any) -> None:
    """Bring a local file to the disk before it gets its name: a power cut must not leave a named, empty blob."""
    file.flush()
    with suppress(AttributeError, OSError):  # remote files have no descriptor
        os.fsync(file.fileno())


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return text or type(error).__name__


def _without_password(url: str) -> str:
    return re.sub(r"(//[^/@:]*):[^/@]*@", r"\1:***@", url)
