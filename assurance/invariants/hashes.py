"""The ledger's hashes, written down a second time, with none of the product's code."""

from __future__ import annotations

import hashlib
from functools import lru_cache

import coincurve
from eth_hash.auto import keccak

ZERO = bytes(32)
UPDATE = (
    b"Update(uint64 query,uint16 attempt,uint16 hop,uint32 items,"
    b"bytes32 envelope,bytes32 output,bytes32 nextOutput,bytes32 trail)"
)
ATTESTATION = b"Attestation(uint64 arrangement,uint16 position,uint16 round,bytes32 leaf,bytes32 sealingKey)"
DELIVERY = b"Delivery(uint64 query,uint16 attempt,bytes32 answer,bytes32 output,bytes32 trail)"
COMPLAINT = b"Complaint(uint64 query,uint16 attempt,uint16 hop,uint8 kind,bytes32 evidence,bytes32 trail)"
VERDICT = (
    b"Verdict(uint64 query,uint16 attempt,uint16 hop,bool senderGuilty,bool receiverGuilty,bytes32 evidence,"
    b"bytes32 trail)"
)
DOMAIN = b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
HALF_ORDER = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0


def words(*values: int | str | bytes) -> bytes:
    """32 bytes each: numbers, accounts in hex, and words as they are."""
    return b"".join(_word(value) for value in values)


def _word(value: int | str | bytes) -> bytes:
    if isinstance(value, bytes):
        return value
    return bytes.fromhex(value[2:]).rjust(32, b"\0") if isinstance(value, str) else int(value).to_bytes(32, "big")


def tag(text: str) -> bytes:
    """A short text as a left-aligned word."""
    return text.encode().ljust(32, b"\0")


VIOLATION, RENEWAL = tag("deepring/v1/violation"), tag("deepring/v1/renewal")
NOBODY = "0x" + "00" * 20


@lru_cache(maxsize=16)
def domain_separator(chain_id: int, ledger: str) -> bytes:
    """EIP-712's, for a ledger on a chain."""
    return keccak(words(keccak(DOMAIN), keccak(b"DeepRing"), keccak(b"1"), chain_id, ledger))


@lru_cache(maxsize=16)
def _type_hash(kind: bytes) -> bytes:
    return keccak(kind)


def digest(domain: bytes, kind: bytes, *fields: int | str | bytes) -> bytes:
    """What is signed for a message of this kind."""
    return keccak(b"\x19\x01" + domain + keccak(words(_type_hash(kind), *fields)))


def first_trail(query: int, querent: str, question: tuple[bytes, bytes, int]) -> bytes:
    """A query's trail before hop 0."""
    return keccak(words(tag("deepring/v1/query"), query, querent, *question))


def next_trail(trail: bytes, entry: bytes, signer: str) -> bytes:
    """A query's trail after an entry or a mark."""
    return keccak(words(tag("deepring/v1/trail"), trail, entry, signer))


def link(signer: str, salt: bytes, rest: bytes) -> bytes:
    """One link of a route."""
    return keccak(words(tag("deepring/v1/route"), signer, salt, rest))


def state_word(state: tuple[int | bytes, ...]) -> bytes:
    """What the ledger stores of a query."""
    return keccak(words(*state))


def fold(leaves: list[bytes], previous: bytes | None = None) -> list[bytes]:
    """Block hashes (eq. 1-2), from the first seat or after `previous`."""
    hashes: list[bytes] = []
    for leaf in leaves:
        before = b"" if previous is None else previous
        previous = hashlib.sha256(tag("deepring/v1/block-hash") + before + leaf).digest()
        hashes.append(previous)
    return hashes


def sign(key: coincurve.PrivateKey, message: bytes) -> bytes:
    """65 bytes: r, s, v."""
    signature: bytes = key.sign_recoverable(message, hasher=None)
    return signature[:64] + bytes([signature[64] + 27])


def compact(signature: bytes) -> tuple[bytes, bytes]:
    """R and vs of EIP-2098."""
    s = int.from_bytes(signature[32:64], "big") | (signature[64] - 27) << 255
    return signature[:32], s.to_bytes(32, "big")


def expanded(r: bytes, vs: bytes) -> bytes:
    """65 bytes from r and vs."""
    value = int.from_bytes(vs, "big")
    return r + (value & (1 << 255) - 1).to_bytes(32, "big") + bytes([27 + (value >> 255)])


def address_of(key: coincurve.PublicKey) -> str:
    """The account of a public key."""
    return "0x" + keccak(key.format(compressed=False)[1:])[12:].hex()


@lru_cache(maxsize=100_000)
def recover(message: bytes, signature: bytes) -> str | None:
    """Who signed; None when it is no signature at all."""
    try:
        raw = signature[:64] + bytes([signature[64] - 27])
        return address_of(coincurve.PublicKey.from_signature_and_message(raw, message, hasher=None))
    except (ValueError, IndexError):
        return None
    except Exception as error:
        if type(error) is not Exception:
            raise
        return None
