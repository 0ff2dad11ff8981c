"""One run: a fresh ledger and a fresh model get the same calls, and must say the same of each."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from assurance.invariants import hashes
from assurance.invariants.calls import Call
from assurance.invariants.director import ORDINARY, Director, Style, encodable
from assurance.invariants.evm import CHAIN_ID, MOST_CODE, Accepted, InProcessLedger, Outcome, Refused
from assurance.invariants.model import LedgerModel
from assurance.invariants.players import Players, player_key
from assurance.invariants.properties import Invariants, Violation
from assurance.invariants.query_model import Opening, Phase
from assurance.invariants.reasons import ModelRefusal
from assurance.invariants.ring_model import Mode, RingModel
from deepring_chain.chain.artifact import Artifact

START = 1_700_000_000
HOP_SECONDS, WITHDRAW_SECONDS = 60, 600
OWNER = hashes.address_of(player_key(0).public_key)

PHASES = frozenset(
    {
        (Phase.NONE, Phase.SUBMITTED),
        (Phase.SUBMITTED, Phase.ROUTED),
        (Phase.SUBMITTED, Phase.REJECTED),
        (Phase.SUBMITTED, Phase.WITHDRAWN),
        (Phase.ROUTED, Phase.ROUTED),
        (Phase.ROUTED, Phase.COMPUTED),
        (Phase.ROUTED, Phase.DISPUTED),
        (Phase.ROUTED, Phase.INTERRUPTED),
        (Phase.ROUTED, Phase.WITHDRAWN),
        (Phase.COMPUTED, Phase.DELIVERED),
        (Phase.COMPUTED, Phase.DISPUTED),
        (Phase.COMPUTED, Phase.WITHDRAWN),
        (Phase.DISPUTED, Phase.INTERRUPTED),
        (Phase.DISPUTED, Phase.WITHDRAWN),
        (Phase.INTERRUPTED, Phase.ROUTED),
        (Phase.INTERRUPTED, Phase.REJECTED),
        (Phase.INTERRUPTED, Phase.WITHDRAWN),
    }
)
"""SPECIFICATION.md, section 5; every other transition of a query is forbidden."""

MODES = frozenset(
    {
        (Mode.SETUP, Mode.ATTESTING),
        (Mode.ATTESTING, Mode.SETUP),
        (Mode.ATTESTING, Mode.QUERY),
        (Mode.ATTESTING, Mode.TRACKING),
        (Mode.QUERY, Mode.SETUP),
        (Mode.QUERY, Mode.ATTESTING),
        (Mode.TRACKING, Mode.SETUP),
        (Mode.TRACKING, Mode.ATTESTING),
    }
)
"""The same for the ring: between query mode and tracking mode there is always a new attestation."""


@dataclass
class Counts:
    """What happened, over all runs."""

    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    phases: Counter[tuple[Phase, Phase]] = field(default_factory=Counter)
    modes: Counter[tuple[Mode, Mode]] = field(default_factory=Counter)
    checked: Counter[str] = field(default_factory=Counter)
    unsendable: int = 0
    """Calls with a value that does not fit its type, which are left out."""

    @property
    def calls(self) -> int:
        """How many transactions."""
        return sum(self.outcomes.values())


class Run:
    """A ledger beside its model.

    Attributes:
        ledger, model, invariants: the two, and who watches.
        calls: all transactions so far.
    """

    def __init__(
        self,
        artifact: Artifact,
        counts: Counts,
        openings: dict[bytes, Opening] | None = None,
        code_limit: int = MOST_CODE,
    ) -> None:
        self.counts, self.calls = counts, list[Call]()
        self.ledger = InProcessLedger(artifact, (OWNER, HOP_SECONDS, WITHDRAW_SECONDS), START, code_limit)
        domain = hashes.domain_separator(CHAIN_ID, self.ledger.address)
        shared = {} if openings is None else openings
        self.model = LedgerModel(RingModel(OWNER, domain), HOP_SECONDS, WITHDRAW_SECONDS, shared)
        self.invariants = Invariants(self.ledger, OWNER, domain, shared)

    def step(self, call: Call) -> bool:
        """Makes a call on both sides; False when a value does not fit its type, so that nobody could send it.

        Raises:
            Violation: they differ, or an invariant does not hold.
        """
        data = encodable(call, self.ledger.calldata)
        if data is None:
            self.counts.unsendable += 1
            return False
        self.calls.append(call)
        self.model.changes.clear()
        mode = self.model.ring.mode
        expected, reasons = self._predict(call)
        if expected is not None:
            self.invariants.before()
        outcome = self.ledger.send(call.sender, data, call.time)
        self._compare(call, expected, reasons, outcome)
        self.counts.outcomes[call.function, outcome.name or "bad value"] += 1
        if isinstance(outcome, Accepted):
            self.invariants.after(outcome, call.time)
            self._note(call, mode)
            self._compare_views()
        return True

    def _predict(self, call: Call) -> tuple[list[Any] | None, list[Any]]:
        try:
            return self.model.apply(call.sender, call.function, call.values, call.time), []
        except ModelRefusal as refusal:
            return None, refusal.reasons

    def _compare(self, call: Call, expected: list[Any] | None, reasons: list[Any], outcome: Outcome) -> None:
        if isinstance(outcome, Refused):
            found = (outcome.name, outcome.values)
            if expected is not None:
                raise Violation(f"model: {call.function} is refused with {found}, and the model takes it")
            if not any(reason[0] == found[0] and tuple(reason[1]) == tuple(found[1]) for reason in reasons):
                raise Violation(f"model: {call.function} is refused with {found}; the model sees {reasons}")
        elif expected is None:
            raise Violation(f"model: {call.function} is accepted; the model refuses it for {reasons}")
        elif _plain(expected) != _plain(outcome.events):
            raise Violation(f"model: {call.function} emits {outcome.events}; the model {expected}")

    def _compare_views(self) -> None:
        ring = self.model.ring
        (mode,) = self.ledger.read("mode")
        arrangement = self.ledger.read("arrangement")[0]
        blocks = ring.block_hashes
        here = (ring.arrangement, ring.arranged_version, len(ring.seats), len(blocks), ring.recorded)
        found = (*arrangement[:4], arrangement[5])
        if (mode, found) != (ring.mode, here):
            raise Violation(f"model: the ring is {mode, found}; the model's {ring.mode, here}")
        since = ring.authentic_at if ring.is_authentic else 0
        if arrangement[4] != since:
            raise Violation(f"model: authentic since {arrangement[4]}; the model says {since}")
        for position, seat in enumerate(ring.seats):
            stored = self.ledger.read("seatAt", position)[0]
            if (stored[0], stored[2], stored[3]) != (seat.worker, seat.round, seat.reported):
                raise Violation(f"model: seat {position} is {stored}; the model's {seat}")
            if position < len(blocks) and stored[5] != blocks[position]:
                raise Violation(f"model: the block hash of seat {position} is not the fold of the leaves")

    def check_all(self) -> None:
        """Compares the word of every query, and the keys of all accounts.

        Raises:
            Violation: they differ.
        """
        for query, record in self.model.records.items():
            if self.ledger.read("stateOf", query)[0] != record.state.word:
                raise Violation(f"model: query {query} is not in the state {record.state}")
        for account, key in self.model.ring.keys.items():
            if self.ledger.read("sealingKeyOf", account)[0] != key:
                raise Violation(f"model: the sealing key of {account} is another")

    def _note(self, call: Call, before: Mode) -> None:
        """Counts the transitions; one that the specification does not have is a violation."""
        for change in self.model.changes:
            self.counts.phases[Phase(change[0]), Phase(change[1])] += 1
            if change not in PHASES:
                raise Violation(f"transition: {call.function} takes a query from {change[0]!r} to {change[1]!r}")
        after = self.model.ring.mode
        if call.function != "multicall":
            self.counts.modes[before, after] += 1
            if before is not after and (before, after) not in MODES:
                raise Violation(f"transition: {call.function} takes the ring from {before!r} to {after!r}")


def _plain(events: Any) -> Any:
    """Lists as tuples, and enumerations as numbers."""
    if isinstance(events, list | tuple):
        return tuple(_plain(each) for each in events)
    return events


def play(
    artifact: Artifact,
    chance: random.Random,
    calls: int,
    counts: Counts,
    style: Style = ORDINARY,
    code_limit: int = MOST_CODE,
) -> Run:
    """Plays a run of random calls.

    Raises:
        Violation: with the calls so far in `violation.calls`.
    """
    run = Run(artifact, counts, code_limit=code_limit)
    director = Director(Players(run.model, chance), chance, START, style)
    try:
        while len(run.calls) < calls:
            run.step(director.next())
        run.check_all()
    except Violation as violation:
        violation.run = run  # type: ignore[attr-defined]
        raise
    counts.checked.update(run.invariants.checked)
    return run
