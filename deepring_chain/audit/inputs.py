"""The auditor's view of transactions: what was passed to the ledger, beside what its events say.

Most fields of an event are bound by a signature, a route link or a hash. The rest stands in the transaction's input
as well, and there it is compared. The evidence for a restore is in the input alone: the ledger checks it and keeps
nothing.

The input of a transaction is another call's where a contract, or an account that is delegated to one (EIP-7702), called
the ledger; and calls within calls, or values laid out in an odd way, can hide what was passed. Anybody may call so:
such an event is counted, and no failure. Of a restore order, which is the owner's alone, the call must be found.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from eth_abi.abi import decode as abi_decode
from eth_abi.exceptions import DecodingError
from eth_utils import function_signature_to_4byte_selector, to_checksum_address

from deepring_chain.audit.chain import LinkedBlock
from deepring_chain.audit.names import subject_of
from deepring_chain.chain.raw_block import RawTransaction
from deepring_chain.protocol.audit_step import AuditFailure, Place, Witness, show
from deepring_chain.protocol.events import (
    EnvelopeDisputed,
    Event,
    LoggedEvent,
    ModelRegistered,
    QueryRejected,
    QuerySubmitted,
    QueryWithdrawn,
    RestoreOrdered,
    RestoreReported,
    RingArranged,
    RouteOpened,
    WorkerAdmitted,
)
from deepring_chain.types import Address, Digest, Leaf

_UPDATE = "(uint64,uint16,uint16,uint32,bytes32,bytes32,bytes32,bytes32)"
_QUERY = "(uint8,uint16,uint16,uint32,uint32,uint40,bytes32,bytes32,bytes32)"

MULTICALL = "multicall(bytes[])"
WORD = 32
DEEPEST = 16
"""Levels of calls within calls that are looked into; what is deeper counts as made by another contract."""

Values = tuple[Any, ...]
Pairs = list[tuple[str, object, object]]
"""Field of the event, what the transaction has, what the event has."""


@dataclass(frozen=True)
class _Call:
    """A function of the ledger, and what an event of its own must have of its arguments."""

    function: str
    pairs: Callable[[Values, Any], Pairs]

    @property
    def selector(self) -> bytes:
        """The first four bytes of its calls."""
        return function_signature_to_4byte_selector(self.function)

    def types(self) -> list[str]:
        """The arguments' types; the ledger takes any bytes for a text."""
        inside = self.function[self.function.index("(") + 1 : -1].replace("string", "bytes")
        found, depth, begin = [], 0, 0
        for index, sign in enumerate(f"{inside},"):
            depth += (sign == "(") - (sign == ")")
            if sign == "," and depth == 0:
                found.append(inside[begin:index])
                begin = index + 1
        return found


def _admitted(values: Values, event: WorkerAdmitted) -> Pairs:
    """One call admits several accounts; an account may be among them twice."""
    pairs = zip(*values, strict=False)
    keys: list[object] = [key for worker, key in pairs if Address(to_checksum_address(worker)) == event.worker]
    key = event.sealing_key if event.sealing_key in keys else (keys or ["none for this account"])[0]
    return [("sealing_key", key, event.sealing_key)]


