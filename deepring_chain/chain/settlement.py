"""How signed entries become calls of the ledger, one by one or many in one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from typing import Any

from deepring_chain.errors import ProtocolError
from deepring_chain.protocol.query_state import QueryState
from deepring_chain.protocol.run import HopEntry, Run
from deepring_chain.protocol.validation import agrees
from deepring_chain.types import Delivery, SignedUpdate


@dataclass(frozen=True)
class LedgerCall:
    """A call of the ledger."""

    function: str
    arguments: tuple[object, ...]


@dataclass(frozen=True)
class Settlement:
    """What is to be settled of one query: hops in a row, or the answer, or both.

    Attributes:
        updates: of the hops, with the state that the query is in before them; none if nothing is to be posted.
        delivery: the closing entry and its signature, with the state that the query is in before it.
    """

    updates: tuple[QueryState, Sequence[SignedUpdate]] | None = None
    delivery: tuple[QueryState, Delivery, bytes] | None = None


def post_call(state: QueryState, updates: Sequence[SignedUpdate]) -> LedgerCall:
    """`ILedger.post` or `postRuns`, or `postContradiction` for a hop whose output is not the expected one.

    Raises:
        ProtocolError: the updates are no run.
    """
    run = Run.of(updates)
    if not agrees(state.hop, run.output, state.expected_output):
        if len(run.entries) > 1:
            raise ProtocolError(f"query {run.query}, hop {run.hop}: no hop follows one that violates eq. 13")
        entry = _entry_struct(run.entries[0])
        arguments = (run.query, state.place(), state.expected_output, run.output, entry, run.rest)
        return LedgerCall("postContradiction", arguments)
    if len(run.entries) > 1:
        return LedgerCall("postRuns", ([_run_struct(state, run)],))
    return LedgerCall("post", (run.query, state.place(), run.output, _entry_struct(run.entries[0]), run.rest))


def deliver_call(state: QueryState, delivery: Delivery, signature: bytes) -> LedgerCall:
    """`ILedger.deliver`."""
    return LedgerCall("deliver", (delivery.query, state.as_struct(), delivery.answer, delivery.output, signature))


def settlement_calls(settlements: Sequence[Settlement]) -> list[LedgerCall]:
    """The calls that settle several queries: all runs in one `postRuns`, then the answers.

    Raises:
        ProtocolError: a query's updates are no run.
    """
    runs = [_run_struct(each.updates[0], Run.of(each.updates[1])) for each in settlements if each.updates]
    posts = [LedgerCall("postRuns", (runs,))] if runs else []
    return posts + [deliver_call(*each.delivery) for each in settlements if each.delivery]


def _run_struct(state: QueryState, run: Run) -> dict[str, Any]:
    entries = [_entry_struct(entry) for entry in run.entries]
    return {"query": run.query, "place": state.place(), "output": run.output, "rest": run.rest, "entries": entries}


def _entry_struct(entry: HopEntry) -> dict[str, Any]:
    return dict(zip(("envelope", "nextOutput", "salt", "r", "vs"), astuple(entry), strict=True))
