"""The model: what the ledger should do with any call, whatever the order of its checks."""

from __future__ import annotations

import re
from typing import Any

from assurance.invariants import hashes
from assurance.invariants.hashes import RENEWAL, VIOLATION, ZERO
from assurance.invariants.query_model import FINAL, OVERFLOW, Phase, QueryModel, State
from assurance.invariants.reasons import BAD_VALUE, ModelRefusal, Reasons
from assurance.invariants.ring_model import Event

RING_CALLS = frozenset({"registerModel", "admitWorkers", "arrange", "attest", "orderRestore", "reportRestore"})
LAST_HOP = 2**16 - 1


class LedgerModel(QueryModel):
    """Takes calls by the contract's names."""

    def apply(self, sender: str, function: str, values: tuple[Any, ...], time: int) -> list[Event]:
        """Takes a call and gives its events.

        Raises:
            ModelRefusal: the call is refused, and nothing has changed.
        """
        if function == "multicall":
            return self._multicall(sender, values[0], time)
        name = re.sub(r"(?<!^)(?=[A-Z])", "_", function).lower()
        owner = self.ring if function in RING_CALLS else self
        events: list[Event] = getattr(owner, name)(sender, time, *values)
        return events

    def _multicall(self, sender: str, calls: Any, time: int) -> list[Event]:
        trial = self.copy()
        try:
            events = [event for function, values in calls for event in trial.apply(sender, function, values, time)]
        except ModelRefusal as refusal:
            # OpenZeppelin's words for a call in a batch that reverts without any.
            raise ModelRefusal(
                [("FailedInnerCall", ()) if not name else (name, values) for name, values in refusal.reasons]
            ) from None
        self.ring, self.records, self.changes = trial.ring, trial.records, trial.changes
        return events

    # ------------------------------------------------------------------ when it goes wrong

    def complain(
        self,
        _sender: str,
        _time: int,
        query: int,
        shown: Any,
        kind: int,
        evidence: bytes,
        opening: Any,
        signature: bytes,
    ) -> list[Event]:
        """`complain`."""
        reasons = Reasons()
        record, state = self.shown(reasons, query, shown)
        reasons.add(kind > 3, *BAD_VALUE[:1])
        is_sent = state.phase in {Phase.ROUTED, Phase.COMPUTED}
        reasons.add(not is_sent, "UnexpectedPhase", query, Phase.ROUTED, state.phase)
        complaint = (query, state.attempt, state.hop, kind, evidence, state.trail)
        signer = self.ring.signer(reasons, hashes.COMPLAINT, signature, *complaint)
        if signer is not None:
            is_recipient = self._is_recipient(state, signer, *opening)
            reasons.add(not is_recipient, "NotRecipient", query, state.hop, signer)
        reasons.settle()
        assert signer is not None  # else there was a reason
        record = record.extended(hashes.digest(self.ring.domain, hashes.COMPLAINT, *complaint), signer)
        self._put(query, record.at(phase=Phase.DISPUTED))
        return [
            (
                "EnvelopeDisputed",
                (query, state.hop, signer, complaint, tuple(opening), signature, record.state.trail),
            )
        ]

    def _is_recipient(self, state: State, signer: str, salt: bytes, rest: bytes) -> bool:
        if state.phase == Phase.COMPUTED:
            return signer == self.ring.owner
        return state.hop != 0 and self.opens(state.route, [signer], [salt], rest)

    def judge(
        self, _sender: str, _time: int, query: int, shown: Any, sender_guilty: bool, receiver_guilty: bool,
        evidence: bytes, signature: bytes,
    ) -> list[Event]:  # fmt: skip
        """`judge`."""
        reasons = Reasons()
        record, state = self.shown(reasons, query, shown)
        reasons.add(state.phase != Phase.DISPUTED, "UnexpectedPhase", query, Phase.DISPUTED, state.phase)
        verdict = (query, state.attempt, state.hop, sender_guilty, receiver_guilty, evidence, state.trail)
        record = self._by_owner(reasons, query, record, hashes.VERDICT, signature, verdict)
        reasons.settle()
        self._put(query, record.at(phase=Phase.INTERRUPTED))
        return [("VerdictPosted", (query, state.hop, verdict, signature, record.state.trail))]

    def resume_route(
        self, sender: str, time: int, query: int, shown: Any, anchor: Any, signer: str, later: Any, route: bytes,
        notes: bytes,
    ) -> list[Event]:  # fmt: skip
        """`resumeRoute`."""
        reasons = Reasons()
        self.ring.owner_only(reasons, sender)
        self.ring.authentic_only(reasons)
        record, state = self.shown(reasons, query, shown)
        reasons.add(state.phase != Phase.INTERRUPTED, "UnexpectedPhase", query, Phase.INTERRUPTED, state.phase)
        self.same_model(reasons, query, state)
        hop = anchor[2]
        if hop == LAST_HOP:
            raise ModelRefusal([*reasons.found, OVERFLOW])
        too_late = hop >= state.hop or hop + 1 >= len(self.ring.seats)
        reasons.add(too_late, "ResumedTooLate", query, state.hop, hop + 1)
        marks = [digest for digest, _ in later]
        reasons.add(marks[:1] == [VIOLATION] or RENEWAL in marks, "UnusableAnchor", query, hop)
        digest = hashes.digest(self.ring.domain, hashes.UPDATE, *anchor)
        led_here = any(
            item == (digest, signer, anchor[7]) and record.entries_after(index) == list(map(tuple, later))
            for index, item in enumerate(record.history)
        )
        trail = hashes.next_trail(anchor[7], digest, signer)
        for entry in later:
            trail = hashes.next_trail(trail, *entry)
        reasons.add(not led_here, "UnexpectedTrail", query, state.trail, trail)
        reasons.add(route == ZERO, "EmptyRoute", query)
        reasons.settle()
        event = self._begin(query, record.at(expected=anchor[6]), time, hop + 1, route, notes)
        return [event, ("QueryResumed", (query, state.attempt + 1, anchor[1], hop))]

    def time_out(self, _sender: str, time: int, query: int, shown: Any) -> list[Event]:
        """`timeOut`."""
        reasons = Reasons()
        self.ring.authentic_only(reasons)
        record, state = self.shown(reasons, query, shown)
        reasons.add(state.phase != Phase.ROUTED, "UnexpectedPhase", query, Phase.ROUTED, state.phase)
        deadline = self.deadline(state.touched)
        reasons.add(time <= deadline, "DeadlineAhead", query, deadline, time)
        reasons.settle()
        self._put(query, record.at(phase=Phase.INTERRUPTED))
        return [("HopTimedOut", (query, state.attempt, state.hop, deadline))]

    def withdraw_query(self, sender: str, time: int, query: int, shown: Any, question: Any, later: Any) -> list[Event]:
        """`withdrawQuery`."""
        reasons = Reasons()
        record, state = self.shown(reasons, query, shown)
        is_closed = state.phase in {Phase.NONE, *FINAL}
        reasons.add(is_closed, "QueryNotOpen", query, state.phase)
        asked = (record.querent, record.question, record.entries_after(-1))
        trail = hashes.first_trail(query, sender, tuple(question))
        for entry in later:
            trail = hashes.next_trail(trail, *entry)
        is_history = (sender, tuple(question), list(map(tuple, later))) == asked
        reasons.add(not is_history, "UnexpectedTrail", query, state.trail, trail)
        deadline = question[2] + self.withdraw_seconds
        reasons.add(time <= deadline, "DeadlineAhead", query, deadline, time)
        reasons.settle()
        self._put(query, record.at(phase=Phase.WITHDRAWN))
        return [("QueryWithdrawn", (query,))]
