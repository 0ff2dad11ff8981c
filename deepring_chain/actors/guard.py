"""One query's trouble is no other's: errors are logged once, and the loop over the queries goes on."""

from __future__ import annotations

import logging
from collections.abc import Callable

from deepring_chain.chain.errors import LedgerReverted
from deepring_chain.errors import ConfigError, ModelError, ProtocolError, StoreError
from deepring_chain.protocol.session import Session
from deepring_chain.types import QueryId

LOG = logging.getLogger(__name__)

OVERTAKEN = frozenset(
    {
        "UnexpectedPhase",
        "UnexpectedHop",
        "UnexpectedTrail",
        "UnexpectedAttempt",
        "NotAuthentic",
        "NotTracking",
        "DeadlinePassed",
        "DeadlineAhead",
    }
)
"""Refusals that mean: the ledger has moved on meanwhile, or not yet. Look again."""


class SessionGuard:
    """Runs a step for one query and keeps its failures from the others."""

    def __init__(self) -> None:
        self._last: dict[QueryId, str] = {}

    def run(self, session: Session, step: Callable[[Session], bool]) -> bool:
        """What `step` returns; False if it failed for a reason that concerns this query alone."""
        try:
            return step(session)
        except LedgerReverted as refusal:
            if refusal.name not in OVERTAKEN:
                raise
        except (ProtocolError, StoreError, ModelError, ConfigError) as error:
            self._log(session.query, str(error))
        return False

    def forget(self, query: QueryId) -> None:
        """Drops what is known of an ended query."""
        self._last.pop(query, None)

    def _log(self, query: QueryId, text: str) -> None:
        if self._last.get(query) != text:
            self._last[query] = text
            LOG.error("query %d: %s", query, text)
