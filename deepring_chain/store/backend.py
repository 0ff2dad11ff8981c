"""Files below one root, on any file system that fsspec knows; whoever else may write there may plant what they like.

What a driver raises is passed on as it is: `ContentStore` tells whose trouble it is.
"""

from __future__ import annotations

import os
import re
import secrets
import stat
from contextlib import suppress
from pathlib import Path
from typing import Any

import fsspec

from deepring_chain.errors import StoreError
from deepring_chain.store.kinds import kind_of


class Obstacle(Exception):
    """What lies under a name is no file, or keeps a file from being put there."""


class Backend:
    """The files.

    Args:
        url: a folder: plain path, `file://`, `memory://`, or `s3://bucket/prefix` with s3fs installed.

    Attributes:
        url: for people; without a password.
        fs: fsspec's file system.
        root: the folder, as `fs` names it.
        has_folders: whether the root is a folder that can be there or not.
        tells_missing: whether `FileNotFoundError` means just that.

    Raises:
        StoreError: the URL names no known file system, or its driver is not installed.
    """

    def __init__(self, url: str) -> None:
        self.url = _without_password(url)
        self.fs, root = _open_file_system(url, self.url)
        self.root = root.rstrip("/")
        kind = kind_of([self.fs.protocol] if isinstance(self.fs.protocol, str) else self.fs.protocol)
        self.has_folders = kind.has_folders
        self.tells_missing = kind.tells_missing
        self._puts_whole = kind.puts_whole
        self._is_local = kind.is_local

    def unguessable(self, kind: str) -> str:
        """A path below the root at which nobody can have planted anything."""
        return f"{self.root}/.{kind}-{secrets.token_hex(8)}"

    # ------------------------------------------------------------------ reads

    def size(self, path: str) -> int:
        """Bytes of the file at `path`, which may be reached through a link.

        Raises:
            Obstacle: something else lies there.
        """
        found = self.fs.info(path)
        kind = found.get("type", "file")
        if kind != "file":
            raise Obstacle(f"a {kind} lies there" if kind == "directory" else "something that is no file lies there")
        return int(found["size"])

    def is_link(self, path: str) -> bool:
        """Whether a link lies at `path`."""
        return bool(self.fs.info(path).get("islink"))

    def read(self, path: str, size: int) -> bytes:
        """The first `size` bytes of the file at `path`.

        Raises:
            Obstacle: it is no file any more.
        """
        if size == 0:  # object stores refuse a range of an empty object
            return b""
        if self._is_local:
            return _read_local(path, size)
        return bytes(self.fs.cat_file(path, start=0, end=size))

    # ------------------------------------------------------------------ the root

    def answers(self) -> None:
        """Looks whether a store without folders can be read: it must know that nothing lies under a fresh name.

        Raises:
            Exception: what the driver raises instead.
        """
        self.fs.invalidate_cache()
        try:
            self.fs.cat_file(self.unguessable("probe"))
        except FileNotFoundError:
            return
        except Exception as error:
            if not 400 <= getattr(error, "status", 0) < 500:  # a web server's way to say the same
                raise

    def is_empty(self) -> bool:
        """Whether nothing lies in the root, which must be a folder."""
        self.fs.invalidate_cache()
        if self.fs.info(self.root)["type"] != "directory":
            raise NotADirectoryError("it is no folder")
        if not self._is_local:
            return not self.fs.ls(self.root, detail=False)
        with os.scandir(self.root) as found:  # one entry tells; anybody may have put a million there
            return next(found, None) is None

    def identity(self) -> object:
        """What tells the root's folder from another one of the same name; None where nothing does."""
        if not self._is_local:
            return None
        with suppress(OSError):
            found = Path(self.root).stat()
            return found.st_dev, found.st_ino
        return None

    # ------------------------------------------------------------------ writes

    def write(self, path: str, data: bytes) -> None:
        """Shows all of `data` at `path`, or nothing, also when the process is killed midway.

        Whatever lies there is displaced. Where there are folders, the bytes are first written under a fresh name in
        the root, at which nothing can be in the way: what fails then is the whole store's trouble.

        Raises:
            Obstacle: the store can be written to, but not at `path`.
        """
        if self._puts_whole:
            self._write_object(path, data)
            return
        staged = self._stage(data)
        try:
            self._place(staged, path)
        except Exception as error:
            raise Obstacle(one_line(error)) from error
        finally:
            with suppress(Exception):  # gone, if all went well; else the first error is the one to report
                self.fs.rm_file(staged)

    def probe(self) -> None:
        """Writes a file, and removes it."""
        if self._puts_whole:
            probe = self.unguessable("probe")
            self.fs.pipe_file(probe, b"probe")
        else:
            probe = self._stage(b"probe")
        self.fs.rm_file(probe)

    def _write_object(self, path: str, data: bytes) -> None:
        with suppress(Exception):
            self.fs.pipe_file(path, data)
            return
        self.probe()
        with suppress(Exception):
            self.fs.rm_file(path)
        try:
            self.fs.pipe_file(path, data)
        except Exception as error:
            raise Obstacle(one_line(error)) from error

    def _stage(self, data: bytes) -> str:
        # fsspec's own transactions stage local files in the system's temporary folder and move them from there: a
        # copy, not a rename, when that is another file system. Within the root the move is one atomic rename.
        self.fs.makedirs(self.root, exist_ok=True)
        staged = f"{self.unguessable('new')}.part"
        try:
            with self.fs.open(staged, "wb") as file:
                file.write(data)
                _flush_to_disk(file)
        except BaseException:
            with suppress(Exception):  # the first error is the one to report
                self.fs.rm_file(staged)
            raise
        return staged

    def _place(self, staged: str, path: str) -> None:
        with suppress(Exception):
            self._move(staged, path)
            return
        self._clear(path)
        with suppress(Exception):
            self._move(staged, path)
            return
        self._unlink_folder(path)
        self._move(staged, path)

    def _move(self, staged: str, path: str) -> None:
        self.fs.makedirs(path.rpartition("/")[0], exist_ok=True)
        if self._is_local:  # fsspec's `mv` would move it into a folder of that name
            Path(staged).replace(path)
        else:
            self.fs.mv(staged, path)

    def _clear(self, path: str) -> None:
        """Displaces what may be in the way at `path`; no link is followed, and what stays fails the next move.

        What lies in place of the folder is removed, if it is no folder. A folder in place of the file is moved aside:
        it may hold anything, and more than could be deleted in a reasonable time.
        """
        folder = path.rpartition("/")[0]
        with suppress(Exception):
            if not self.fs.isdir(folder):
                self.fs.rm_file(folder)
        with suppress(Exception):
            if self.fs.isdir(path):
                self._set_aside(path)

    def _unlink_folder(self, path: str) -> None:
        """Removes a link in place of the folder: it may lead to where nobody here can write, or to another disk."""
        folder = path.rpartition("/")[0]
        with suppress(Exception):
            if self.is_link(folder):
                self.fs.rm_file(folder)

    def _set_aside(self, path: str) -> None:
        aside = self.unguessable("displaced")
        if not self._is_local:
            self.fs.mv(path, aside, recursive=True)
            return
        try:
            Path(path).rmdir()
        except OSError:
            Path(path).rename(aside)


