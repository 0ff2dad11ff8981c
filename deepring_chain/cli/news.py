"""What `deepring up` tells of the ring on its terminal: what goes wrong on the ledger, and what becomes of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from deepring_chain.chain.client import LedgerClient
from deepring_chain.errors import ChainError
from deepring_chain.explorer.rows import sides_of
from deepring_chain.explorer.story import COMPLAINTS
from deepring_chain.explorer.text import Names, clean, name_of
from deepring_chain.protocol.events import (
    AuthenticityDerived,
    EnvelopeDisputed,
    Event,
    HopTimedOut,
    OutputDisputed,
    QueryRejected,
    RestoreOrdered,
    RestoreReported,
    VerdictPosted,
    query_of,
)


class RingNews:
    """Follows the ledger's events from now on, and tells those that a ring which is well does not have.

    Args:
        client: the ledger.
        names: of the ring's members.
        tell: takes each line.
    """

    def __init__(self, client: LedgerClient, names: Names, tell: Callable[[str], None]) -> None:
        self._client, self._names, self._tell = client, names, tell
        self._next = client.head().number + 1
        self._is_off = self._is_away = False

    def look(self) -> None:
        """Tell what happened since the last look. A node that is away is said once, and asked again."""
        try:
            head = self._client.head().number
            events = self._client.events(self._next, head) if head >= self._next else []
        except ChainError as error:
            if not self._is_away:
                self._tell(f"the node is away: {error}")
            self._is_away = True
            return
        if self._is_away:
            self._tell("the node answers again")
        self._is_away, self._next = False, head + 1
        for logged in events:
            for line in self._lines(logged.event):
                self._tell(line)

    def _lines(self, event: Event) -> Iterator[str]:
        match event:
            case AuthenticityDerived():
                if not event.is_authentic:
                    yield f"authenticity OFF in arrangement {event.arrangement}: a block has changed; queries wait"
                elif self._is_off:
                    yield f"authenticity ON again in arrangement {event.arrangement}"
                self._is_off = not event.is_authentic
            case RestoreOrdered():
                yield f"restore ordered for seat {event.position} ({name_of(event.worker, self._names)})"
            case RestoreReported():
                yield f"{name_of(event.worker, self._names)} restored; had changed: {clean(event.changed)}"
            case _:
                yield from (f"query {query_of(event)}: {told}" for told in _query_lines(event, self._names))


def _query_lines(event: Event, names: Names) -> Iterator[str]:
    match event:
        case OutputDisputed():
            yield f"dispute at hop {event.hop}: its output is not what hop {event.hop - 1} expected"
        case EnvelopeDisputed():
            complaint, who = event.complaint, name_of(event.recipient, names)
            yield f"{who} at hop {complaint.hop} complains: {COMPLAINTS[complaint.kind]}"
        case VerdictPosted():
            sides = sides_of(event.verdict)
            told = [f"hop {hop} {'guilty' if is_guilty else 'acquitted'}" for hop, is_guilty in sides]
            yield f"verdict: {', '.join(told)}"
        case HopTimedOut():
            yield f"timeout: hop {event.hop} did not act before its deadline"
        case QueryRejected():
            yield f"rejected ({event.reason.name.lower()})"
