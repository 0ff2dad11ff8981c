"""Records become plain values and come back the same; what is no such record is refused."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import Enum

import pytest

from deepring_chain.encoding import decode, encode
from deepring_chain.errors import ProtocolError
from deepring_chain.protocol.plain import from_plain, to_plain
from deepring_chain.protocol.verifier import TrailVerifier
from deepring_chain.protocol.verifier_report import TrailState
from deepring_chain.types import Address, Digest, Hop
from tests.unit.protocol.full_trail import full_trail
from tests.unit.protocol.trail_names import TERMS, place_events


class Color(Enum):
    RED = 1
    BLUE = 2


@dataclass(frozen=True)
class Inner:
    hop: Hop
    name: str


@dataclass(frozen=True)
class Other:
    digest: Digest


@dataclass(frozen=True)
class Record:
    either: Inner | Other | None
    color: Color
    flags: tuple[bool, ...]
    pair: tuple[int, str]
    seen: frozenset[bytes]
    by_name: dict[Address, Inner] = field(default_factory=dict)
    counted: Counter[Color] = field(default_factory=Counter)
    listed: list[str] = field(default_factory=list)


RECORDS = [
    Record(None, Color.RED, (), (1, "x"), frozenset()),
    Record(
        Other(Digest(bytes(32))),
        Color.BLUE,
        (True, False),
        (-1, ""),
        frozenset({b"b", b"a"}),
        {Address("0x1"): Inner(Hop(2), "n")},
        Counter({Color.RED: 3}),
        ["a"],
    ),
    Record(Inner(Hop(1), "i"), Color.RED, (True,), (0, "y"), frozenset({b""})),
]


@pytest.mark.parametrize("record", RECORDS, ids=["empty", "full", "other of the union"])
def test_record_comes_back_the_same_through_bytes(record: Record) -> None:
    plain = decode(encode(to_plain(record)), "record")
    assert from_plain(Record, plain) == record


PLAIN = to_plain(RECORDS[1])


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (0, "Recorder", "no Record"),
        (1, ["Third", b""], "unknown kind"),
        (1, 7, "int in place of list"),
        (2, "GREEN", "no Color"),
        (2, 1, "no Color"),
        (3, [1], "int in place of bool"),
        (4, [1], "1 values in place of 2"),
        (4, [1, 2], "int in place of str"),
        (5, ["a"], "str in place of bytes"),
        (6, [["0x1"]], "a pair that is none"),
        (6, [["0x1", ["Inner", 1]]], "no Inner"),
        (7, [["RED", "3"]], "str in place of int"),
        (8, None, "NoneType in place of list"),
    ],
)
def test_anything_else_is_refused(place: int, value: object, message: str) -> None:
    changed = [*PLAIN[:place], value, *PLAIN[place + 1 :]]
    with pytest.raises(ProtocolError, match=message):
        from_plain(Record, changed)


def test_verifier_that_is_kept_and_taken_up_anew_after_every_block_finds_the_same() -> None:
    events = place_events(full_trail())
    whole, kept = TrailVerifier(TERMS), TrailVerifier(TERMS)
    for index, (logged, witness) in enumerate(events):
        whole.check(logged, witness)
        kept.check(logged, witness)
        is_last_of_block = index + 1 == len(events) or events[index + 1][0].block_number != logged.block_number
        if is_last_of_block:
            plain = decode(encode(to_plain(kept.save())), "state")
            kept = TrailVerifier(TERMS, from_plain(TrailState, plain))
    assert kept.finish() == whole.finish()
    assert to_plain(kept.save()) == to_plain(whole.save())
