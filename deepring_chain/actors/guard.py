"""One query's trouble is no other's: errors are logged once, and the loop over the queries goes on."""

from __future__ import annotations

import logging
from collections.abc import Callable

from structlog.contextvars import bound_contextvars

from deepring_chain.chain.errors import LedgerReverted
from deepring_chain.errors import ConfigError, ModelError, ProtocolError, StoreError
from deepring_chain.protocol.session import Session
from deepring_chain.telemetry.metrics import ActorMetrics
from deepring_chain.types import QueryId

LOG = logging.getLogger(__name__)

OVERTAKEN = frozenset(
    {
        "UnexpectedState",
        "UnexpectedPhase",
        "ModelChanged",
        "NotAuthentic",
        "NotTracking",
        "DeadlinePassed",
        "DeadlineAhead",
    }
)
"""Refusals that mean: the ledger has moved on meanwhile, or not yet. Look again."""


class SessionGuard:
    """Runs a step for one query and keeps its failures from the others.

    Args:
        metrics: told what fails, and when it is well again.
    """

    def __init__(self, metrics: ActorMetrics | None = None) -> None:
        self._metrics = metrics or ActorMetrics()
        self._last: dict[QueryId, str] = {}

    def run(self, session: Session, step: Callable[[Session], bool]) -> bool:
        """What `step` returns; False if it failed for a reason that concerns this query alone."""
        subject = _subject(session.query)
        with bound_contextvars(query=session.query, attempt=session.attempt, hop=session.next_hop):
            try:
                moved = step(session)
            except LedgerReverted as refusal:
                if refusal.name not in OVERTAKEN:
                    raise
            except (ProtocolError, StoreError, ModelError, ConfigError) as error:
                self.report(session.query, error)
            else:
                self._metrics.recovered(subject)
                return moved
        return False

    def report(self, query: QueryId, error: Exception) -> None:
        """Counts and logs a query's failure: once, until it is another one."""
        self._metrics.failed(_subject(query), error)
        self._log(query, str(error))

    def forget(self, query: QueryId) -> None:
        """Drops what is known of an ended query."""
        self._last.pop(query, None)
        self._metrics.recovered(_subject(query))

    def _log(self, query: QueryId, text: str) -> None:
        if self._last.get(query) != text:
            self._last[query] = text
            LOG.error("query %d: %s", query, text)


def _subject(query: QueryId) -> str:
    return f"query {query}"
