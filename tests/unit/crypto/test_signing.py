"""Signatures speak of one message for one ledger, have one form, and recover to nobody otherwise."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest
from eth_account import Account
from eth_account.messages import encode_typed_data
from hypothesis import given, settings
from hypothesis import strategies as st

from deepring_chain.crypto.digest import keccak256
from deepring_chain.crypto.signing import (
    SignatureInvalid,
    SignedMessage,
    as_struct,
    compact_signature,
    full_signature,
    message_digest,
    recover_signer,
    sign_message,
)
from deepring_chain.types import (
    Address,
    ArrangementId,
    Attempt,
    Attestation,
    Complaint,
    ComplaintKind,
    Delivery,
    Digest,
    Domain,
    Hop,
    Position,
    QueryId,
    Update,
    Verdict,
)

ACCOUNT = Account.from_key(bytes([1]) * 32)
DOMAIN = Domain(31337, Address("0x5FbDB2315678afecb367f032d93F642f64180aa3"))
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
"""n of secp256k1 (SEC 2)."""


def digest(number: int) -> Any:
    return Digest(bytes([number]) * 32)


UPDATE = Update(QueryId(5), Attempt(1), Hop(2), 6, digest(1), digest(2), digest(3), digest(4))
ATTESTATION = Attestation(ArrangementId(5), Position(1), 3, digest(1), digest(2))
DELIVERY = Delivery(QueryId(5), Attempt(1), digest(1), digest(2), digest(3))
COMPLAINT = Complaint(QueryId(5), Attempt(1), Hop(2), ComplaintKind.MISSING, digest(1), digest(2))
VERDICT = Verdict(QueryId(5), Attempt(1), Hop(2), True, False, digest(1), digest(2))
MESSAGES: list[SignedMessage] = [UPDATE, ATTESTATION, DELIVERY, COMPLAINT, VERDICT]


def names(message: SignedMessage) -> str:
    return type(message).__name__


def changed(message: Any) -> list[SignedMessage]:
    """The message with each of its fields changed, one at a time, and every two fields of one type exchanged."""
    values = {member.name: getattr(message, member.name) for member in fields(message)}
    other: list[Any] = []
    for name, value in values.items():
        bumped = value + 1 if isinstance(value, int) else bytes([value[0] ^ 1]) + value[1:]
        if isinstance(value, bool):
            bumped = not value
        other.append(replace(message, **{name: bumped}))
        if isinstance(value, bytes):
            other.append(replace(message, **{name: value[:-1] + bytes([value[-1] ^ 1])}))
        for second, replaced in values.items():
            if name < second and type(value) is type(replaced) and value != replaced:
                other.append(replace(message, **{name: replaced, second: value}))
    return other


@pytest.mark.parametrize("message", MESSAGES, ids=names)
def test_signature_recovers_to_its_signer(message: SignedMessage) -> None:
    signature = sign_message(ACCOUNT, DOMAIN, message)
    assert len(signature) == 65
    assert recover_signer(DOMAIN, message, signature) == ACCOUNT.address


@pytest.mark.parametrize("message", MESSAGES, ids=names)
def test_every_field_is_signed(message: SignedMessage) -> None:
    """Mallory takes a signed message and changes one field, or exchanges two: it is another message."""
    signature = sign_message(ACCOUNT, DOMAIN, message)
    others = changed(message)
    assert len(others) >= len(fields(message))
    digests = {message_digest(DOMAIN, other) for other in [message, *others]}
    assert len(digests) == len(others) + 1
    for other in others:
        assert recover_signer(DOMAIN, other, signature) != ACCOUNT.address


@pytest.mark.parametrize("message", MESSAGES, ids=names)
@pytest.mark.parametrize(
    "domain",
    [
        replace(DOMAIN, chain_id=1),
        replace(DOMAIN, chain_id=31338),
        replace(DOMAIN, ledger=Address("0x5FbDB2315678afecb367f032d93F642f64180aa4")),
    ],
)
def test_signature_for_one_ledger_is_none_for_another(message: SignedMessage, domain: Domain) -> None:
    """Mallory carries a signature from one deployment of the same contract to another, or to another chain."""
    signature = sign_message(ACCOUNT, DOMAIN, message)
    assert message_digest(domain, message) != message_digest(DOMAIN, message)
    assert recover_signer(domain, message, signature) != ACCOUNT.address


def test_messages_of_different_kinds_never_share_a_digest() -> None:
    assert len({message_digest(DOMAIN, message) for message in MESSAGES}) == 5


TYPE_TEXTS = [
    (
        UPDATE,
        b"Update(uint64 query,uint16 attempt,uint16 hop,uint32 items,bytes32 envelope,bytes32 output,"
        b"bytes32 nextOutput,bytes32 trail)",
    ),
    (ATTESTATION, b"Attestation(uint64 arrangement,uint16 position,uint16 round,bytes32 leaf,bytes32 sealingKey)"),
    (DELIVERY, b"Delivery(uint64 query,uint16 attempt,bytes32 answer,bytes32 output,bytes32 trail)"),
    (
        COMPLAINT,
        b"Complaint(uint64 query,uint16 attempt,uint16 hop,uint8 kind,bytes32 evidence,bytes32 trail)",
    ),
    (
        VERDICT,
        b"Verdict(uint64 query,uint16 attempt,uint16 hop,bool senderGuilty,bool receiverGuilty,bytes32 evidence,"
        b"bytes32 trail)",
    ),
]

each_message = pytest.mark.parametrize(
    ("message", "type_text"), TYPE_TEXTS, ids=["Update", "Attestation", "Delivery", "Complaint", "Verdict"]
)


@each_message
def test_digest_is_that_of_eip_712(message: SignedMessage, type_text: bytes) -> None:
    """Computed here step by step from the standard's text, without the library that the package uses."""

    def word(value: int | bytes) -> bytes:
        return value.to_bytes(32, "big") if isinstance(value, int) else value

    domain_type = b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
    ledger = int(DOMAIN.ledger, 16)
    parts = [keccak256(domain_type), keccak256(b"DeepRing"), keccak256(b"1"), word(DOMAIN.chain_id), word(ledger)]
    members = [word(getattr(message, member.name)) for member in fields(message)]
    struct_hash = keccak256(b"".join([keccak256(type_text), *members]))
    assert message_digest(DOMAIN, message) == keccak256(b"\x19\x01" + keccak256(b"".join(parts)) + struct_hash)


