"""The ledger's events, calls and errors as ABI bytes, and the state that an audit goes on from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from eth_abi.abi import decode as abi_decode
from eth_abi.abi import encode as abi_encode
from eth_abi.exceptions import DecodingError
from eth_utils import function_signature_to_4byte_selector, keccak
from hexbytes import HexBytes
from web3 import Web3
from web3.contract import Contract

from assurance.fuzz.codecs import CBOR, Codec
from assurance.fuzz.protocol_targets import ADDRESS, DIGESTS, SIGNATURE
from assurance.fuzz.target import MEBI, Limits, Target
from deepring_chain.audit.blobs import BlobState
from deepring_chain.audit.evidence import EvidenceState
from deepring_chain.audit.faults import Faults
from deepring_chain.audit.inputs import _CALLS, MULTICALL, _parts
from deepring_chain.audit.progress import AuditCounts, AuditIdentity, AuditState
from deepring_chain.chain.artifact import load_artifact
from deepring_chain.chain.block_place import BlockPlace
from deepring_chain.chain.errors import RevertDecoder
from deepring_chain.chain.event_layout import type_of
from deepring_chain.chain.events import _BUILDERS, EventDecoder, forgiving_codec
from deepring_chain.crypto.digest import sha256
from deepring_chain.errors import ChainError, DeepRingError, ProtocolError
from deepring_chain.types import Domain

POINT = bytes.fromhex("79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798")
"""The x of a point of the curve: as `r`, it makes a signature that is somebody's (SEC 2, 2.4.1)."""


@lru_cache(maxsize=1)
def _contract() -> Contract:
    web3 = Web3()
    web3.codec = forgiving_codec()
    return web3.eth.contract(address=ADDRESS, abi=load_artifact().abi)  # type: ignore[call-overload, no-any-return]


def _entries(kind: str) -> list[dict[str, Any]]:
    found = [entry for entry in load_artifact().abi if entry["type"] == kind]
    return sorted(found, key=lambda entry: str(entry["name"]))


def _events() -> list[dict[str, Any]]:
    """The ledger's own; OpenZeppelin's EIP712 declares one that is never emitted."""
    return [entry for entry in _entries("event") if entry["name"] in _BUILDERS]


# ---------------------------------------------------------------------- seeds


def _sample(item: dict[str, Any]) -> Any:
    """A value that fits."""
    kind: str = item["type"]
    if kind.endswith("[]"):
        return [_sample({**item, "type": kind[:-2]})] * 2
    if kind == "tuple":
        return tuple(map(_sample, item["components"]))
    plain = {"bool": True, "address": ADDRESS, "string": "layer.3.bias", "bytes": SIGNATURE, "bytes32": DIGESTS[3]}
    return POINT if item["name"] == "r" else plain.get(kind, 1)


