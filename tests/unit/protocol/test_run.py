"""Runs of updates: what goes on chain leads back to just the updates that were signed."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepring_chain.crypto.signing import compact_signature, message_digest
from deepring_chain.errors import ProtocolError
from deepring_chain.protocol.run import HopEntry, Run
from deepring_chain.protocol.trail import extend_trail
from deepring_chain.types import ZERO, Digest, Hop
from tests.unit.protocol.protocol_tools import DOMAIN, OTHER_LEDGER, address, digest, signed_run

HOPS = 5
SIGNED = signed_run()
RUN = Run.of(SIGNED)


# ---------------------------------------------------------------- there and back


@pytest.mark.parametrize("count", range(1, HOPS + 1))
def test_run_leads_back_to_its_updates(count: int) -> None:
    posted = Run.of(SIGNED[:count]).expand(DOMAIN)
    assert [event.signed for event in posted] == SIGNED[:count]
    assert [event.signer for event in posted] == [address(10 + index) for index in range(count)]


def test_run_leads_back_to_the_trails() -> None:
    posted = RUN.expand(DOMAIN)
    for before, after in pairwise(posted):
        assert before.trail == after.signed.update.trail
    last = posted[-1]
    assert last.trail == extend_trail(last.signed.update.trail, message_digest(DOMAIN, last.signed.update), last.signer)


@given(st.integers(0, 2**16 - 6), st.integers(1, HOPS), st.integers(0, 2**64 - 1), st.integers(0, 2**200))
@settings(max_examples=40, deadline=None)
def test_every_run_leads_back_to_its_updates(first: int, count: int, query: int, base: int) -> None:
    signed = signed_run(first, count, query, base)
    assert [event.signed for event in Run.of(signed).expand(DOMAIN)] == signed


def test_parts_of_a_run_lead_to_the_same_updates_as_the_whole() -> None:
    whole = RUN.expand(DOMAIN)
    for cut in range(1, HOPS):
        assert Run.of(SIGNED[:cut]).expand(DOMAIN) + Run.of(SIGNED[cut:]).expand(DOMAIN) == whole


def test_run_holds_first_output_and_last_link_only() -> None:
    assert (RUN.query, RUN.attempt, RUN.hop, RUN.trail) == (7, 2, 0, digest(1))
    assert (RUN.output, RUN.rest) == (SIGNED[0].update.output, ZERO)
    assert [entry.next_output for entry in RUN.entries] == [each.update.next_output for each in SIGNED]
    assert [entry.signature for entry in RUN.entries] == [each.signature for each in SIGNED]


# ---------------------------------------------------------------- what is no run


def test_run_without_hops_is_refused() -> None:
    with pytest.raises(ProtocolError, match="at least one hop"):
        Run.of([])


def test_run_without_hops_leads_to_nothing() -> None:
    with pytest.raises(ProtocolError, match="query 7: a run without a hop"):
        replace(RUN, entries=()).expand(DOMAIN)


@pytest.mark.parametrize("order", [(0, 2), (1, 0), (0, 0)], ids=["gap", "backwards", "twice"])
def test_hops_that_are_not_in_a_row_are_refused(order: tuple[int, int]) -> None:
    with pytest.raises(ProtocolError, match=f"query 7, hop {order[1]}: does not continue the run"):
        Run.of([SIGNED[index] for index in order])


def test_hop_that_violates_eq_13_is_refused() -> None:
    """Its output has no place in a run: it goes alone, through postContradiction."""
    lie = replace(SIGNED[1], update=replace(SIGNED[1].update, output=digest(99)))
    with pytest.raises(ProtocolError, match="hop 1: does not continue the run"):
        Run.of([SIGNED[0], lie])
    assert Run.of([lie]).output == digest(99)


def test_hops_that_are_signed_for_different_numbers_of_items_are_refused() -> None:
    """A run has one number for all of them: it would expand to another update than the second hop signed."""
    more = replace(SIGNED[1], update=replace(SIGNED[1].update, items=SIGNED[1].update.items + 1))
    with pytest.raises(ProtocolError, match="hop 1: does not continue the run"):
        Run.of([SIGNED[0], more])


def test_high_s_is_refused() -> None:
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    signature = SIGNED[0].signature
    high = (order - int.from_bytes(signature[32:64], "big")).to_bytes(32, "big")
    with pytest.raises(ProtocolError, match="high s"):
        Run.of([replace(SIGNED[0], signature=signature[:32] + high + signature[64:])])


def test_run_beyond_the_last_hop_is_refused() -> None:
    """A log of a lying node: hops have 16 bits."""
    with pytest.raises(ProtocolError, match="a run of 5 hops from hop 65532 on"):
        replace(RUN, hop=Hop(2**16 - 4)).expand(DOMAIN)
    assert len(Run.of(signed_run(2**16 - HOPS)).expand(DOMAIN)) == HOPS


@pytest.mark.parametrize(
    "entry",
    [
        replace(RUN.entries[2], r=ZERO),
        replace(RUN.entries[2], vs=ZERO),
        replace(RUN.entries[2], vs=Digest(b"\x7f" + b"\xff" * 31)),
        replace(RUN.entries[2], r=Digest(b"\xff" * 32)),
    ],
    ids=["r zero", "s zero", "high s", "r beyond the order"],
)
def test_signature_of_nobody_is_refused(entry: HopEntry) -> None:
    entries = (*RUN.entries[:2], entry, *RUN.entries[3:])
    with pytest.raises(ProtocolError, match="signature"):
        replace(RUN, entries=entries).expand(DOMAIN)


# ---------------------------------------------------------------- what somebody changed


@pytest.mark.parametrize("name", ["envelope", "next_output", "r"])
def test_changed_entry_leads_to_another_signer_or_to_nobody(name: str) -> None:
    """Whose link the ledger does not have."""
    value: Any = getattr(RUN.entries[1], name)
    entries = (RUN.entries[0], replace(RUN.entries[1], **{name: value[:-1] + bytes([value[-1] ^ 1])}))
    changed = replace(RUN, entries=entries)
    try:
        posted = changed.expand(DOMAIN)
    except ProtocolError:
        return
    assert posted[1].signer != address(11)


@pytest.mark.parametrize("change", [{"rest": digest(5)}, {"output": digest(5)}, {"trail": digest(5)}, {"hop": Hop(1)}])
def test_changed_run_leads_to_another_first_link(change: dict[str, Any]) -> None:
    honest, changed = RUN.expand(DOMAIN), replace(RUN, **change).expand(DOMAIN)
    links = [(posted[0].signer, posted[0].signed.salt, posted[0].signed.next_route) for posted in (honest, changed)]
    assert links[0] != links[1]


def test_run_of_another_ledger_has_other_signers() -> None:
    signers = {event.signer for event in RUN.expand(OTHER_LEDGER)}
    assert signers.isdisjoint({address(10 + index) for index in range(HOPS)})


def test_entry_carries_the_signature_in_64_bytes() -> None:
    r, vs = compact_signature(SIGNED[0].signature)
    assert (RUN.entries[0].r, RUN.entries[0].vs) == (r, vs)
