"""The numbered invariants, checked on what the ledger itself says: its events and views. The model has no part in it.

The numbers are those of SPECIFICATION.md, section 4.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from assurance.invariants import hashes
from assurance.invariants.evm import Accepted, InProcessLedger
from assurance.invariants.hashes import ZERO
from assurance.invariants.query_model import Opening

NEEDS_FLAG = frozenset({"RouteOpened", "UpdatePosted", "RunPosted", "AnswerDelivered", "HopTimedOut"})
ENDS = {"AnswerDelivered": "delivered", "QueryRejected": "rejected", "QueryWithdrawn": "withdrawn"}
QUERY, TRACKING = 2, 3


class Violation(Exception):
    """Something that the ledger must never do."""


@dataclass
class Attempt:
    """What the events told of a query's attempt."""

    number: int
    route: bytes
    version: int
    hop: int
    items: int
    expected: bytes | None
    """None before hop 0."""
    is_running: bool = True
    is_complete: bool = False


@dataclass
class Followed:
    """What the events told of a query."""

    querent: str
    submitted_at: int
    attempt: Attempt | None = None
    accepted: dict[tuple[int, int], tuple[bytes, int]] = field(default_factory=dict)
    """H and model version of every entry that held eq. 13, by attempt and hop."""
    end: str = ""