def one_line(error: BaseException) -> str:
    """What an error says, in one line."""
    text = " ".join(str(error).split())
    return text or type(error).__name__


def _read_local(path: str, size: int) -> bytes:
    """Never waits: what was a file a moment ago may be a pipe by now, whose opening would hang."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise Obstacle("something that is no file lies there")
        return file.read(size)


def _open_file_system(url: str, shown: str) -> tuple[Any, str]:
    if not url.strip():
        raise StoreError("the store's URL is empty; give a folder or a URL such as file:///var/lib/ring/blobs")
    opener = kind_of([url.partition("://")[0]]).open or fsspec.core.url_to_fs
    try:
        fs, root = opener(url)
    except ImportError as error:
        raise StoreError(f"no driver for the store {shown}: {one_line(error)}; pip install it") from error
    except Exception as error:
        raise StoreError(f"cannot open the store {shown}: {one_line(error)}; check the URL") from error
    return fs, root


def _flush_to_disk(file: Any) -> None:
    """Bring a local file to the disk before it gets its name: a power cut must not leave a named, empty blob."""
    file.flush()
    with suppress(AttributeError, OSError):  # remote files have no descriptor
        os.fsync(file.fileno())


def _without_password(url: str) -> str:
    return re.sub(r"(//[^/@:]*):[^/@]*@", r"\1:***@", url)
