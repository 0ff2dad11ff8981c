"""What the contract tests expect: refusals with every argument, and signatures that are none."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from deepring_chain.chain.errors import LedgerReverted

if TYPE_CHECKING:
    from tests.chain.query_driver import ScriptedQuery

CURVE_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


@contextmanager
def refused(name: str, **arguments: Any) -> Iterator[None]:
    """Expects the ledger's custom error `name` with exactly these arguments."""
    with pytest.raises(LedgerReverted) as caught:
        yield
    assert (caught.value.name, caught.value.arguments) == (name, arguments)


@contextmanager
def refused_state(*queries: ScriptedQuery) -> Iterator[None]:
    """Expects that what is shown of the first query, or what the entries lead back to, is not its state.

    Nothing changes: not this query, and none of the others.
    """
    before = [query.ring.ledger.word(query.query) for query in queries]
    with pytest.raises(LedgerReverted) as caught:
        yield
    found = caught.value.arguments
    assert caught.value.name == "UnexpectedState"
    assert (found["query"], found["expected"]) == (queries[0].query, before[0])
    assert found["actual"] != before[0]
    assert [query.ring.ledger.word(query.query) for query in queries] == before


@dataclass(frozen=True)
class BrokenSignature:
    """A signature that OpenZeppelin's ECDSA refuses, and how."""

    signature: bytes
    error: str
    arguments: dict[str, Any]


def high_s(signature: bytes) -> bytes:
    """The other signature of the same message by the same key, which anyone can compute (EIP-2)."""
    flipped = CURVE_ORDER - int.from_bytes(signature[32:64], "big")
    return signature[:32] + flipped.to_bytes(32, "big") + bytes([27 + 28 - signature[64]])


BREAKS = [
    "high s",
    "v is 0",
    "v is 1",
    "v is 26",
    "v is 29",
    "r is zero",
    "s is zero",
    "empty",
    "64 bytes",
    "66 bytes",
    "compact, EIP-2098",
]


def break_signature(how: str, signature: bytes) -> BrokenSignature:
    """A signature broken in one of the ways of `BREAKS`."""
    if how == "high s":
        changed = high_s(signature)
        return BrokenSignature(changed, "ECDSAInvalidSignatureS", {"s": changed[32:64]})
    same_length = {
        "r is zero": bytes(32) + signature[32:],
        "s is zero": signature[:32] + bytes(32) + signature[64:],
        **{f"v is {v}": signature[:64] + bytes([v]) for v in (0, 1, 26, 29)},
    }
    if how in same_length:
        return BrokenSignature(same_length[how], "ECDSAInvalidSignature", {})
    compact = bytearray(signature[:64])
    compact[32] |= (signature[64] - 27) << 7
    other_length = {
        "empty": b"",
        "64 bytes": signature[:64],
        "66 bytes": signature + b"\0",
        "compact, EIP-2098": bytes(compact),
    }
    changed = other_length[how]
    return BrokenSignature(changed, "ECDSAInvalidSignatureLength", {"length": len(changed)})
