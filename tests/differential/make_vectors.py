"""Writes tests/vectors/digests.json: fixed inputs and their digests, for other implementations too.

Run `python -m tests.differential.make_vectors`. A difference to what is checked in means that a byte format changed.
Byte strings are hex, numbers are numbers; a message's digest and signature are those of EIP-712 and RFC 6979.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from eth_account import Account
from eth_utils.address import to_checksum_address

from deepring_chain.crypto.signing import SignedMessage, message_digest, sign_message
from deepring_chain.protocol.block_hash import fold_leaves
from deepring_chain.protocol.route import build_route
from deepring_chain.protocol.trail import extend_trail, start_trail
from deepring_chain.types import (
    Address,
    Attestation,
    Complaint,
    ComplaintKind,
    Delivery,
    Digest,
    Domain,
    QueryId,
    Question,
    Update,
    Verdict,
)

PATH = Path(__file__).parents[1] / "vectors" / "digests.json"
CHAIN_ID = 31337
KINDS: tuple[type[SignedMessage], ...] = (Update, Attestation, Delivery, Complaint, Verdict)
GREATEST = {
    "query": 2**64 - 1,
    "arrangement": 2**64 - 1,
    "attempt": 2**16 - 1,
    "hop": 2**16 - 1,
    "items": 2**32 - 1,
    "position": 2**16 - 1,
    "round": 2**16 - 1,
    "kind": max(ComplaintKind),
    "sender_guilty": True,
    "receiver_guilty": True,
}
"""The greatest values of the numbers and flags in the signed messages; every other field is 32 bytes."""


def build() -> dict[str, Any]:
    """All vectors, ready for JSON."""
    rng = random.Random("deepring digests")  # noqa: S311  # inputs only, and the same in every run
    return {
        "block_hashes": [_block_hashes(rng, count) for count in (1, 2, 6, 20)],
        "routes": [_route(rng, count) for count in (1, 2, 6)],
        "trails": [_trail(rng, count) for count in (0, 1, 6)],
        "messages": [_message(rng, kind) for kind in KINDS for _ in range(3)]
        + [_message(rng, kind, extreme) for kind in KINDS for extreme in (0, 1)],
    }


def message_of(vector: dict[str, Any]) -> SignedMessage:
    """The message of one of the `messages`."""
    kind = {each.__name__: each for each in KINDS}[vector["type"]]
    values: dict[str, Any] = {
        name: value if isinstance(value, int) else Digest(bytes.fromhex(value))
        for name, value in vector["message"].items()
    }
    return kind(**values)


def _digest(rng: random.Random) -> Any:
    return Digest(rng.randbytes(32))


def _address(rng: random.Random) -> Address:
    return Address(to_checksum_address(rng.randbytes(20)))


def _hex(values: Sequence[bytes]) -> list[str]:
    return [value.hex() for value in values]


def _block_hashes(rng: random.Random, count: int) -> dict[str, Any]:
    leaves = [_digest(rng) for _ in range(count)]
    return {"leaves": _hex(leaves), "hashes": _hex(fold_leaves(leaves))}


def _route(rng: random.Random, count: int) -> dict[str, Any]:
    signers, salts = [_address(rng) for _ in range(count)], [_digest(rng) for _ in range(count)]
    return {"signers": signers, "salts": _hex(salts), "links": _hex(build_route(signers, salts))}


def _trail(rng: random.Random, count: int) -> dict[str, Any]:
    query, querent, sealed_input, key = QueryId(rng.getrandbits(64)), _address(rng), _digest(rng), _digest(rng)
    question = Question(sealed_input, key, rng.getrandbits(40))
    trails = [start_trail(query, querent, question)]
    entries = [(_digest(rng), _address(rng)) for _ in range(count)]
    for digest, signer in entries:
        trails.append(extend_trail(trails[-1], digest, signer))
    return {
        "query": query,
        "querent": querent,
        "input": sealed_input.hex(),
        "sealing_key": key.hex(),
        "submitted_at": question.submitted_at,
        "entries": [{"digest": digest.hex(), "signer": signer} for digest, signer in entries],
        "trails": _hex(trails),
    }


def _message(rng: random.Random, kind: type[SignedMessage], extreme: int | None = None) -> dict[str, Any]:
    """A random message, or one with every field at its least (0) or greatest (1) value."""
    domain, account = Domain(CHAIN_ID, _address(rng)), Account.from_key(_digest(rng))
    message = kind(**{field.name: _value(rng, GREATEST.get(field.name), extreme) for field in fields(kind)})
    shown = {name: value.hex() if isinstance(value, bytes) else value for name, value in vars(message).items()}
    return {
        "type": kind.__name__,
        "chain_id": domain.chain_id,
        "ledger": domain.ledger,
        "message": shown,
        "digest": message_digest(domain, message).hex(),
        "private_key": account.key.hex(),
        "signer": account.address,
        "signature": sign_message(account, domain, message).hex(),
    }


def _value(rng: random.Random, greatest: int | None, extreme: int | None) -> Any:
    most = 2**256 - 1 if greatest is None else int(greatest)
    number = rng.randint(0, most) if extreme is None else extreme * most
    if greatest is None:
        return Digest(number.to_bytes(32, "big"))
    return bool(number) if isinstance(greatest, bool) else number


def main() -> None:
    """Writes the file."""
    PATH.write_text(json.dumps(build(), indent=1) + "\n", encoding="utf-8")
    print(f"{PATH.name}: {PATH.stat().st_size} bytes")


if __name__ == "__main__":
    main()
