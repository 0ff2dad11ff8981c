"""One standby per layer: who does not answer, does not attest or lies is replaced, and the query goes on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from deepring_chain.attacks.orders import Lie
from deepring_chain.chain.client import LedgerClient
from deepring_chain.crypto.keys import load_keys
from deepring_chain.protocol.session import FaultKind
from deepring_chain.types import Hop, RingMode
from tests.e2e.clocked_host import AHEAD_FILE
from tests.e2e.incidents import arrange, convicted, faults, hops_by_attempt, order, stopped
from tests.e2e.live_ring import NO_DEADLINES, PASSWORD, LiveRing, random_images, running_ring, tiny_model, wait_for
from tests.waiting import wait_until

IMAGES = random_images(2, seed=4)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveRing]:
    path = tmp_path_factory.mktemp("standbys") / "ring"
    with running_ring(path, tiny_model(), host_module="tests.e2e.clocked_host", arrange_every=100, standbys=1) as ring:
        yield ring


def seated(ring: LiveRing, layer: int) -> str:
    """The name of the worker of a layer that is in the ring now."""
    current = ring.state().arrangement
    assert current is not None
    (name,) = [
        entry.name
        for entry in ring.folder.load_config().workers
        if entry.layer == layer and entry.address in current.arranged.seats
    ]
    return name


def all_but_one_attested(ring: LiveRing, before: int) -> bool:
    """Whether in an arrangement after `before` a single seat has not attested."""
    current = ring.state().arrangement
    assert current is not None
    return current.arranged.arrangement > before and len(current.missing_seats()) == 1


def other(name: str) -> str:
    """The other candidate for a layer."""
    return name.removesuffix("-standby-1") if name.endswith("-standby-1") else f"{name}-standby-1"


def test_first_choices_are_seated_while_nobody_fails(lab: LiveRing) -> None:
    lab.await_mode(RingMode.QUERY)
    assert [seated(lab, layer) for layer in (1, 2, 3)] == ["worker-1", "worker-2", "worker-3"]


def test_convicted_liar_is_replaced_and_the_hop_before_seals_its_envelope_anew(lab: LiveRing) -> None:
    lab.await_mode(RingMode.QUERY)
    liar = seated(lab, 1)
    order(lab, liar, Lie.PERTURBED_INPUT)
    querent = lab.querent()
    query = querent.submit(IMAGES)
    assert wait_for(querent, query).output == lab.plain_output(IMAGES)
    assert faults(lab, query) == convicted(1)
    assert seated(lab, 1) == other(liar)
    # The ouroboros's envelope was sealed to the liar: hop 0 is made again, as it has another reader now.
    assert hops_by_attempt(lab, query) == {1: [0, 1], 2: [0, 1, 2, 3]}
    assert lab.audit().failure is None


def test_dead_worker_times_out_and_its_standby_takes_over(lab: LiveRing) -> None:
    lab.await_mode(RingMode.QUERY)
    dead = seated(lab, 3)
    lab.kill(dead)
    querent = lab.querent()
    query = querent.submit(IMAGES)
    session = lab.await_session(query, lambda session: session.next_hop == 3)
    lab.pass_deadline(NO_DEADLINES.hop)
    client = LedgerClient.open(  # anyone may end an attempt whose hop is late
        lab.deployment.rpc_url, lab.deployment.ledger, load_keys(lab.folder.querent, PASSWORD).account
    )
    client.time_out(query, session.state(client.block_time))
    assert wait_for(querent, query).output == lab.plain_output(IMAGES)
    assert faults(lab, query) == [(Hop(3), FaultKind.SILENT)]
    assert seated(lab, 3) == other(dead)
    assert hops_by_attempt(lab, query) == {1: [0, 1, 2], 2: [2, 3]}
    assert lab.audit().failure is None
    lab.start(dead)


def test_worker_that_never_attests_is_replaced(lab: LiveRing) -> None:
    lab.await_mode(RingMode.QUERY)
    silent = seated(lab, 2)
    before = lab.state().arrangement
    assert before is not None
    with stopped(lab, silent):
        arrange(lab)
        wait_until(lambda: all_but_one_attested(lab, before.arranged.arrangement), "the others attest")
        (lab.folder.ouroboros / AHEAD_FILE).write_text(str(NO_DEADLINES.hop + 1))
        query = lab.querent().submit(IMAGES)
        assert wait_for(lab.querent(), query).output == lab.plain_output(IMAGES)
        assert seated(lab, 2) == other(silent)
    assert lab.session(query).attempt == 1
    assert lab.audit().failure is None
