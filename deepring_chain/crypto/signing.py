"""EIP-712 signatures of the signed messages; contracts/libraries/Digests.sol makes the same digests."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

from eth_abi.abi import encode as abi_encode
from eth_abi.exceptions import EncodingError
from eth_account.signers.local import LocalAccount
from eth_keys import keys
from eth_keys.exceptions import BadSignature, ValidationError
from eth_typing import Hash32
from eth_utils import to_checksum_address

from deepring_chain.crypto.digest import keccak256
from deepring_chain.errors import ProtocolError
from deepring_chain.types import Address, Attestation, Complaint, Delivery, Digest, Domain, Update, Verdict

DOMAIN_NAME = "DeepRing"
DOMAIN_VERSION = "1"
SIGNATURE_BYTES = 65
REMEMBERED = 512
"""Digests and signers of the last messages: an entry is looked at when it is relayed, and again when it is settled."""

_CURVE_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


class SignatureInvalid(ProtocolError):
    """A signature is malformed, has a high s (EIP-2), or recovers to nobody."""


@dataclass(frozen=True)
class _Schema:
    name: str
    members: tuple[tuple[str, str, str], ...]  # EIP-712 name, EIP-712 type, attribute

    @cached_property
    def types(self) -> list[str]:
        return [kind for _, kind, _ in self.members]

    @cached_property
    def type_hash(self) -> Digest:
        return _text_hash(f"{self.name}({','.join(f'{kind} {name}' for name, kind, _ in self.members)})")


def _text_hash(text: str) -> Digest:
    return keccak256(text.encode())


_DOMAIN_TYPE = _text_hash("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)")

_PLACE = (("query", "uint64", "query"), ("attempt", "uint16", "attempt"))
_SCHEMAS: dict[type, _Schema] = {
    Update: _Schema(
        "Update",
        (
            *_PLACE,
            ("hop", "uint16", "hop"),
            ("items", "uint32", "items"),
            ("envelope", "bytes32", "envelope"),
            ("output", "bytes32", "output"),
            ("nextOutput", "bytes32", "next_output"),
            ("trail", "bytes32", "trail"),
        ),
    ),
    Attestation: _Schema(
        "Attestation",
        (
            ("arrangement", "uint64", "arrangement"),
            ("position", "uint16", "position"),
            ("round", "uint16", "round"),
            ("leaf", "bytes32", "leaf"),
            ("sealingKey", "bytes32", "sealing_key"),
        ),
    ),
    Delivery: _Schema(
        "Delivery",
        (*_PLACE, ("answer", "bytes32", "answer"), ("output", "bytes32", "output"), ("trail", "bytes32", "trail")),
    ),
    Complaint: _Schema(
        "Complaint",
        (
            *_PLACE,
            ("hop", "uint16", "hop"),
            ("kind", "uint8", "kind"),
            ("evidence", "bytes32", "evidence"),
            ("trail", "bytes32", "trail"),
        ),
    ),
    Verdict: _Schema(
        "Verdict",
        (
            *_PLACE,
            ("hop", "uint16", "hop"),
            ("senderGuilty", "bool", "sender_guilty"),
            ("receiverGuilty", "bool", "receiver_guilty"),
            ("evidence", "bytes32", "evidence"),
            ("trail", "bytes32", "trail"),
        ),
    ),
}

SignedMessage = Update | Attestation | Delivery | Complaint | Verdict


def as_struct(message: SignedMessage) -> dict[str, Any]:
    """The message with the member names that the contract's ABI and EIP-712 give it."""
    return {name: getattr(message, attribute) for name, _, attribute in _SCHEMAS[type(message)].members}


@lru_cache(maxsize=REMEMBERED)
def message_digest(domain: Domain, message: SignedMessage) -> Digest:
    """The 32 bytes that are signed: keccak256(0x1901, domain separator, hashStruct(message)) (EIP-712).

    Every member is one word, so that hashStruct is one encoding; eth-account's general one takes several times as long,
    and every actor does this for every entry.

    Raises:
        EncodingError: a number that its member cannot hold.
    """
    schema = _SCHEMAS[type(message)]
    values = [getattr(message, attribute) for _, _, attribute in schema.members]
    struct = keccak256(abi_encode(["bytes32", *schema.types], [schema.type_hash, *values]))
    return keccak256(b"\x19\x01" + domain_separator(domain) + struct)


@lru_cache(maxsize=64)
def domain_separator(domain: Domain) -> Digest:
    """The hash of the EIP-712 domain, hashStruct(eip712Domain)."""
    return keccak256(
        abi_encode(
            ["bytes32", "bytes32", "bytes32", "uint256", "address"],
            [_DOMAIN_TYPE, _text_hash(DOMAIN_NAME), _text_hash(DOMAIN_VERSION), domain.chain_id, domain.ledger],
        )
    )


def sign_message(account: LocalAccount, domain: Domain, message: SignedMessage) -> bytes:
    """Return S_i, detached: r, s, v in 65 bytes, s in the lower half (EIP-2). Implements eq. (4)."""
    return bytes(account.unsafe_sign_hash(Hash32(message_digest(domain, message))).signature)


@lru_cache(maxsize=REMEMBERED)
def recover_signer(domain: Domain, message: SignedMessage, signature: bytes) -> Address:
    """Who signed `message` for `domain`, by the ledger's own rules (OpenZeppelin ECDSA).

    Raises:
        SignatureInvalid: wrong length, v other than 27 or 28, high s, no such point, or a number in the message that
            its field on the ledger cannot hold.
    """
    _check_form(signature)
    try:
        parsed = keys.Signature(signature[:64] + bytes([signature[64] - 27]))
        public = parsed.recover_public_key_from_msg_hash(message_digest(domain, message))
    except (BadSignature, ValidationError, ValueError, EncodingError) as error:
        raise SignatureInvalid(f"signature recovers to nobody ({error})") from None
    return Address(to_checksum_address(public.to_canonical_address()))


def compact_signature(signature: bytes) -> tuple[Digest, Digest]:
    """A signature of 65 bytes as r and vs (EIP-2098): the recovery bit stands in the top bit of s.

    Raises:
        SignatureInvalid: wrong length, v other than 27 or 28, or high s.
    """
    _check_form(signature)
    flipped = signature[32] | (signature[64] - 27) << 7
    return Digest(signature[:32]), Digest(bytes([flipped]) + signature[33:64])


def full_signature(r: Digest, vs: Digest) -> bytes:
    """Inverse of `compact_signature`."""
    return r + bytes([vs[0] & 0x7F]) + vs[1:] + bytes([27 + (vs[0] >> 7)])


def _check_form(signature: bytes) -> None:
    if len(signature) != SIGNATURE_BYTES or signature[64] not in (27, 28):
        raise SignatureInvalid(f"signature of {len(signature)} bytes: expected 65 with v 27 or 28")
    if int.from_bytes(signature[32:64], "big") > _CURVE_ORDER // 2:
        raise SignatureInvalid("signature with a high s: it could be made into a second one (EIP-2)")
