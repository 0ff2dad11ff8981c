"""What a querent does about its query: wait, give up, or open the answer and check it (paper 3.4.3)."""

from __future__ import annotations

from dataclasses import dataclass

from deepring_chain.protocol.envelope import Answer
from deepring_chain.protocol.session import Session
from deepring_chain.protocol.validation import check_items, check_received
from deepring_chain.types import Address, Hop, OutputCommitment, Pointer, QueryId, QueryPhase


@dataclass(frozen=True)
class Asked:
    """What this querent asked: pointer to the sealed input, and the number of items in it."""

    sealed_input: Pointer
    items: int


@dataclass(frozen=True)
class Waiting:
    """What a querent knows of a query.

    Attributes:
        me: its account.
        query: which.
        session: as the ledger tells it; None if it does not.
        asked: what this very process asked; None of a query from before.
    """

    me: Address
    query: QueryId
    session: Session | None
    asked: Asked | None = None


@dataclass(frozen=True)
class GiveUp:
    """There will be no answer; `reason` says why."""

    reason: str


@dataclass(frozen=True)
class OpenAnswer:
    """Open the sealed answer, and check it with `check_answer`."""

    session: Session
    pointer: Pointer
    commitment: OutputCommitment


def decide_answer(view: Waiting) -> GiveUp | OpenAnswer | None:
    """Return what is due; None while the query waits for somebody."""
    session = view.session
    if session is None:
        return GiveUp("the ledger has no such query")
    reason = _not_own(view, session)
    if reason:
        return GiveUp(reason)
    if session.is_open:
        return None
    if session.phase is QueryPhase.REJECTED and session.reject_reason is not None:
        return GiveUp(f"rejected by the ouroboros ({session.reject_reason.name})")
    if session.answer is None:
        return GiveUp(f"ended in phase {session.phase.name} without an answer")
    if view.asked is not None and view.asked.items != session.items:
        return GiveUp(
            f"{view.asked.items} items were asked, the ouroboros opened it for {session.items}; "
            "the answer is to another question"
        )
    return OpenAnswer(session, session.answer.answer, session.answer.output)


def _not_own(view: Waiting, session: Session) -> str:
    """Why the query is not this querent's; empty if it is."""
    if session.querent != view.me:
        return f"asked by {session.querent}; only that account can read the answer"
    if view.asked is not None and session.sealed_input != view.asked.sealed_input:
        return "a reorganization gave its number to another question; ask again"
    return ""


def check_answer(due: OpenAnswer, answer: Answer) -> None:
    """Hold an answer against the ouroboros's commitment to it, and its items against the query's.

    Of a query from before a restart, the ledger tells how many were asked.

    Raises:
        UnexpectedOutput: another output than the one that was committed to.
        ProtocolError: another number of items.
    """
    query, hop = due.session.query, Hop(due.session.hops)
    check_received(query, hop, answer.output, answer.commitment_key, due.commitment)
    check_items(query, hop, answer.output, due.session.items)
