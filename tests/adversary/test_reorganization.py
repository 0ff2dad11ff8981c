"""Reorganization: blocks that actors have acted on are replaced by others.

Who: block producers; chance.
Wants: two answers, two entries for one place, a query answered for somebody else, a worker blamed for what is gone.
Stopped by: DR-30 (all is read anew), DR-29 (one entry per place and history, said again), DR-23.
Outcome: refused. The challenge of an arrangement that is repeated is known by then: not stopped.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from web3.types import RPCEndpoint

from assurance.adversary.liars import WrongOutput
from assurance.adversary.outcomes import not_stopped, refused
from assurance.adversary.stepped_ring import SteppedRing, convicted
from deepring_chain.attacks.bit_flip import flip_memory_bits
from deepring_chain.crypto.signing import sign_message
from deepring_chain.protocol.decide.seat import OWN_SECONDS
from deepring_chain.protocol.events import AuthenticityDerived
from deepring_chain.types import QueryPhase, RingMode
from tests.e2e.live_ring import random_images

OTHERS_IMAGES = random_images(3, seed=4)


def request(ring: SteppedRing, method: str, *arguments: Any) -> Any:
    return ring.client().web3.provider.make_request(RPCEndpoint(method), list(arguments))["result"]


@contextmanager
def undone(ring: SteppedRing) -> Iterator[None]:
    """What is mined meanwhile is replaced by an empty block, and the chain is as long as before."""
    snapshot = request(ring, "evm_snapshot")
    height = ring.client().head().number
    yield
    mined = ring.client().head().number - height
    assert request(ring, "evm_revert", snapshot)
    for _ in range(mined + 1):
        ring.clock.advance(1)
    ring.now += OWN_SECONDS + 1  # leaves that were handed in and taken are not there any more


@refused
@pytest.mark.parametrize("hop", range(5))
def test_entries_that_the_chain_lost_are_said_again_word_for_word(attacked: SteppedRing, hop: int) -> None:
    query = attacked.ask_up_to(hop) if hop else attacked.ask()
    with undone(attacked):
        attacked.settle(until=lambda: attacked.session(query).next_hop > hop)
        said = attacked.update_of(query, hop).signed
    attacked.expect_answered(query)
    assert attacked.guilt(query) == []
    assert attacked.update_of(query, hop).signed == said


@refused
def test_answer_of_a_query_whose_number_another_querent_got_goes_to_nobody_else(
    attacked: SteppedRing, tmp_path: Path
) -> None:
    """The first query is undone after its delivery; another's gets its number, and its own answer."""
    other = attacked.new_querent(tmp_path / "keys")
    attacked.settle()
    with undone(attacked):
        first = attacked.ask()
        attacked.expect_answered(first)
    second = other.submit(OTHERS_IMAGES)
    assert second == first
    attacked.settle()
    assert other.wait(second, 0.0, lambda _session, _mode: None).output == attacked.plain(OTHERS_IMAGES)


@refused
def test_verdict_that_the_chain_lost_with_its_dispute_blames_nobody(attacked: SteppedRing) -> None:
    """A worker that was caught and whose entry is gone is asked again; it signed, and says the same again."""
    query = attacked.ask_up_to(2)
    with undone(attacked), attacked.bribed("worker-2", WrongOutput):
        attacked.settle(until=lambda: attacked.guilt(query) == convicted(2))
    assert attacked.guilt(query) == []
    attacked.expect_answered(query)
    assert attacked.guilt(query) == convicted(2)


@not_stopped("Reorganizations.")
def test_not_stopped_leaf_of_an_undone_arrangement_is_good_in_its_repetition(own_ring: SteppedRing) -> None:
    """The arrangement comes again with its challenge, and a worker that was changed meanwhile has its old leaf."""
    member: Any = own_ring.member("worker-2")
    leaves: list[Any] = []
    honest = type(member).sign_leaf

    def remember(*arguments: Any) -> Any:
        leaves.append(honest(member, *arguments))
        return leaves[-1]

    vars(member)["sign_leaf"] = remember
    with undone(own_ring):
        own_ring.arrange()
        own_ring.settle()
        undone_arrangement = own_ring.arrangement
    flip_memory_bits((own_ring.worker("worker-2")._block.layers.own,), (("layer.2.weight", 7),))
    vars(member)["sign_leaf"] = lambda *_arguments: (
        leaves[0][0],
        sign_message(member.keys.account, member.client.domain, leaves[0][0]),
    )
    own_ring.arrange()
    own_ring.settle()
    assert own_ring.arrangement == undone_arrangement
    assert own_ring.state.mode is RingMode.QUERY
    flags = [logged.event for logged in own_ring.events() if isinstance(logged.event, AuthenticityDerived)]
    assert all(flag.is_authentic for flag in flags)
    assert own_ring.session(own_ring.ask()).phase is QueryPhase.SUBMITTED
