"""The word that stands for a query's state: each member counts, and it is the hash that the ledger makes."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest
from eth_abi.exceptions import EncodingError
from hypothesis import given
from hypothesis import strategies as st

from deepring_chain.chain.artifact import load_artifact
from deepring_chain.crypto.digest import keccak256
from deepring_chain.protocol.query_state import QueryState, stored_word
from deepring_chain.types import ZERO, Attempt, Hop, QueryPhase
from tests.unit.protocol.protocol_tools import digest

STATE = QueryState(QueryPhase.ROUTED, Attempt(2), Hop(3), 9, 4, 5, digest(6), digest(7), digest(8))
MEMBERS = [item.name for item in fields(QueryState)]
WORDS = st.binary(min_size=32, max_size=32)
STATES = st.builds(
    QueryState,
    st.sampled_from(QueryPhase),
    st.integers(0, 2**16 - 1),
    st.integers(0, 2**16 - 1),
    st.integers(0, 2**32 - 1),
    st.integers(0, 2**32 - 1),
    st.integers(0, 2**40 - 1),
    WORDS,
    WORDS,
    WORDS,
)


def word(number: int) -> bytes:
    return number.to_bytes(32, "big")


@given(STATES)
def test_word_is_the_hash_of_nine_words(state: QueryState) -> None:
    """As contracts/libraries/QueryStates.sol has them in memory."""
    numbers = (state.phase, state.attempt, state.hop, state.items, state.model_version, state.touched_at)
    covered = b"".join(map(word, numbers)) + state.route + state.expected_output + state.trail
    assert state.fold() == keccak256(covered)


@pytest.mark.parametrize("name", MEMBERS)
def test_every_member_changes_the_word(name: str) -> None:
    value: Any = getattr(STATE, name)
    other = digest(9) if isinstance(value, bytes) else QueryPhase(value + 1) if name == "phase" else value + 1
    changed: dict[str, Any] = {name: other}
    assert replace(STATE, **changed).fold() != STATE.fold()


def test_struct_has_the_members_of_the_contract_in_their_order() -> None:
    (post,) = (entry for entry in load_artifact().abi if entry.get("name") == "deliver")
    shown = next(item for item in post["inputs"] if item["type"] == "tuple")
    assert [item["name"] for item in shown["components"]] == list(STATE.as_struct())


def test_place_has_the_members_of_the_contract_in_their_order() -> None:
    (post,) = (entry for entry in load_artifact().abi if entry.get("name") == "post")
    place = next(item for item in post["inputs"] if item["internalType"] == "struct ILedger.Place")
    assert [item["name"] for item in place["components"]] == list(STATE.place())
    assert STATE.place() == {"attempt": 2, "hop": 3, "items": 9, "touchedAt": 5, "trail": digest(8)}


def test_query_that_nobody_asked_has_no_word() -> None:
    assert stored_word(None) == ZERO
    assert stored_word(STATE) == STATE.fold() != ZERO


@pytest.mark.parametrize("name", ["attempt", "hop", "model_version", "touched_at"])
def test_number_that_the_ledger_cannot_hold_is_refused(name: str) -> None:
    with pytest.raises(EncodingError):
        replace(STATE, **{name: 2**48}).fold()  # type: ignore[arg-type]
