"""Whether a node's events can be the whole story: what it told twice, out of order, or left out in between."""

from __future__ import annotations

from collections.abc import Sequence

from deepring_chain.errors import ProtocolError
from deepring_chain.protocol.events import (
    EnvelopeDisputed,
    Event,
    LoggedEvent,
    QuerySubmitted,
    UpdatePosted,
    VerdictPosted,
    query_of,
)
from deepring_chain.protocol.ledger_state import LedgerState
from deepring_chain.types import Digest, QueryId


def take_in(state: LedgerState, events: Sequence[LoggedEvent]) -> None:
    """Applies events in the order of the chain, whatever order the node told them in.

    Raises:
        ProtocolError: something was told twice, or something before it was left out; part of them may be applied.
    """
    places = {(logged.block_number, logged.log_index, logged.part): logged for logged in events}
    if len(places) != len(events):
        raise ProtocolError("the node told an event twice; reading all anew, name another node with --rpc")
    for place in sorted(places):
        check_continues(state, places[place].event)
        state.apply(places[place])


def check_continues(state: LedgerState, event: Event) -> None:
    """Whether an event is the next one of its query: its entries are a hash chain, of which a node may hide a part.

    What is missing at the end of the story nothing tells.

    Raises:
        ProtocolError: something before it was left out, or it was told already.
    """
    match event:
        case QuerySubmitted():
            is_next = event.query not in state.sessions
        case UpdatePosted():
            is_next = _trail_of(state, event.signed.update.query) == event.signed.update.trail
        case EnvelopeDisputed():
            is_next = _trail_of(state, event.complaint.query) == event.complaint.trail
        case VerdictPosted():
            is_next = _trail_of(state, event.verdict.query) == event.verdict.trail
        case _:
            is_next = True
    if not is_next:
        raise ProtocolError(
            f"query {query_of(event)}: the node left out or repeated what was before {type(event).__name__}; "
            "reading all anew, name another node with --rpc if it happens again"
        )


def _trail_of(state: LedgerState, query: QueryId) -> Digest | None:
    session = state.sessions.get(query)
    return session.trail if session else None