class Invariants:
    """Watches a ledger.

    Attributes:
        checked: how often each invariant was held against something.
    """

    def __init__(self, ledger: InProcessLedger, owner: str, domain: bytes, openings: dict[bytes, Opening]) -> None:
        self._ledger, self._owner, self._domain, self._openings = ledger, owner, domain, openings
        self._queries: dict[int, Followed] = {}
        self._attested: set[tuple[int, int, int]] = set()
        self._was_authentic = False
        self._words: dict[int, bytes] = {}
        self._version = 0
        self.checked: dict[str, int] = {}
        self._watchers: dict[str, Callable[..., None]] = {
            "ModelRegistered": self._model,
            "BlockAttested": self._attested_block,
            "RestoreOrdered": self._restore,
            "QuerySubmitted": self._submitted,
            "RouteOpened": self._opened,
            "QueryResumed": self._resumed,
            "UpdatePosted": self._posted_one,
            "RunPosted": self._posted,
            "OutputDisputed": self._disputed,
            "EnvelopeDisputed": self._complained,
            "VerdictPosted": self._judged,
            "HopTimedOut": self._timed_out,
            "AnswerDelivered": self._delivered,
            "QueryRejected": self._rejected,
            "QueryWithdrawn": self._withdrawn,
        }

    def require(self, number: int, holds: bool, text: str) -> None:
        """Counts a check.

        Raises:
            Violation: it does not hold.
        """
        name = f"I-{number}"
        self.checked[name] = self.checked.get(name, 0) + 1
        if not holds:
            raise Violation(f"{name}: {text}")

    def before(self) -> None:
        """Notes the ring before a call that changes something."""
        (self._was_authentic,) = self._ledger.read("isAuthentic")
        self._seats_before = self._seats()

    def after(self, outcome: Accepted, time: int) -> None:
        """Holds a call's events and what it left behind against the invariants."""
        self._authentic = self._was_authentic
        touched: set[int] = set()
        events = list(outcome.events)
        for index, (name, values) in enumerate(events):
            following = events[index + 1][0] if index + 1 < len(events) else ""
            if name in NEEDS_FLAG:
                self.require(1, self._authentic, f"{name} while the flag is off")
            watcher = self._watchers.get(name)
            if watcher:
                watcher(values, time, following)
            if name in {"ModelRegistered", "RingArranged"}:
                self._authentic = False
            elif name == "AuthenticityDerived":
                self._authentic = values[1]
            if name in self._watchers and name not in {"ModelRegistered", "BlockAttested", "RestoreOrdered"}:
                touched.add(values[0])
        self._check_flag()
        self._check_words(touched)

    # ------------------------------------------------------------------ the ring

    def _seats(self) -> list[Any]:
        arrangement = self._ledger.read("arrangement")[0]
        return [self._ledger.read("seatAt", position)[0] for position in range(arrangement[2])]

    def _check_flag(self) -> None:
        """The flag follows from the leaves and the record, with SHA-256 done again."""
        arrangement, seats = self._ledger.read("arrangement")[0], self._seats()
        number, version, count, _, since, recorded, _ = arrangement
        attested = [seat for seat in seats if seat[1] == number]
        is_whole = number != 0 and len(attested) == count and version == self._version
        follows = is_whole and hashes.fold([seat[4] for seat in seats])[-1] == recorded
        (flag,) = self._ledger.read("isAuthentic")
        self.require(5, flag == follows, f"the flag is {flag}, and follows as {follows}")
        self.require(5, (since != 0) == flag, f"the flag is {flag}, and is said to be true since {since}")

    def _model(self, values: Any, _time: int, _following: str) -> None:
        self._version = values[0]

    def _attested_block(self, values: Any, _time: int, _following: str) -> None:
        arrangement, position, worker, round_, leaf, key, signature = values
        place = (arrangement, position, round_)
        self.require(4, place not in self._attested, f"a second leaf for {place}")
        self._attested.add(place)
        current = self._ledger.read("arrangement")[0][0]
        seat = self._ledger.read("seatAt", position)[0]
        self.require(4, arrangement <= current, f"a leaf for arrangement {arrangement} in {current}")
        digest = hashes.digest(self._domain, hashes.ATTESTATION, arrangement, position, round_, leaf, key)
        signer = hashes.recover(digest, signature)
        self.require(4, signer == worker, f"the leaf of {worker} is signed by {signer}")
        if arrangement == current:
            self.require(4, worker == seat[0], f"the leaf of {worker} in the seat of {seat[0]}")

    def _restore(self, values: Any, _time: int, _following: str) -> None:
        _, position, worker, _, recorded, recomputed, renewed, _, _ = values
        self.require(5, renewed not in {recorded, recomputed}, f"seat {position} is restored under an old challenge")
        self.require(7, recorded != recomputed, f"seat {position} is restored, and its block is intact")
        if self._seats_before and position < len(self._seats_before):
            self.require(7, worker == self._ledger.read("seatAt", position)[0][0], "another's block is restored")

    # ------------------------------------------------------------------ queries

    def _submitted(self, values: Any, time: int, _following: str) -> None:
        query, querent = values[:2]
        self.require(12, query == len(self._queries) + 1, f"query {query} after {len(self._queries)} queries")
        self._queries[query] = Followed(querent, time)

    def _open(self, query: int) -> Followed:
        followed = self._queries[query]
        self.require(11, not followed.end, f"query {query} goes on after it was {followed.end}")
        return followed

    def _opened(self, values: Any, _time: int, following: str) -> None:
        query, number, first_hop, items, route, _ = values
        followed = self._open(query)
        before = followed.attempt
        self.require(12, number == (before.number if before else 0) + 1, f"query {query}: attempt {number}")
        self.require(12, before is None or not before.is_running, f"query {query}: an attempt begins while one runs")
        self.require(9, (first_hop != 0) == (following == "QueryResumed"), f"query {query} resumes from nowhere")
        self.require(17, items > 0, f"query {query}: a route for no items")
        self.require(17, before is None or items == before.items, f"query {query}: another number of items, {items}")
        followed.attempt = Attempt(number, route, self._version, first_hop, items, None)

    def _resumed(self, values: Any, _time: int, _following: str) -> None:
        query, number, anchor_attempt, anchor_hop = values
        followed = self._open(query)
        attempt, anchor = followed.attempt, followed.accepted.get((anchor_attempt, anchor_hop))
        self.require(9, anchor is not None, f"query {query} goes on from attempt {anchor_attempt}, hop {anchor_hop}")
        assert attempt is not None  # `RouteOpened` came before
        assert anchor is not None
        is_next = (number, attempt.hop) == (attempt.number, anchor_hop + 1)
        self.require(9, is_next, f"query {query} goes on at hop {attempt.hop} after hop {anchor_hop}")
        self.require(10, anchor[1] == self._version, f"query {query} goes on from what another model computed")
        attempt.expected = anchor[0]

    def _posted_one(self, values: Any, time: int, following: str) -> None:
        self._posted((*values[:-1], (values[-1],)), time, following)

    def _posted(self, values: Any, _time: int, following: str) -> None:
        query, number, hop, items, trail, output, rest, entries = values
        attempt = self._open(query).attempt
        self.require(2, attempt is not None and attempt.is_running, f"query {query}: a hop, and no attempt runs")
        assert attempt is not None
        place = (attempt.number, attempt.hop, attempt.items)
        is_due = (number, hop, items) == place
        self.require(2, is_due, f"query {query}: attempt, hop, items {number, hop, items} instead of {place}")
        self.require(10, attempt.version == self._version, f"query {query}: a hop of another model's attempt")
        for entry in entries:
            envelope, next_output, salt, r, vs = entry
            self._check_output(query, attempt, output, following if len(entries) == 1 else "")
            update = (query, number, attempt.hop, items, envelope, output, next_output, trail)
            digest = hashes.digest(self._domain, hashes.UPDATE, *update)
            signer = hashes.recover(digest, hashes.expanded(r, vs)) or ""
            self._check_turn(query, attempt, signer, salt)
            trail = hashes.next_trail(trail, digest, signer)
            if following != "OutputDisputed":
                self._queries[query].accepted[number, attempt.hop] = (next_output, self._version)
                attempt.hop, attempt.expected = attempt.hop + 1, next_output
            output = next_output
        self.require(3, attempt.route == rest, f"query {query}: another rest of the route than was committed to")
        seats = self._ledger.read("arrangement")[0][2]
        attempt.is_complete = attempt.hop == seats
        self.require(2, attempt.hop <= seats, f"query {query}: {attempt.hop} hops")

    def _check_output(self, query: int, attempt: Attempt, output: bytes, following: str) -> None:
        """Eq. 13: either the output is the expected one, or the violation is on record."""
        is_disputed = following == "OutputDisputed"
        if attempt.hop == 0:
            self.require(16, not is_disputed, f"query {query}: hop 0, of which nothing is expected, is disputed")
            return
        holds = output == attempt.expected
        self.require(6, holds != is_disputed, f"query {query}, hop {attempt.hop}: eq. 13 holds: {holds}; {following}")

    def _check_turn(self, query: int, attempt: Attempt, signer: str, salt: bytes) -> None:
        opening = self._openings.get(attempt.route)
        in_turn = opening is not None and (opening.signer, opening.salt) == (signer, salt)
        self.require(3, in_turn, f"query {query}, hop {attempt.hop}: signed by {signer}, whose turn it is not")
        attempt.route = opening.rest if opening else ZERO

    def _disputed(self, values: Any, _time: int, _following: str) -> None:
        query, number, hop, expected, actual = values
        attempt = self._open(query).attempt
        assert attempt is not None  # an update or a delivery came before
        self.require(6, expected != actual, f"query {query}: a dispute over equal outputs")
        here = (number, hop, expected) == (attempt.number, attempt.hop, attempt.expected)
        self.require(6, here, f"query {query}: a dispute at hop {hop} of attempt {number}")
        self.require(16, hop != 0, f"query {query}: a dispute at hop 0")
        self._queries[query].end = ""
        attempt.is_running = False

    def _complained(self, values: Any, _time: int, _following: str) -> None:
        query, hop, recipient, _, (salt, rest), _, _ = values
        attempt = self._open(query).attempt
        self.require(8, attempt is not None and attempt.is_running, f"query {query}: a complaint, and nothing was sent")
        assert attempt is not None
        self.require(8, hop == attempt.hop and hop > 0, f"query {query}: a complaint at hop {hop}")
        due = self._owner
        if not attempt.is_complete:
            opening = self._openings.get(attempt.route)
            due = opening.signer if opening and (salt, rest) == (opening.salt, opening.rest) else ""
        self.require(8, recipient == due, f"query {query}: {recipient} complains of what was sent to {due}")
        attempt.is_running = False

    def _judged(self, values: Any, _time: int, _following: str) -> None:
        attempt = self._open(values[0]).attempt
        is_disputed = attempt is not None and not attempt.is_running
        self.require(13, is_disputed, f"query {values[0]}: a verdict, and nothing is in dispute")
        digest = hashes.digest(self._domain, hashes.VERDICT, *values[2])
        self.require(13, hashes.recover(digest, values[3]) == self._owner, "a verdict that the ouroboros did not sign")

    def _timed_out(self, values: Any, time: int, _following: str) -> None:
        attempt = self._open(values[0]).attempt
        is_due = attempt is not None and attempt.is_running and not attempt.is_complete
        self.require(14, is_due, f"query {values[0]}: a timeout, and no hop is due")
        self.require(14, time > values[3], f"query {values[0]}: a timeout at {time}, with the deadline {values[3]}")
        assert attempt is not None
        attempt.is_running = False

    def _delivered(self, values: Any, _time: int, following: str) -> None:
        query, _, _, output, _, _ = values
        followed = self._open(query)
        attempt = followed.attempt
        is_complete = attempt is not None and attempt.is_complete and attempt.is_running
        self.require(2, is_complete, f"query {query}: an answer before all hops")
        assert attempt is not None
        self.require(10, attempt.version == self._version, f"query {query}: an answer of another model")
        is_right = output == attempt.expected
        self.require(
            6, is_right != (following == "OutputDisputed"), f"query {query}: delivered, and eq. 13 is {is_right}"
        )
        if is_right:
            attempt.is_running, followed.end = False, "delivered"

    def _rejected(self, values: Any, _time: int, _following: str) -> None:
        followed = self._open(values[0])
        self.require(
            11, not (followed.attempt and followed.attempt.is_running), f"query {values[0]}: rejected, and it runs"
        )
        followed.end = "rejected"

    def _withdrawn(self, values: Any, time: int, _following: str) -> None:
        followed = self._open(values[0])
        (seconds,) = self._ledger.read("withdrawSeconds")
        self.require(14, time > followed.submitted_at + seconds, f"query {values[0]}: withdrawn too early")
        followed.end = "withdrawn"

    # ------------------------------------------------------------------ storage

    def _check_words(self, touched: set[int]) -> None:
        """A call changes the words of the queries that its events are about, and no other."""
        (count,) = self._ledger.read("queryCount")
        self.require(12, count == len(self._queries), f"{count} queries, and {len(self._queries)} were submitted")
        near = {*touched, *range(max(1, count - 3), count + 1)}
        for query in near:
            (word,) = self._ledger.read("stateOf", query)
            changed = word != self._words.get(query, ZERO)
            self.require(
                15, changed == (query in touched), f"query {query}: its state {'changed' if changed else 'stands'}"
            )
            self._words[query] = word