def _event_seeds() -> list[bytes]:
    """Which event, and its topics and data; the first topic follows from the first byte."""
    found = []
    for number, entry in enumerate(_events()):
        topics = b"".join(abi_encode([item["type"]], [_sample(item)]) for item in entry["inputs"] if item["indexed"])
        held = [item for item in entry["inputs"] if not item["indexed"]]
        found.append(bytes([number, len(topics) // 32]) + topics + abi_encode(_types(held), [*map(_sample, held)]))
    return found


def _types(items: Sequence[dict[str, Any]]) -> list[str]:
    return [*map(type_of, items)]


def _error_seeds() -> list[bytes]:
    found = []
    for entry in _entries("error"):
        selector = function_signature_to_4byte_selector(f"{entry['name']}({','.join(_types(entry['inputs']))})")
        found.append(selector + abi_encode(_types(entry["inputs"]), [*map(_sample, entry["inputs"])]))
    return found


def _call_seeds() -> list[bytes]:
    """Two of them within a multicall, one of them in a multicall within."""
    calls = []
    for entry in _entries("function"):
        signature = f"{entry['name']}({','.join(_types(entry['inputs']))})"
        if signature in {call.function for calls in _CALLS.values() for call in calls}:
            values = abi_encode(_types(entry["inputs"]), [*map(_sample, entry["inputs"])])
            calls.append(function_signature_to_4byte_selector(signature) + values)
    many = function_signature_to_4byte_selector(MULTICALL)
    inner = many + abi_encode(["bytes[]"], [calls[:2]])
    return [*calls, many + abi_encode(["bytes[]"], [[calls[0], inner]])]


def _state_seeds() -> list[bytes]:
    """The state in the middle of a trail with every kind of event."""
    from deepring_chain.protocol.verifier import TrailVerifier  # noqa: PLC0415
    from tests.unit.protocol.trail_names import TERMS  # noqa: PLC0415 - scripts of other tests
    from tests.unit.protocol.trail_script import ScriptedTrail  # noqa: PLC0415

    script = ScriptedTrail()
    script.register()
    script.admit()
    script.arrange()
    script.attest(0, 1, 2, 3)
    script.submit().open_route().post().post().complain()
    script.submit()
    verifier = TrailVerifier(TERMS)
    for logged, witness in script.placed():
        verifier.check(logged, witness)
    identity = AuditIdentity.of(TERMS, 3, "file:///store")
    parts = AuditCounts(), verifier.save(), BlobState(), EvidenceState(), Faults()
    return [AuditState(identity, BlockPlace(9, DIGESTS[2]), *parts).encode()[:-32]]


# ---------------------------------------------------------------------- parsers


@lru_cache(maxsize=1)
def _decoder() -> EventDecoder:
    return EventDecoder(_contract(), Domain(31337, ADDRESS))


@lru_cache(maxsize=1)
def _topics() -> list[bytes]:
    return [keccak(text=f"{e['name']}({','.join(_types(e['inputs']))})") for e in _events()]


def _event(data: bytes) -> object:
    known, count = (data[0], data[1] % 5) if len(data) > 1 else (0, 0)
    first = _topics()[known % len(_topics())]
    topics = [first, *(data[2 + 32 * number : 34 + 32 * number] for number in range(count))]
    where = {"blockNumber": 7, "blockHash": HexBytes(DIGESTS[1]), "transactionHash": HexBytes(DIGESTS[2])}
    log = {**where, "address": ADDRESS, "logIndex": 1, "transactionIndex": 0, "removed": False}
    words = [HexBytes(topic) for topic in topics]
    return _decoder().decode({**log, "topics": words, "data": HexBytes(data[2 + 32 * count :])})  # type: ignore[typeddict-item]


def _call(data: bytes) -> object:
    """The calls in a transaction's input, each decoded as what it says that it is."""
    found = []
    known = {function_signature_to_4byte_selector(c.function): c for calls in _CALLS.values() for c in calls}
    for part in _parts(data):
        if part[:4] in known:
            try:
                found.append(abi_decode(known[part[:4]].types(), part[4:], strict=False))
            except (DecodingError, ValueError, OverflowError) as error:  # as `audit.inputs._decode` does
                raise ChainError(type(error).__name__) from None
    return found


@lru_cache(maxsize=1)
def _reverts() -> RevertDecoder:
    return RevertDecoder(load_artifact().abi)


def _revert(data: bytes) -> object:
    raise _reverts().decode(data)


def _state(data: bytes) -> AuditState:
    """The digest at the end is made for the bytes: their structure is what is tried."""
    return AuditState.decode(data + sha256(data))


def _target(
    name: str,
    parse: Callable[[bytes], Any],
    seeds: Callable[[], list[bytes]],
    share: int,
    declared: type[DeepRingError] = ChainError,
    codec: Codec | None = None,
) -> Target:
    limits = Limits(memory=8 * MEBI, memory_per_byte=2048, longest=8192, seconds=3.0)
    return Target(name, parse, (declared,), seeds, None, codec, limits, share, ("eth_abi",))


TARGETS = (
    _target("event-log", _event, _event_seeds, 6),
    _target("call-input", _call, _call_seeds, 6),
    _target("audit-state", _state, _state_seeds, 8, ProtocolError, CBOR),
    Target("revert-data", _revert, (ChainError,), _error_seeds, share=6),
)
