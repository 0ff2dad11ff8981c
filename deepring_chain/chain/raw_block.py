"""Blocks in the bytes that their hash binds: header, transactions and receipts in RLP (Yellow Paper, 4.3; EIP-2718).

What is read here can be checked against the block's hash alone, whoever handed it over.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import rlp
from eth_account import Account
from eth_keys.exceptions import BadSignature
from eth_utils import ValidationError, to_checksum_address
from rlp.exceptions import RLPException

from deepring_chain.crypto.digest import keccak256
from deepring_chain.errors import ChainError
from deepring_chain.types import Address, Digest

LEAST_HEADER_FIELDS = 15
"""Of the first blocks; later forks add fields at the end."""

BLOOM_BYTES = 256
LEAST_LIST_BYTE = 0xC0
"""First byte of an RLP list; a typed transaction or receipt begins with its type, which is smaller."""


class MalformedBlock(ChainError):
    """Bytes that should be a part of a block are none."""


@dataclass(frozen=True)
class RawBlock:
    """A block as it was handed over; nothing of it is checked yet.

    Attributes:
        number, claimed_hash: what it is said to be.
        header: RLP.
        transactions, receipts: in EIP-2718's encoding; None where nobody needed them.
    """

    number: int
    claimed_hash: Digest
    header: bytes
    transactions: tuple[bytes, ...] | None = None
    receipts: tuple[bytes, ...] | None = None


@dataclass(frozen=True)
class Header:
    """The fields of a header that an audit uses; `block_hash` is computed from all of its bytes."""

    number: int
    time: int
    block_hash: Digest
    parent_hash: Digest
    transactions_root: Digest
    receipts_root: Digest
    bloom: bytes

    def may_log(self, address: Address) -> bool:
        """Whether the block can hold a log of `address`; no means no (Yellow Paper, 4.3.1)."""
        digest = keccak256(bytes.fromhex(address[2:]))
        bloom = int.from_bytes(self.bloom, "big")
        bits = (int.from_bytes(digest[at : at + 2], "big") % (8 * BLOOM_BYTES) for at in (0, 2, 4))
        return all(bloom >> bit & 1 for bit in bits)


@dataclass(frozen=True)
class RawLog:
    """One log of a block, and where it stands."""

    address: Address
    topics: tuple[bytes, ...]
    data: bytes
    transaction: int
    log_index: int


@dataclass(frozen=True)
class RawTransaction:
    """What an audit needs of a transaction; `to` is None when it creates a contract."""

    transaction_hash: Digest
    nonce: int
    to: Address | None
    data: bytes
    encoded: bytes

    def sender(self) -> Address:
        """Who signed it.

        Raises:
            MalformedBlock: its signature is nobody's.
        """
        try:
            return Address(to_checksum_address(Account.recover_transaction(self.encoded)))
        except (ValueError, TypeError, BadSignature, ValidationError, RLPException) as error:
            raise MalformedBlock(f"a transaction without a usable signature ({error})") from None


def parse_header(encoded: bytes) -> Header:
    """Reads a header.

    Raises:
        MalformedBlock: it is none.
    """
    fields = _decode_list(encoded, "header")
    if len(fields) < LEAST_HEADER_FIELDS or any(not isinstance(field, bytes) for field in fields):
        raise MalformedBlock(f"a header of {len(fields)} fields")
    sizes = [len(fields[index]) for index in (0, 4, 5, 6)]
    if sizes != [32, 32, 32, BLOOM_BYTES] or max(len(fields[8]), len(fields[11])) > 8:
        raise MalformedBlock("a header with a field of another size")
    number, time = (int.from_bytes(fields[index], "big") for index in (8, 11))
    parent, transactions, receipts = (Digest(fields[index]) for index in (0, 4, 5))
    return Header(number, time, keccak256(encoded), parent, transactions, receipts, fields[6])


def parse_logs(receipts: Sequence[bytes]) -> list[RawLog]:
    """All logs of a block's receipts, in order.

    Raises:
        MalformedBlock: a receipt is none.
    """
    logs: list[RawLog] = []
    for transaction, encoded in enumerate(receipts):
        fields = _decode_list(_untyped(encoded), "receipt")
        if len(fields) != 4 or not isinstance(fields[3], list):
            raise MalformedBlock(f"a receipt of {len(fields)} fields")
        for item in fields[3]:
            logs.append(_parse_log(item, transaction, len(logs)))
    return logs


def parse_transaction(encoded: bytes) -> RawTransaction:
    """Reads a signed transaction of type 0 to 4 (EIP-155, 2930, 1559, 4844, 7702).

    Raises:
        MalformedBlock: it is none, or of another type.
    """
    kind = encoded[0] if encoded and encoded[0] < LEAST_LIST_BYTE else 0
    places = {0: (0, 3, 5), 1: (1, 4, 6), 2: (1, 5, 7), 3: (1, 5, 7), 4: (1, 5, 7)}
    if kind not in places:
        raise MalformedBlock(f"a transaction of type {kind}, which this program does not know")
    fields = _decode_list(_untyped(encoded), "transaction")
    if len(fields) < 9 or any(not isinstance(fields[place], bytes) for place in places[kind]):
        raise MalformedBlock(f"a transaction of {len(fields)} fields")
    nonce, receiver, data = (fields[place] for place in places[kind])
    to = Address(to_checksum_address(receiver)) if len(receiver) == 20 else None
    return RawTransaction(keccak256(encoded), int.from_bytes(nonce, "big"), to, data, encoded)


def created_address(sender: Address, nonce: int) -> Address:
    """Where a transaction creates its contract (Yellow Paper, 7)."""
    encoded: bytes = rlp.encode([bytes.fromhex(sender[2:]), nonce])
    return Address(to_checksum_address(keccak256(encoded)[12:]))


def ordered_root(items: Sequence[bytes]) -> Digest:
    """Root of the Merkle Patricia tree of a list: what a header says of its transactions or receipts.

    Args:
        items: encoded, in order; the key of each is the RLP of its index (Yellow Paper, 4.3.2 and appendix D).
    """
    pairs = [(_nibbles(rlp.encode(index)), item) for index, item in enumerate(items)]
    return keccak256(rlp.encode(_node(sorted(pairs), 0)))


def _node(pairs: list[tuple[tuple[int, ...], bytes]], depth: int) -> Any:
    """The node above all `pairs`, whose keys agree up to `depth`. No key of a list begins another one."""
    if not pairs:
        return b""
    first, last = pairs[0][0], pairs[-1][0]
    if len(pairs) == 1:
        return [_compact(first[depth:], is_leaf=True), pairs[0][1]]
    shared = depth
    while first[shared] == last[shared]:
        shared += 1
    if shared > depth:
        return [_compact(first[depth:shared], is_leaf=False), _reference(_node(pairs, shared))]
    children = [[pair for pair in pairs if pair[0][depth] == nibble] for nibble in range(16)]
    return [*(_reference(_node(child, depth + 1)) for child in children), b""]


def _reference(node: Any) -> Any:
    encoded: bytes = rlp.encode(node)
    return node if len(encoded) < 32 else keccak256(encoded)


def _nibbles(key: bytes) -> tuple[int, ...]:
    return tuple(nibble for byte in key for nibble in (byte >> 4, byte & 15))


def _compact(nibbles: tuple[int, ...], *, is_leaf: bool) -> bytes:
    """Hex-prefix encoding (Yellow Paper, appendix C)."""
    flag, odd = 2 * is_leaf, len(nibbles) % 2
    padded = (flag + odd, *nibbles) if odd else (flag, 0, *nibbles)
    return bytes(16 * high + low for high, low in zip(padded[::2], padded[1::2], strict=True))


def _parse_log(item: object, transaction: int, index: int) -> RawLog:
    if not isinstance(item, list) or len(item) != 3 or not isinstance(item[1], list):
        raise MalformedBlock("a log of another form")
    address, topics, data = item
    words = [address, data, *topics]
    if any(not isinstance(word, bytes) for word in words) or len(address) != 20:
        raise MalformedBlock("a log of another form")
    return RawLog(Address(to_checksum_address(address)), tuple(topics), data, transaction, index)


def _untyped(encoded: bytes) -> bytes:
    return encoded[1:] if encoded and encoded[0] < LEAST_LIST_BYTE else encoded


def _decode_list(encoded: bytes, what: str) -> list[Any]:
    try:
        fields = rlp.decode(encoded)
    except (RLPException, ValueError, TypeError, RecursionError) as error:
        raise MalformedBlock(f"a {what} that is no RLP ({' '.join(str(error).split())[:80]})") from None
    if not isinstance(fields, list):
        raise MalformedBlock(f"a {what} that is no list")
    return fields