_CALLS: Mapping[type, tuple[_Call, ...]] = {
    ModelRegistered: (
        _Call(
            "registerModel(bytes32,bytes32,uint16)",
            lambda v, e: [("root", v[0], e.root), ("card", v[1], e.card), ("layers", v[2], e.layers)],
        ),
    ),
    WorkerAdmitted: (_Call("admitWorkers(address[],bytes32[])", _admitted),),
    RingArranged: (
        _Call(
            "arrange(address[],bytes32,bytes32)",
            lambda v, e: [
                ("seats", tuple(Address(to_checksum_address(seat)) for seat in v[0]), e.seats),
                ("recorded_hash", v[1], e.recorded_hash),
                ("notes", v[2], e.notes),
            ],
        ),
    ),
    RestoreOrdered: (
        _Call(
            "orderRestore(uint16,bytes32[],bytes32,bytes32)",
            lambda v, e: [
                ("position", v[0], e.position),
                ("renewedHash", v[2], e.renewed_hash),
                ("parameters", v[3], e.parameters),
            ],
        ),
    ),
    RestoreReported: (
        _Call(
            "reportRestore(uint16,string)",
            lambda v, e: [("position", v[0], e.position), ("changed", v[1].decode(errors="replace"), e.changed)],
        ),
    ),
    QuerySubmitted: (
        _Call(
            "submitQuery(bytes32,bytes32)",
            lambda v, e: [("sealed_input", v[0], e.sealed_input), ("sealing_key", v[1], e.sealing_key)],
        ),
    ),
    QueryRejected: (
        _Call(
            f"rejectQuery(uint64,{_QUERY},uint8)",
            lambda v, e: [("query", v[0], e.query), ("reason", v[2], int(e.reason))],
        ),
    ),
    QueryWithdrawn: (
        _Call(
            f"withdrawQuery(uint64,{_QUERY},(bytes32,bytes32,uint40),(bytes32,address)[])",
            lambda v, e: [("query", v[0], e.query)],
        ),
    ),
    RouteOpened: (
        _Call(
            f"openRoute(uint64,{_QUERY},bytes32,bytes32,uint32)",
            lambda v, e: [
                ("query", v[0], e.query),
                ("route", v[2], e.route),
                ("notes", v[3], e.notes),
                ("items", v[4], e.items),
            ],
        ),
        _Call(
            f"resumeRoute(uint64,{_QUERY},{_UPDATE},address,(bytes32,address)[],bytes32,bytes32)",
            lambda v, e: [
                ("query", v[0], e.query),
                ("route", v[5], e.route),
                ("notes", v[6], e.notes),
                ("items", v[1][3], e.items),
            ],
        ),
    ),
    EnvelopeDisputed: (
        _Call(
            f"complain(uint64,{_QUERY},uint8,bytes32,(bytes32,bytes32),bytes)",
            lambda v, e: [
                ("complaint.query", v[0], e.complaint.query),
                ("salt", v[4][0], e.salt),
                ("next_route", v[4][1], e.next_route),
            ],
        ),
    ),
}

MOST_PLACES = 64
"""In so many places of an input a restore order is looked for: it stands in one, the owner's own."""


@dataclass(frozen=True)
class _Calls:
    """The calls of a transaction that may have made an event; `hidden` tells whether there may be others."""

    found: list[tuple[_Call, Values]]
    hidden: bool


class InputAuditor:
    """Holds events against the input of their transactions.

    Attributes:
        count: how many values were compared with events.
        indirect: events whose ledger call is not to be seen in the transaction's input: another account's code made
            it, or it is hidden.
    """

    def __init__(self, ledger: Address, count: int = 0, indirect: int = 0) -> None:
        self._ledger = ledger
        self._read: tuple[Digest, dict[type, _Calls]] = (Digest(b""), {})
        self.count = count
        self.indirect = indirect

    def witness(self, logged: LoggedEvent, block: LinkedBlock) -> Witness:
        """What the chain tells beside an event.

        Raises:
            AuditFailure: the evidence for a restore is not in the transaction's input.
        """
        time = block.header.time
        if not isinstance(logged.event, RestoreOrdered):
            return Witness(time)
        transaction = block.by_hash()[logged.transaction_hash]
        leaves = restore_leaves(logged.event, transaction.data)
        if not leaves:
            raise _failure(logged, "input", self._wanted(logged), self._found(logged, transaction))
        return Witness(time, leaves)

    def compare(self, logged: LoggedEvent, block: LinkedBlock) -> None:
        """Compares an event with the input of its transaction.

        Raises:
            AuditFailure: the transaction is another call than the event's, or passed other values.
        """
        if type(logged.event) not in _CALLS:
            return
        calls = self._known_calls(logged, block)
        pairs = _closest([call.pairs(values, logged.event) for call, values in calls.found])
        differs = any(passed != told for _, passed, told in pairs)
        if calls.hidden and (differs or not pairs):
            self.indirect += 1
            return
        for name, passed, told in pairs:
            self.count += 1
            if passed != told:
                raise _failure(logged, name, f"{show(passed)}, as the transaction has it", show(told))

    def _known_calls(self, logged: LoggedEvent, block: LinkedBlock) -> _Calls:
        """Reads a transaction once, however many events it made: one may make hundreds."""
        if self._read[0] != logged.transaction_hash:
            self._read = (logged.transaction_hash, {})
        known, kind = self._read[1], type(logged.event)
        if kind not in known:
            known[kind] = self._calls(logged, block.by_hash()[logged.transaction_hash])
        return known[kind]

    def _calls(self, logged: LoggedEvent, transaction: RawTransaction) -> _Calls:
        """The calls in an event's transaction that may have made it.

        Raises:
            AuditFailure: a call of the ledger that cannot have made it.
        """
        if transaction.to != self._ledger:
            return _Calls([], hidden=True)
        parts = _parts(transaction.data)
        tried = [(call, _decode(call, data)) for data in parts for call in _calls_in(logged, data)]
        found = [(call, values) for call, values in tried if values is not None]
        if not tried and not any(_is_multicall(data) for data in parts):
            raise _failure(logged, "input", self._wanted(logged), self._found(logged, transaction))
        return _Calls(found, len(found) < len(tried) or any(_is_multicall(data) for data in parts))

    def _wanted(self, logged: LoggedEvent) -> str:
        return f"a call of {' or '.join(call.function for call in _CALLS[type(logged.event)])} at {self._ledger}"

    def _found(self, logged: LoggedEvent, transaction: RawTransaction) -> str:
        if transaction.to != self._ledger:
            return f"a transaction to {transaction.to}"
        if any(_calls_in(logged, data) for data in _parts(transaction.data)):
            return "malformed values"
        return f"a call of another function, {show(transaction.data[:4])}"