@each_message
def test_digest_is_that_of_the_library_for_the_struct(message: SignedMessage, type_text: bytes) -> None:
    name, _, members = type_text.decode().rstrip(")").partition("(")
    types = {name: [dict(zip(("type", "name"), member.split(), strict=True)) for member in members.split(",")]}
    data = {"name": "DeepRing", "version": "1", "chainId": 31337, "verifyingContract": DOMAIN.ledger}
    signable = encode_typed_data(data, types, as_struct(message))
    assert sign_message(ACCOUNT, DOMAIN, message) == ACCOUNT.sign_message(signable).signature


# ---------------------------------------------------------------- form

SIGNATURE = sign_message(ACCOUNT, DOMAIN, UPDATE)
R, S, V = SIGNATURE[:32], int.from_bytes(SIGNATURE[32:64], "big"), SIGNATURE[64]


def word(value: int) -> bytes:
    return value.to_bytes(32, "big")


def test_signature_made_here_has_a_low_s() -> None:
    for number in range(1, 30):
        signature = sign_message(ACCOUNT, DOMAIN, replace(UPDATE, query=QueryId(number)))
        assert int.from_bytes(signature[32:64], "big") <= ORDER // 2


def test_signature_with_the_mirrored_s_is_refused() -> None:
    """Mallory makes the second valid signature of the same message (EIP-2), to post the same update as a new one."""
    with pytest.raises(SignatureInvalid, match="high s"):
        recover_signer(DOMAIN, UPDATE, R + word(ORDER - S) + bytes([55 - V]))


