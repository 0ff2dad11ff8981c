"""Draws the next call: sensible ones, spoiled ones, ones out of turn, repeated ones, batches; and lets time pass."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from dataclasses import astuple, dataclass, replace
from typing import Any

from assurance.invariants.calls import Call, leaves, spoil
from assurance.invariants.model import LedgerModel
from assurance.invariants.players import Players
from assurance.invariants.query_model import FINAL
from assurance.invariants.reasons import ModelRefusal
from assurance.invariants.ring_model import Mode

MOST_OPEN = 6
"""Queries at a time."""
CARRIED = frozenset({"post", "postRuns", "postContradiction", "deliver", "judge", "complain", "attest", "timeOut"})
"""Calls that anyone may carry."""


@dataclass(frozen=True)
class Style:
    """How a run is played.

    Attributes:
        sensible, spoiled, out_of_turn, repeated: shares of the calls; the rest are batches.
        about_ring: how many of those out of turn are about the ring.
    """

    sensible: float
    spoiled: float
    out_of_turn: float
    repeated: float
    about_ring: float


ORDINARY = Style(sensible=0.62, spoiled=0.18, out_of_turn=0.09, repeated=0.03, about_ring=0.2)
"""Queries get far."""
STRANGE = Style(sensible=0.40, spoiled=0.15, out_of_turn=0.37, repeated=0.04, about_ring=0.5)
"""Most of it is refused, and the ring has no peace."""


class Director:
    """Chooses.

    Attributes:
        players: who move.
        time: the chain's.
        style: what share is what.
    """

    def __init__(self, players: Players, chance: random.Random, time: int, style: Style = ORDINARY) -> None:
        self.players, self.chance, self.time, self.style = players, chance, time, style
        self._urgent: list[Call] = []
        self._past: deque[Call] = deque(maxlen=300)
        self._words: deque[bytes] = deque(maxlen=300)

    @property
    def _model(self) -> LedgerModel:
        return self.players.model

    def next(self) -> Call:
        """The next transaction."""
        self.time = self.players.time = self._later()
        call = replace(self._choose(), time=self.time)
        self._past.append(call)
        self._words.extend(value for _, value in leaves(call.values) if type(value) is bytes and len(value) == 32)
        return call

    # ------------------------------------------------------------------ time

    def _later(self) -> int:
        draw = self.chance.random()
        if draw < 0.6:
            return self.time
        if draw < 0.97:
            return self.time + self.chance.randint(1, 3)
        return max(self.time, self._deadline(is_long=draw > 0.992) + self.chance.randint(-1, 1))

    def _deadline(self, *, is_long: bool) -> int:
        """That of a hop that is due, or of a query that may be withdrawn after it; what hangs on it comes next."""
        query = self._query()
        record = self._model.record(query)
        if is_long:
            self._urgent.append(self.players.withdraw_query(query))
            return record.question[2] + self._model.withdraw_seconds
        self._urgent.append(self.chance.choice([self.players.post, self.players.time_out])(query))
        return self._model.deadline(record.state.touched)

    # ------------------------------------------------------------------ what

    def _choose(self) -> Call:
        if self._urgent:
            return self._urgent.pop()
        style = self.style
        kind = self.chance.choices(
            [self.sensible, self.spoiled, self.out_of_turn, self._repeated, self.batch],
            [style.sensible, style.spoiled, style.out_of_turn, style.repeated, 1 - sum(astuple(style)[:4])],
        )[0]
        return kind()

    def sensible(self) -> Call:
        """What somebody would do next."""
        ring, draw = self._model.ring, self.chance.random()
        if ring.mode is not Mode.QUERY and draw < 0.55:
            return self._pick(self.players.ring_moves())
        if draw < 0.012:
            return self._pick(self.players.ring_moves())
        if draw < 0.014:
            return self.players.register_model()
        if draw < 0.016:
            return self.players.admit_workers()
        open_queries = self._open_queries()
        if len(open_queries) < MOST_OPEN and (draw > 0.9 or not open_queries):
            return self.players.submit_query()
        if draw > 0.885:
            return self.players.withdraw_query(self._query())
        return self._pick(self.players.query_moves(self._query()))

    def out_of_turn(self) -> Call:
        """Any call in any state; one in three is spoiled too."""
        if self.chance.random() < self.style.about_ring:
            call = self._pick(self.players.all_ring_moves())
        else:
            call = self.chance.choice(self.players.all_query_moves())(self._query(any_phase=True))
        return self._spoil(call) if self.chance.random() < 0.33 else call

    def spoiled(self) -> Call:
        """What somebody would do next, with something wrong."""
        return self._spoil(self.sensible())

    def _spoil(self, call: Call) -> Call:
        if self.chance.random() < 0.12:
            return replace(call, sender=self.chance.choice(self.players.accounts))
        return spoil(call, self.chance, list(self._words), self.players.accounts)

    def _repeated(self) -> Call:
        return self.chance.choice(self._past) if self._past else self.sensible()

    def batch(self) -> Call:
        """Up to four calls of one sender, each made for the state after the one before; some are spoiled."""
        actual = self._model
        trial = self.players.model = actual.copy()
        calls: list[Call] = []
        try:
            for _ in range(self.chance.randint(1, 4)):
                call = self.sensible()
                if calls and call.function not in CARRIED and call.sender != calls[0].sender:
                    continue
                if self.chance.random() < 0.05:
                    call = self._spoil(call)
                calls.append(call)
                trial.apply(calls[0].sender, call.function, call.values, self.time)
        except ModelRefusal:
            pass
        finally:
            self.players.model = actual
        return Call(calls[0].sender, "multicall", ([(call.function, call.values) for call in calls],))

    def _pick(self, moves: list[Callable[[], Call]]) -> Call:
        return self.chance.choice(moves)()

    # ------------------------------------------------------------------ which query

    def _open_queries(self) -> list[int]:
        """The last of them, which are open."""
        records = self._model.records
        recent = range(max(1, len(records) - 40), len(records) + 1)
        return [query for query in recent if records[query].state.phase not in FINAL]

    def _query(self, *, any_phase: bool = False) -> int:
        """An open one; if there is none, or any will do, any that is or is not."""
        open_queries = self._open_queries()
        if open_queries and not (any_phase and self.chance.random() < 0.5):
            return self.chance.choice(open_queries)
        return self.chance.randint(0, len(self._model.records) + 1)


def encodable(call: Call, encode: Callable[[str, tuple[Any, ...]], bytes]) -> bytes | None:
    """The call as bytes, or None when a value does not fit its type, so that nobody could send it."""
    try:
        if call.function == "multicall":
            return encode("multicall", ([encode(function, values) for function, values in call.values[0]],))
        return encode(call.function, call.values)
    except Exception as error:
        if type(error).__module__.startswith("eth_abi"):
            return None
        raise
