"""What a rule of the verifier is written with: comparisons that count themselves and fail with both values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

from deepring_chain.crypto.signing import sign_message
from deepring_chain.protocol.audit_step import AuditFailure, Check, Place, Step, Terms, Witness, show
from deepring_chain.types import ZERO, Attempt, Complaint, ComplaintKind, Hop, QueryId, QueryPhase
from tests.unit.protocol.protocol_tools import DOMAIN, OTHER_LEDGER, account, address, digest, logged, submitted

TERMS = Terms(DOMAIN, address(1), 60, 600)
COMPLAINT = Complaint(QueryId(1), Attempt(1), Hop(1), ComplaintKind.MISSING, digest(5), digest(6))


@pytest.fixture
def counts() -> Counter[Check]:
    """What was counted."""
    return Counter()


@pytest.fixture
def step(counts: Counter[Check]) -> Step:
    """A submission, under examination."""
    return Step(logged(submitted(), 9), Witness(5), TERMS, counts)


def failure_of(rule: Callable[[], None]) -> AuditFailure:
    with pytest.raises(AuditFailure) as caught:
        rule()
    return caught.value


# ---------------------------------------------------------------------- rules that hold, and are counted


def test_rule_that_holds_is_counted_once(step: Step, counts: Counter[Check]) -> None:
    step.equal(Check.TRAIL, "a query", "trail", 1, 1)
    step.member(Check.PLACE, "a query", "hop", range(3), 2)
    step.require(Check.DEADLINE, "a query", "time", True, "a time", 5)
    step.nonzero(Check.REGISTRATION, "a query", "key", digest(1))
    step.signed("a query", COMPLAINT, sign_message(account(3), DOMAIN, COMPLAINT), "signature", address(3))
    step.count(Check.ANCHOR)
    wanted = (Check.TRAIL, Check.PLACE, Check.DEADLINE, Check.REGISTRATION, Check.SIGNATURE, Check.ANCHOR)
    assert counts == Counter(wanted)


# ---------------------------------------------------------------------- rules that are broken


def test_unequal_values_are_refused_with_both(step: Step) -> None:
    failure = failure_of(lambda: step.equal(Check.PHASE, "a query", "phase", QueryPhase.ROUTED, QueryPhase.COMPUTED))
    assert (failure.field, failure.expected, failure.found) == ("QuerySubmitted.phase", "ROUTED", "COMPUTED")
    assert failure.place == Place.of(step.logged)


@pytest.mark.parametrize(
    ("allowed", "said"),
    [
        (range(1, 4), "1..3"),
        (frozenset({QueryPhase.ROUTED, QueryPhase.COMPUTED}), "COMPUTED or ROUTED"),
        ({7: "a key"}, "7"),
        ((b"\1", b"\2"), "0x01 or 0x02"),
        ("text", "text"),
    ],
)
def test_value_that_is_none_of_those_allowed_is_refused(step: Step, allowed: range, said: str) -> None:
    found = "none" if isinstance(allowed, str) else 9
    failure = failure_of(lambda: step.member(Check.PLACE, "a query", "hop", allowed, found))
    assert (failure.expected, failure.found) == (said, str(found))


def test_broken_condition_and_zero_are_refused(step: Step) -> None:
    failure = failure_of(lambda: step.require(Check.PLACE, "a query", "hop", False, "a hop after another", 0))
    assert (failure.expected, failure.found) == ("a hop after another", "0")
    failure = failure_of(lambda: step.nonzero(Check.REGISTRATION, "a query", "key", ZERO))
    assert (failure.expected, failure.found) == ("a value other than zero", show(ZERO))


def test_signature_of_another_is_refused_with_both_names(step: Step) -> None:
    for domain, by in ((DOMAIN, 4), (OTHER_LEDGER, 3)):
        signature = sign_message(account(by), domain, COMPLAINT)
        failure = failure_of(lambda: step.signed("a query", COMPLAINT, signature, "signature", address(3)))  # noqa: B023
        assert failure.expected == f"a signature of {address(3)}"
        assert failure.found.startswith("one of 0x")


def test_malformed_signature_is_refused(step: Step) -> None:
    failure = failure_of(lambda: step.signed("a query", COMPLAINT, bytes(65), "signature", address(3)))
    assert failure.expected == f"a signature of {address(3)}"
    assert not failure.found.startswith("one of")


# ---------------------------------------------------------------------- words


def test_values_are_shown_by_name_or_in_hexadecimal() -> None:
    assert [show(value) for value in (b"\1\xff", QueryPhase.ROUTED, 7, "a")] == ["0x01ff", "ROUTED", "7", "a"]


def test_place_names_what_it_has() -> None:
    assert str(Place(7)) == "block 7"
    assert str(Place(7, digest(1), 0)) == f"block 7, transaction 0x{digest(1).hex()}, log 0"