def test_largest_low_s_is_no_high_s() -> None:
    assert recover_signer(DOMAIN, UPDATE, R + word(ORDER // 2) + bytes([V])) != ACCOUNT.address
    with pytest.raises(SignatureInvalid, match="high s"):
        recover_signer(DOMAIN, UPDATE, R + word(ORDER // 2 + 1) + bytes([V]))


@pytest.mark.parametrize("v", [0, 1, 2, 26, 29, 37, 255])
def test_signature_with_another_v_is_refused(v: int) -> None:
    with pytest.raises(SignatureInvalid, match="v 27 or 28"):
        recover_signer(DOMAIN, UPDATE, SIGNATURE[:64] + bytes([v]))


def test_signature_with_the_other_v_recovers_to_somebody_else() -> None:
    assert recover_signer(DOMAIN, UPDATE, SIGNATURE[:64] + bytes([55 - V])) != ACCOUNT.address


@pytest.mark.parametrize("size", [0, 1, 63, 64, 66, 130])
def test_signature_of_another_length_is_refused(size: int) -> None:
    with pytest.raises(SignatureInvalid, match=f"of {size} bytes"):
        recover_signer(DOMAIN, UPDATE, (SIGNATURE * 2)[:size])


@pytest.mark.parametrize(
    ("r", "s"),
    [
        (bytes(32), word(S)),
        (R, bytes(32)),
        (bytes(32), bytes(32)),
        (word(ORDER), word(S)),
        (b"\xff" * 32, word(S)),
        (word(5), word(S)),  # no point of the curve has this x
        (R, word(ORDER // 2 + 1)),
        (R, b"\xff" * 32),
    ],
)
def test_signature_outside_of_the_curve_is_refused(r: bytes, s: bytes) -> None:
    with pytest.raises(SignatureInvalid):
        recover_signer(DOMAIN, UPDATE, r + s + bytes([V]))


@pytest.mark.parametrize("name", ["query", "attempt", "hop"])
@pytest.mark.parametrize("value", [-1, -(2**64), 2**64])
def test_message_that_the_ledger_cannot_hold_is_signed_by_nobody(name: str, value: int) -> None:
    """Somebody hands over an entry with a number that no field of the ledger takes."""
    messages: list[Any] = [UPDATE, COMPLAINT, VERDICT]
    for message in messages:
        with pytest.raises(SignatureInvalid):
            recover_signer(DOMAIN, replace(message, **{name: value}), SIGNATURE)


@given(st.binary(min_size=64, max_size=64), st.sampled_from([27, 28]))
@settings(max_examples=200, deadline=None)
def test_arbitrary_signature_recovers_to_nobody_or_a_stranger(data: bytes, v: int) -> None:
    try:
        assert recover_signer(DOMAIN, UPDATE, data + bytes([v])) != ACCOUNT.address
    except SignatureInvalid:
        return


def test_every_flipped_bit_of_a_signature_is_noticed() -> None:
    for place in range(8 * len(SIGNATURE)):
        flipped = bytearray(SIGNATURE)
        flipped[place // 8] ^= 1 << place % 8
        try:
            signer = recover_signer(DOMAIN, UPDATE, bytes(flipped))
        except SignatureInvalid:
            continue
        assert signer != ACCOUNT.address


# ---------------------------------------------------------------- 64 bytes (EIP-2098)


def flipped(signature: bytes) -> bytes:
    """The other signature with the same r, which recovers to somebody else or nobody."""
    return signature[:64] + bytes([55 - signature[64]])


@given(st.binary(min_size=32, max_size=32), st.integers(1, ORDER // 2), st.sampled_from([27, 28]))
def test_compact_form_leads_back_to_the_signature(r: bytes, s: int, v: int) -> None:
    signature = r + s.to_bytes(32, "big") + bytes([v])
    assert full_signature(*compact_signature(signature)) == signature


@given(st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32))
def test_full_form_leads_back_to_the_compact_one_or_is_refused(r: bytes, vs: bytes) -> None:
    signature = full_signature(Digest(r), Digest(vs))
    assert len(signature) == 65
    if int.from_bytes(signature[32:64], "big") > ORDER // 2:
        with pytest.raises(SignatureInvalid, match="high s"):
            compact_signature(signature)
    else:
        assert compact_signature(signature) == (r, vs)


@pytest.mark.parametrize("key", range(1, 9))
def test_compact_form_is_that_of_eip_2098(key: int) -> None:
    """yParity stands in the top bit of s: bits of both kinds are among these."""
    signature = sign_message(Account.from_key(digest(key)), DOMAIN, UPDATE)
    r, vs = compact_signature(signature)
    value = int.from_bytes(vs, "big")
    assert r == signature[:32]
    assert (value >> 255, value & (2**255 - 1)) == (signature[64] - 27, int.from_bytes(signature[32:64], "big"))


def test_both_parities_are_told_apart() -> None:
    signature = sign_message(ACCOUNT, DOMAIN, UPDATE)
    (r, vs), (other_r, other_vs) = compact_signature(signature), compact_signature(flipped(signature))
    assert r == other_r
    assert (vs[0] ^ other_vs[0], vs[1:]) == (0x80, other_vs[1:])


@pytest.mark.parametrize(
    "vector",
    [
        (
            "68a020a209d3d56c46f38cc50a33f704f4a9a10a59377f8dd762ac66910e9b90",
            "7e865ad05c4035ab5792787d4a0297a43617ae897930a6fe4d822b8faea52064",
            27,
            "7e865ad05c4035ab5792787d4a0297a43617ae897930a6fe4d822b8faea52064",
        ),
        (
            "9328da16089fcba9bececa81663203989f2df5fe1faa6291a45381c81bd17f76",
            "139c6d6b623b42da56557e5e734a43dc83345ddfadec52cbe24d0cc64f550793",
            28,
            "939c6d6b623b42da56557e5e734a43dc83345ddfadec52cbe24d0cc64f550793",
        ),
    ],
    ids=["v 27", "v 28"],
)
def test_examples_of_eip_2098(vector: tuple[str, str, int, str]) -> None:
    r, s, v, vs = vector
    signature = bytes.fromhex(r + s) + bytes([v])
    assert compact_signature(signature) == (bytes.fromhex(r), bytes.fromhex(vs))
    assert full_signature(Digest(bytes.fromhex(r)), Digest(bytes.fromhex(vs))) == signature


@pytest.mark.parametrize("v", [0, 1, 26, 29, 255])
def test_v_that_is_not_27_or_28_has_no_compact_form(v: int) -> None:
    with pytest.raises(SignatureInvalid, match="v 27 or 28"):
        compact_signature(sign_message(ACCOUNT, DOMAIN, UPDATE)[:64] + bytes([v]))


@pytest.mark.parametrize("size", [0, 64, 66])
def test_signature_of_another_length_has_no_compact_form(size: int) -> None:
    with pytest.raises(SignatureInvalid, match=f"of {size} bytes"):
        compact_signature((sign_message(ACCOUNT, DOMAIN, UPDATE) + b"\0")[:size])
