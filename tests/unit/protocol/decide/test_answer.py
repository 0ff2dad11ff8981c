"""What a querent does about its query, as a table."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from deepring_chain.crypto.digest import commit_output
from deepring_chain.errors import ProtocolError
from deepring_chain.protocol.decide.answer import Asked, GiveUp, OpenAnswer, Waiting, check_answer, decide_answer
from deepring_chain.protocol.envelope import Answer
from deepring_chain.protocol.events import AnswerDelivered
from deepring_chain.protocol.session import OPEN_PHASES, Session
from deepring_chain.protocol.validation import UnexpectedOutput
from deepring_chain.types import Attempt, QueryId, QueryPhase, RejectReason, TensorBytes
from tests.unit.protocol.protocol_tools import ITEMS, address, digest

ME = address(9)
DELIVERED = AnswerDelivered(QueryId(5), Attempt(1), digest(30), digest(31), b"", digest(32))
SESSION = Session(
    QueryId(5), ME, digest(10), digest(11), digest(12), QueryPhase.DELIVERED, items=ITEMS, hops=4, answer=DELIVERED
)
ASKED = Asked(digest(10), ITEMS)
OPEN = OpenAnswer(SESSION, digest(30), digest(31))
ANOTHER = "a reorganization gave its number to another question; ask again"

ROWS: list[tuple[str, dict[str, Any], object]] = [
    ("delivered", {}, OPEN),
    ("asked before a restart", {"asked": None}, OPEN),
    ("unknown", {"session": None}, GiveUp("the ledger has no such query")),
    ("another's", {"me": address(8)}, GiveUp(f"asked by {ME}; only that account can read the answer")),
    ("another question", {"asked": replace(ASKED, sealed_input=digest(99))}, GiveUp(ANOTHER)),
    (
        "another's, and another question",
        {"me": address(8), "asked": replace(ASKED, sealed_input=digest(99))},
        GiveUp(f"asked by {ME}; only that account can read the answer"),
    ),
    *(
        (
            f"{items} items asked",
            {"asked": replace(ASKED, items=items)},
            GiveUp(f"{items} items were asked, the ouroboros opened it for 2; the answer is to another question"),
        )
        for items in (ITEMS - 1, ITEMS + 1)
    ),
]


@pytest.mark.parametrize(("changes", "expected"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_answer(changes: dict[str, Any], expected: object) -> None:
    assert decide_answer(replace(Waiting(ME, QueryId(5), SESSION, ASKED), **changes)) == expected


def about(**changes: Any) -> Waiting:
    return Waiting(ME, QueryId(5), replace(SESSION, **changes), ASKED)


@pytest.mark.parametrize("phase", sorted(OPEN_PHASES), ids=lambda phase: phase.name)
@pytest.mark.parametrize("answer", [None, DELIVERED], ids=["no answer", "an answer"])
def test_open_query_is_waited_for(phase: QueryPhase, answer: AnswerDelivered | None) -> None:
    assert decide_answer(about(phase=phase, answer=answer, items=0)) is None


@pytest.mark.parametrize("phase", sorted(OPEN_PHASES), ids=lambda phase: phase.name)
def test_open_query_that_is_another_question_is_given_up_at_once(phase: QueryPhase) -> None:
    assert decide_answer(about(phase=phase, sealed_input=digest(98))) == GiveUp(ANOTHER)


@pytest.mark.parametrize("reason", sorted(RejectReason), ids=lambda reason: reason.name)
def test_rejected_query_says_why(reason: RejectReason) -> None:
    rejected = about(phase=QueryPhase.REJECTED, reject_reason=reason, answer=None)
    assert decide_answer(rejected) == GiveUp(f"rejected by the ouroboros ({reason.name})")


@pytest.mark.parametrize("phase", [QueryPhase.WITHDRAWN, QueryPhase.NONE, QueryPhase.REJECTED], ids=lambda it: it.name)
def test_ended_query_without_an_answer_says_its_phase(phase: QueryPhase) -> None:
    expected = GiveUp(f"ended in phase {phase.name} without an answer")
    assert decide_answer(about(phase=phase, answer=None)) == expected


def test_reason_to_reject_counts_in_that_phase_alone() -> None:
    told = about(phase=QueryPhase.WITHDRAWN, answer=None, reject_reason=RejectReason.MALFORMED)
    assert decide_answer(told) == GiveUp("ended in phase WITHDRAWN without an answer")


# ---------------------------------------------------------------- the answer itself

KEY = digest(77)
OUTPUT = TensorBytes("int32", (ITEMS, 1), bytes(8))
COMMITTED = replace(OPEN, commitment=commit_output(KEY, OUTPUT))


def test_answer_that_was_committed_to_is_taken() -> None:
    check_answer(COMMITTED, Answer(OUTPUT, KEY))


@pytest.mark.parametrize(
    "answer",
    [Answer(replace(OUTPUT, data=b"\1" + bytes(7)), KEY), Answer(OUTPUT, digest(78))],
    ids=["another output", "another key"],
)
def test_answer_that_was_not_committed_to_is_refused(answer: Answer) -> None:
    with pytest.raises(UnexpectedOutput, match="query 5, hop 4"):
        check_answer(COMMITTED, answer)


@pytest.mark.parametrize("shape", [(1, 2), (4,), ()], ids=str)
def test_answer_of_another_number_of_items_is_refused(shape: tuple[int, ...]) -> None:
    output = replace(OUTPUT, shape=shape)
    with pytest.raises(ProtocolError, match="the query has 2"):
        check_answer(replace(OPEN, commitment=commit_output(KEY, output)), Answer(output, KEY))
