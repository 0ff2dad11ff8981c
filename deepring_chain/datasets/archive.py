"""Single files out of tar archives, by their exact names; nothing is unpacked to disk."""

from __future__ import annotations

import gzip
import lzma
import tarfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, cast

from deepring_chain.errors import ModelError

UNPACKED_LIMIT = 256 * 2**20
"""Bytes of an archive that are looked at: a small one can unpack to terabytes."""

UNPACKER_MEMORY = 96 * 2**20
"""Bytes that unpacking xz may take: `xz -9` asks for 65 MiB, and a few damaged bytes can ask for 4 GiB."""

PIECE = 2**16


def read_members(path: Path, names: Sequence[str], limit: int, remedy: str) -> dict[str, bytes]:
    """Contents of the files called `names`.

    Args:
        path: a tar archive, plain or compressed by gzip or xz, as its name ends.
        names: of plain files in it; links and devices do not count.
        limit: largest size in bytes of each.
        remedy: what to do if the archive is no good.

    Raises:
        ModelError: the archive is damaged, or lacks one of the names.
    """
    found: dict[str, bytes] = {}
    try:
        with _open(path) as stream, tarfile.open(fileobj=cast("IO[bytes]", _Limited(stream)), mode="r|") as archive:
            for member in archive:
                if member.size > UNPACKED_LIMIT:
                    raise ValueError(f"a file of {member.size} bytes in it")  # noqa: TRY301
                if member.name in names and member.isreg() and member.size <= limit:
                    found[member.name] = _contents(archive, member)
                if len(found) == len(set(names)):
                    break
    except (OSError, EOFError, ValueError, tarfile.TarError, lzma.LZMAError, zlib.error) as error:
        raise ModelError(f"archive {path}: damaged ({' '.join(str(error).split())[:200]}); {remedy}") from None
    missing = [name for name in names if name not in found]
    if missing:
        raise ModelError(f"archive {path}: lacks {missing[0]}; {remedy}")
    return found


def _open(path: Path) -> Any:
    opener: dict[str, Any] = {".gz": gzip.open, ".xz": _XzFile}
    return opener.get(path.suffix, open)(path, "rb")


def _contents(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    stream = archive.extractfile(member)
    data = stream.read() if stream is not None else b""
    if len(data) != member.size:
        raise EOFError(f"{member.name} ends after {len(data)} of {member.size} bytes")
    return data


class _XzFile:
    """What `lzma.open` gives, with a limit for the memory that the file itself asks for."""

    def __init__(self, path: Path, mode: str) -> None:
        self._file: IO[Any] = path.open(mode)
        self._unpacker = _new_unpacker()

    def __enter__(self) -> _XzFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def read(self, size: int) -> bytes:
        """Some bytes, at most `size`; none at the end."""
        data = b""
        while not data:
            packed = self._next_packed()
            if self._unpacker.eof and not packed:
                return b""
            if self._unpacker.eof:
                self._unpacker = _new_unpacker()  # another stream follows
            data = self._unpacker.decompress(packed, size)
        return data

    def _next_packed(self) -> bytes:
        if self._unpacker.eof:
            return self._unpacker.unused_data.lstrip(b"\0") or bytes(self._file.read(PIECE))
        if not self._unpacker.needs_input:
            return b""
        packed: bytes = self._file.read(PIECE)
        if not packed:
            raise EOFError("it is cut short")
        return packed


def _new_unpacker() -> lzma.LZMADecompressor:
    return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=UNPACKER_MEMORY)


class _Limited:
    """A stream that ends with an error at the limit, and asks for no more at once than is there to come."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream, self._left = stream, UNPACKED_LIMIT

    def read(self, size: int) -> bytes:
        data = self._stream.read(min(size, self._left + 1))
        self._left -= len(data)
        if self._left < 0:
            raise ValueError(f"it unpacks to more than {UNPACKED_LIMIT} bytes")
        return data
