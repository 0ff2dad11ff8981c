"""Signed updates that are not on the ledger yet: verified as the ledger would, and joined to what it tells."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from deepring_chain.crypto.signing import message_digest, recover_signer
from deepring_chain.errors import ProtocolError
from deepring_chain.protocol.events import UpdatePosted
from deepring_chain.protocol.route import is_turn_of
from deepring_chain.protocol.session import Moment, Session
from deepring_chain.protocol.trail import extend_trail
from deepring_chain.protocol.validation import agrees
from deepring_chain.types import Domain, QueryId, QueryPhase, SignedUpdate, TrailHash

MOST_CANDIDATES = 4
"""Different updates over the same history that are kept: a relay may pass on anything."""

MOST_UPDATES = 1024
"""Histories of one query with updates over them that are kept."""

MOST_QUERIES = 4096
"""Queries of which updates are kept."""


@dataclass(frozen=True)
class _View:
    """A session with the relayed updates that continue it."""

    chain: Session
    session: Session
    updates: tuple[SignedUpdate, ...]


class RelayedHops:
    """What was relayed of the open queries. Safe for threads.

    Args:
        domain: of the ledger that the updates are for.
    """

    def __init__(self, domain: Domain) -> None:
        self._domain = domain
        self._lock = threading.Lock()
        self._updates: dict[QueryId, dict[TrailHash, list[UpdatePosted]]] = {}
        self._views: dict[QueryId, _View] = {}

    def read(self, signed: SignedUpdate) -> UpdatePosted:
        """The update with its signer and the trail after it, as the ledger's event would have it.

        Raises:
            SignatureInvalid: nobody signed it.
        """
        update = signed.update
        signer = recover_signer(self._domain, update, signed.signature)
        return UpdatePosted(signed, signer, extend_trail(update.trail, message_digest(self._domain, update), signer))

    def add(self, event: UpdatePosted) -> bool:
        """Takes an update in, whether it continues its query or not; returns whether it is new and was kept."""
        update = event.signed.update
        with self._lock:
            known = self._updates.get(update.query, {})
            same = known.get(update.trail, [])
            if event in same:
                return False
            if len(same) >= MOST_CANDIDATES:
                oldest = min(same, key=_attempt_of)
                if _attempt_of(oldest) >= update.attempt:
                    return False
                # Attempts that are timed out before anything is settled all go on from one history.
                same = [each for each in same if each is not oldest]
            if len(known) >= MOST_UPDATES or (not known and len(self._updates) >= MOST_QUERIES):
                return False
            self._updates.setdefault(update.query, known)[update.trail] = [*same, event]
            return True

    def view(self, session: Session) -> Session:
        """The session as far as relayed updates continue it; itself if none does, and the same while nothing is new."""
        return self._view(session).session

    def pending(self, session: Session) -> tuple[SignedUpdate, ...]:
        """The updates by which `view` is ahead of the ledger."""
        return self._view(session).updates

    def ahead(self, session: Session) -> tuple[Session, tuple[SignedUpdate, ...]]:
        """`view` and `pending` of one moment: more may be relayed between two calls."""
        found = self._view(session)
        return found.session, found.updates

    def queries(self) -> list[QueryId]:
        """The queries of which there are updates."""
        with self._lock:
            return list(self._updates)

    def forget(self, query: QueryId) -> None:
        """Drops what there is of a query."""
        with self._lock:
            for known in (self._updates, self._views):
                known.pop(query, None)

    def _view(self, session: Session) -> _View:
        with self._lock:
            known = self._views.get(session.query)
            if known is None or known.chain is not session:
                known = _View(session, session, ())
            known = self._extend(known)
            if known.updates:
                self._views[session.query] = known
            else:  # nothing to remember; of this query there may be nothing to forget, either
                self._views.pop(session.query, None)
            return known

    def _extend(self, known: _View) -> _View:
        """Goes on from where an earlier look ended: what came since continues that, or is of no use."""
        chain, found, updates = known.chain, known.session, list(known.updates)
        by_trail = self._updates.get(chain.query, {})
        moment = Moment(chain.arrangement, chain.hops, chain.model_version, chain.touched_block)
        while (event := _next(found, by_trail.get(found.trail, []))) is not None:
            updates.append(event.signed)
            found = found.apply(event, moment)
        return _View(chain, found, tuple(updates))


def _attempt_of(event: UpdatePosted) -> int:
    return event.signed.update.attempt


def _next(session: Session, candidates: list[UpdatePosted]) -> UpdatePosted | None:
    return next((event for event in candidates if not why_not(session, event)), None)


def why_not(session: Session, event: UpdatePosted) -> str:
    """Why an update does not continue a session, in words; empty if it does: the ledger's checks, but for the deadline.

    A hop that violates eq. 13 does not: it is for the ledger to record.
    """
    update = event.signed.update
    if session.phase is not QueryPhase.ROUTED:
        return f"no hop is due (phase {session.phase.name})"
    if (update.query, update.attempt, update.hop) != (session.query, session.attempt, session.next_hop):
        return f"hop {session.next_hop} of attempt {session.attempt} is due"
    if update.items != session.items:
        return f"signed for {update.items} items, the query has {session.items}"
    if update.trail != session.trail:
        return "signed over another history"
    if not is_turn_of(event.signer, event.signed.salt, event.signed.next_route, session.route):
        return f"not the turn of {event.signer}"
    if not agrees(update.hop, update.output, session.expected_output):
        return "its output is not what the hop before expects (eq. 13): post it to the ledger"
    return ""


def check_continues(session: Session, event: UpdatePosted) -> None:
    """Raises ProtocolError with the reason unless the update continues the session."""
    reason = why_not(session, event)
    if reason:
        raise ProtocolError(f"query {event.signed.update.query}, hop {event.signed.update.hop}: {reason}")