def _calls_in(logged: LoggedEvent, data: bytes) -> list[_Call]:
    """The functions that make such an event, of which `data` calls one."""
    return [call for call in _CALLS[type(logged.event)] if data[:4] == call.selector]


def restore_leaves(event: RestoreOrdered, data: bytes) -> tuple[Leaf, ...]:
    """The evidence for a restore in its transaction's input; empty if there is none.

    The owner's account may run code (EIP-7702), or a contract may carry its call: the call is looked for wherever it
    may stand. What is found is proved by the hashes that it must lead to.
    """
    (call,) = _CALLS[RestoreOrdered]
    places = [*(part for part in _parts(data) if part[:4] == call.selector), *_anywhere(call, data)]
    found = [values for part in places if (values := _decode(call, part)) is not None]
    same = [values for values in found if all(passed == told for _, passed, told in call.pairs(values, event))]
    chosen = (same or found)[:1]
    return tuple(Leaf(leaf) for values in chosen for leaf in values[1])


def _anywhere(call: _Call, data: bytes) -> Iterator[bytes]:
    """What may be a call within other bytes."""
    at = -1
    for _ in range(MOST_PLACES):
        at = data.find(call.selector, at + 1)
        if at < 0:
            return
        yield data[at:]


def _is_multicall(data: bytes) -> bool:
    return data[:4] == function_signature_to_4byte_selector(MULTICALL)


def _closest(candidates: list[Pairs]) -> Pairs:
    """Of several calls in one transaction that may have made an event, the one that it agrees with most."""
    return max(candidates, key=_agreeing, default=[])


def _agreeing(pairs: Pairs) -> int:
    return sum(passed == told for _, passed, told in pairs)


def _parts(data: bytes, depth: int = 0) -> list[bytes]:
    """The calls that a transaction's input stands for: itself, or those of a `multicall`, which may hold others."""
    if not _is_multicall(data) or depth == DEEPEST:
        return [data]
    try:
        calls = _split_calls(data[4:])
    except ValueError:
        return [data]
    return [part for call in calls for part in _parts(call, depth + 1)]


def _split_calls(body: bytes) -> list[bytes]:
    """The values of a `bytes[]`, if no two share their bytes: else some kilobytes could stand for gigabytes.

    Raises:
        ValueError: they do, or they are malformed.
    """
    start = _word(body, 0) + WORD
    count, left, calls = _word(body, start - WORD), len(body), []
    for index in range(count):
        at = start + _word(body, start + WORD * index) + WORD
        size = _word(body, at - WORD)
        left -= WORD + size
        if left < 0 or at + size > len(body):
            raise ValueError("calls that are not there, or there twice")
        calls.append(body[at : at + size])
    return calls


def _word(body: bytes, at: int) -> int:
    word = body[at : at + WORD]
    if len(word) != WORD:
        raise ValueError("it ends too early")
    return int.from_bytes(word, "big")


def _decode(call: _Call, data: bytes) -> Values | None:
    """As forgiving as the ledger, which ignores what stands between the values; None if that is not enough.

    The ledger takes offsets that eth-abi refuses, such as those into the head.
    """
    try:
        return tuple(abi_decode(call.types(), data[4:], strict=False))
    except (DecodingError, ValueError, OverflowError):
        return None


def _failure(logged: LoggedEvent, name: str, expected: str, found: str) -> AuditFailure:
    event: Event = logged.event
    return AuditFailure(subject_of(event), f"{type(event).__name__}.{name}", expected, found, Place.of(logged))
