"""A ledger's raw history in one file: gzip of JSON lines, written from a node and read without one.

First line: what and where; then one line per block; a last line that says how many there are. Headers, transactions and
receipts are in the bytes that block hashes bind (`chain.raw_block`); docs/formats.md, section 9, has every field.
"""

from __future__ import annotations

import gzip
import json
import os
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from eth_utils import is_checksum_address
from web3 import Web3
from web3.providers import BaseProvider
from web3.types import RPCEndpoint, RPCResponse

from deepring_chain.chain.raw_block import RawBlock
from deepring_chain.crypto.digest import keccak256
from deepring_chain.errors import ChainError
from deepring_chain.types import Address, Digest

FORMAT = 1
KIND = "deepring-export"
MAX_LINE_BYTES = 64 * 2**20
"""A block of a public chain with all its receipts takes a few MiB."""

Reads = Mapping[str, str]
"""What the ledger's views returned: hex by the call's data in hex."""


class ExportBroken(ChainError):
    """A file is no export, or a damaged one, or one that was cut short."""


@dataclass(frozen=True)
class ExportPlace:
    """The first line of an export.

    Attributes:
        chain_id, ledger: which ledger.
        first_block: the block that it was deployed in.
        last_block, last_hash: the newest block in the file.
        code: what lies at the ledger's address.
        reads: constants of the ledger.
    """

    chain_id: int
    ledger: Address
    first_block: int
    last_block: int
    last_hash: Digest
    code: bytes
    reads: Reads


@dataclass(frozen=True)
class ExportedBlock:
    """A block, and what views returned at the last block that the audit wants to know once it has read this one."""

    block: RawBlock
    reads: Reads = field(default_factory=dict)


class ExportWriter:
    """Writes an export beside its final name; it gets the name when it is whole.

    Args:
        path: the file.
        place: the first line.
    """

    def __init__(self, path: Path, place: ExportPlace) -> None:
        self._path = path
        self._staged = path.with_name(f".{path.name}.part")
        self._blocks = 0
        self._last = place.last_block
        with self._writing():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._raw = self._staged.open("wb")
            # No name and no time: the same history gives the same bytes.
            self._file = gzip.GzipFile("", "wb", 6, self._raw, mtime=0)
        self._line(
            {
                KIND: FORMAT,
                "chain_id": place.chain_id,
                "ledger": place.ledger,
                "first_block": place.first_block,
                "last_block": place.last_block,
                "last_hash": _hex(place.last_hash),
                "code": _hex(place.code),
                "reads": dict(place.reads),
            }
        )

    def add(self, exported: ExportedBlock) -> None:
        """Writes the next block.

        Raises:
            ChainError: the file cannot be written.
        """
        block = exported.block
        line: dict[str, Any] = {"number": block.number, "hash": _hex(block.claimed_hash), "header": _hex(block.header)}
        if block.transactions is not None and block.receipts is not None:
            line["transactions"] = [_hex(item) for item in block.transactions]
            line["receipts"] = [_hex(item) for item in block.receipts]
        if exported.reads:
            line["reads"] = dict(exported.reads)
        self._line(line)
        self._blocks += 1

    def close(self) -> None:
        """Writes the last line and gives the file its name.

        Raises:
            ChainError: the file cannot be written.
        """
        self._line({"end": self._last, "blocks": self._blocks})
        with self._writing():
            self._file.close()
            self._raw.flush()
            os.fsync(self._raw.fileno())
            self._raw.close()
            self._staged.replace(self._path)

    def abandon(self) -> None:
        """Removes what was written."""
        self._raw.close()
        self._staged.unlink(missing_ok=True)

    def _line(self, content: Mapping[str, Any]) -> None:
        with self._writing():
            self._file.write(json.dumps(content, separators=(",", ":")).encode() + b"\n")

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            reason = error.strerror or error
            raise ChainError(f"{self._path}: cannot be written ({reason}); choose a writable place") from None


class ExportFile:
    """An export, read line by line: no more than one block is in memory.

    Args:
        path: the file.

    Attributes:
        place: its first line.

    Raises:
        ExportBroken: it is no export.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._reads: Reads = {}
        with self._lines() as lines:
            self.place = self._parse_place(next(lines, {}))

    def blocks(self, first: int) -> Iterator[RawBlock]:
        """All blocks from `first` on, in order.

        Raises:
            ExportBroken: damaged, cut short, or with a block left out.
        """
        expected, claimed = self.place.first_block, None
        with self._lines() as lines:
            next(lines, None)
            for line in lines:
                if "end" in line:
                    self._check_end(line, expected, lines)
                    if claimed != self.place.last_hash:
                        raise ExportBroken(f"{self.path}: its last block has another hash than its first line says")
                    return
                exported = self._parse_block(line, expected)
                expected += 1
                claimed = exported.block.claimed_hash
                self._reads = exported.reads
                if exported.block.number >= first:
                    yield exported.block
        raise ExportBroken(f"{self.path}: cut short after block {expected - 1}; get a whole copy")

    @property
    def head(self) -> int:
        """The last block."""
        return self.place.last_block

    def hash_of(self, number: int) -> Digest | None:
        """Hash of a block, computed from its header; None if there is no such block.

        Raises:
            ExportBroken: as `blocks`.
        """
        if not self.place.first_block <= number <= self.place.last_block:
            return None
        return keccak256(next(self.blocks(number)).header)

    def provider(self) -> BaseProvider:
        """Answers a ledger client's calls from the file, as far as the audit has read it."""
        return _ExportProvider(self)

    def read(self, data: str) -> str | None:
        """What the view called with `data` returned, of what stands in the first line or at the block last read."""
        return self._reads.get(data) or self.place.reads.get(data)

    # ------------------------------------------------------------------ parsing

    @contextmanager
    def _lines(self) -> Iterator[Iterator[dict[str, Any]]]:
        try:
            with gzip.open(self.path, "rb") as file:
                yield self._parsed(file)
        except FileNotFoundError:
            raise ExportBroken(f"{self.path}: no such file; `deepring export` writes one") from None
        except EOFError:
            raise ExportBroken(f"{self.path}: cut short; get a whole copy") from None
        except (OSError, zlib.error) as error:
            reason = getattr(error, "strerror", None) or error
            raise ExportBroken(f"{self.path}: cannot be read ({reason}); is it what `deepring export` wrote?") from None

    def _parsed(self, file: Any) -> Iterator[dict[str, Any]]:
        number = 0
        while line := file.readline(MAX_LINE_BYTES + 1):
            number += 1
            if len(line) > MAX_LINE_BYTES:
                raise ExportBroken(f"{self.path}: line {number} is longer than {MAX_LINE_BYTES} bytes")
            try:
                content = json.loads(line)
            except (ValueError, RecursionError):
                raise ExportBroken(f"{self.path}: line {number} is no JSON, or cut short; get a whole copy") from None
            if not isinstance(content, dict):
                raise ExportBroken(f"{self.path}: line {number} is no object")
            yield content

    def _parse_place(self, line: Mapping[str, Any]) -> ExportPlace:
        try:
            if line[KIND] != FORMAT:
                raise ExportBroken(f"{self.path}: format {line[KIND]}, this program reads {FORMAT}")
            place = ExportPlace(
                _count(line["chain_id"]),
                _address(line["ledger"]),
                _count(line["first_block"]),
                _count(line["last_block"]),
                _digest(line["last_hash"]),
                _raw(line["code"]),
                _reads(line["reads"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ExportBroken(f"{self.path}: not an export of `deepring export` (its first line: {error})") from None
        if place.first_block > place.last_block:
            raise ExportBroken(f"{self.path}: its first line names block {place.last_block} as the last one")
        return place

    def _parse_block(self, line: Mapping[str, Any], expected: int) -> ExportedBlock:
        try:
            number, has_body = _count(line["number"]), "transactions" in line or "receipts" in line
            block = RawBlock(
                number,
                _digest(line["hash"]),
                _raw(line["header"]),
                tuple(_raw(item) for item in _list(line["transactions"])) if has_body else None,
                tuple(_raw(item) for item in _list(line["receipts"])) if has_body else None,
            )
            reads = _reads(line.get("reads", {}))
        except (KeyError, TypeError, ValueError) as error:
            raise ExportBroken(f"{self.path}: block {expected}: a malformed line ({error})") from None
        if number != expected:
            raise ExportBroken(f"{self.path}: block {number} in the place of block {expected}")
        return ExportedBlock(block, reads)

    def _check_end(self, line: Mapping[str, Any], expected: int, rest: Iterator[object]) -> None:
        named, written = line.get("end"), line.get("blocks")
        if expected - 1 != self.place.last_block or named != self.place.last_block:
            raise ExportBroken(
                f"{self.path}: ends with block {expected - 1}, its first line says {self.place.last_block}, "
                f"its last one {str(named)[:20]}"
            )
        if written != expected - self.place.first_block or next(rest, None) is not None:
            raise ExportBroken(f"{self.path}: another number of lines than its last line says")


class _ExportProvider(BaseProvider):
    def __init__(self, export: ExportFile) -> None:
        super().__init__()
        self._export = export

    def make_request(self, method: RPCEndpoint, params: Any) -> RPCResponse:
        """What the node answered at the last block of the export."""
        place = self._export.place
        if method == "eth_chainId":
            return {"jsonrpc": "2.0", "id": 1, "result": hex(place.chain_id)}
        if method == "eth_getCode":
            return {"jsonrpc": "2.0", "id": 1, "result": _hex(place.code)}
        data = str(params[0].get("data", "")) if method == "eth_call" else ""
        result = self._export.read(data)
        if result is None:
            raise ExportBroken(f"{self._export.path}: {data[:10] or method} of the ledger is not in it")
        return {"jsonrpc": "2.0", "id": 1, "result": result}


def connect_export(export: ExportFile) -> Web3:
    """A connection to the file in place of a node."""
    return Web3(export.provider())


def _hex(data: bytes) -> str:
    return f"0x{data.hex()}"


def _raw(text: object) -> bytes:
    if type(text) is not str or not text.startswith("0x"):
        raise ValueError("bytes that are not 0x and hexadecimal")
    return bytes.fromhex(text[2:])


def _digest(text: object) -> Digest:
    raw = _raw(text)
    if len(raw) != 32:
        raise ValueError("a hash that is not 32 bytes")
    return Digest(raw)


def _count(value: object) -> int:
    if type(value) is not int or not 0 <= value < 2**63:
        raise ValueError("a number out of range")
    return value


def _address(value: object) -> Address:
    if not is_checksum_address(value):
        raise ValueError("an address that is not 20 bytes with the checksum of EIP-55")
    return Address(str(value))


def _list(value: object) -> list[object]:
    if not isinstance(value, list):
        raise TypeError("transactions or receipts that are no list")
    return value


def _reads(value: object) -> Reads:
    if not isinstance(value, dict):
        raise TypeError("reads that are no object")
    for result in value.values():
        _raw(result)
    return value
