"""A live ring in a real browser: a query going round, a tampered block, a liar, an explorer that ends."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from playwright.sync_api import Page, expect

from deepring_chain.attacks.orders import Lie
from deepring_chain.cli.explorer_demo import mine_slowly
from deepring_chain.types import QueryId, RingMode
from tests.e2e.incidents import arrange, flip_in_memory, order, stopped
from tests.e2e.live_ring import LiveRing, random_images, running_ring, tiny_model
from tests.explorer.watching import Watched, explorer_of, see

pytestmark = pytest.mark.browser

IMAGES = random_images(2, seed=3)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveRing]:
    """A lab ring that takes a second for each hop."""
    path = tmp_path_factory.mktemp("watched") / "ring"
    lab = "deepring_chain.attacks"
    with running_ring(path, tiny_model(), host_module=lab) as ring:
        ring.await_mode(RingMode.QUERY)
        mine_slowly(ring.devnet.url, 1)
        yield ring


@pytest.fixture(scope="module")
def address(lab: LiveRing) -> Iterator[str]:
    """The explorer over it."""
    with explorer_of(lab) as found:
        yield found


def ask(lab: LiveRing) -> QueryId:
    """A query, once the ring is ready for one."""
    lab.await_mode(RingMode.QUERY)
    return lab.querent().submit(IMAGES)


def open_query(page: Page, address: str, query: QueryId) -> None:
    """As a reader does: from the ring's page, as soon as the query stands there."""
    page.goto(address)
    link = page.locator(f'#queries a[href="/query/{query}"]')
    link.click()


def test_query_goes_round_before_the_readers_eyes(lab: LiveRing, address: str, watched: Watched) -> None:
    page = watched.page
    page.goto(address)
    with ExitStack() as held:
        third = held.enter_context(ExitStack())
        second = held.enter_context(ExitStack())
        third.enter_context(stopped(lab, "worker-3"))
        second.enter_context(stopped(lab, "worker-2"))
        query = ask(lab)
        for hop, holding in ((2, second), (3, third)):
            see(page, "#queries", lambda text: f"query {query} routed Hop {hop} of 3 runs" in text)  # noqa: B023
            holding.close()
    see(page, "#queries", lambda text: f"query {query} delivered" in text)
    open_query(page, address, query)
    assert page.locator(".hop-done").count() == 5
    assert page.locator("#timeline > li").count() == 7
    for name in ("worker-1", "worker-2", "worker-3"):
        expect(page.locator("#timeline")).to_contain_text(name)
    expect(page.locator("#timeline")).to_contain_text("in the store, and its bytes hash to the pointer")
    watched.assert_clean(address)


def test_seats_light_up_as_they_act_and_a_hidden_signer_is_never_named(
    lab: LiveRing, address: str, watched: Watched
) -> None:
    page = watched.page
    page.goto(address)
    with stopped(lab, "worker-3"):
        query = ask(lab)
        seen = see(page, "#picture svg .lamp", lambda text: "hop 3 of 3" in text)
    seen += see(page, "#picture svg .lamp", lambda text: f"query {query}: answer due" in text or "ended" in text)
    assert any("signer not yet known" in text for text in seen)
    assert not any(re.search(r"hop [012] of 3.*worker", text) for text in seen)
    see(page, "#queries", lambda text: f"query {query} delivered" in text)
    watched.assert_clean(address)


def test_tampered_block_is_found_and_restored_before_the_readers_eyes(
    lab: LiveRing, address: str, watched: Watched
) -> None:
    page = watched.page
    page.goto(address)
    lab.await_mode(RingMode.QUERY)
    see(page, "#picture svg .lamp", lambda text: "authenticity ON" in text)
    flip_in_memory(lab, "worker-2", "layer.2.weight", 5)
    arrange(lab)
    seen = see(page, "#story", lambda text: "worker-2 is restored. What had changed: layer.2.weight." in text)
    assert any("Authenticity is OFF" in text for text in seen)
    assert "(worker-2) is the first whose hash is not the recorded one" in seen[-1]
    see(page, "#now", lambda text: text.startswith("Authenticity ON"))
    watched.assert_clean(address)


def test_lying_worker_is_told_as_dispute_verdict_and_second_attempt(
    lab: LiveRing, address: str, watched: Watched
) -> None:
    page = watched.page
    lab.await_mode(RingMode.QUERY)
    order(lab, "worker-2", Lie.PERTURBED_INPUT)
    query = ask(lab)
    open_query(page, address, query)
    see(page, "#now", lambda text: text.startswith("Delivered."))
    told = page.locator("#timeline")
    for part in (
        "The output of hop 2 is not what hop 1 said it must be (eq. 13)",
        "The ouroboros looked into it: hop 2 is guilty, hop 1 is acquitted.",
        "Nothing is done twice: attempt 2 goes on from the output of hop 1",
    ):
        expect(told).to_contain_text(part)
    expect(page.locator("#way")).to_contain_text("failed 1 time before")
    expect(page.locator("#way")).to_contain_text("from the lie to the verdict")
    watched.assert_clean(address)


def test_explorer_that_ended_is_said_and_so_is_its_return(lab: LiveRing, page: Page) -> None:
    with explorer_of(lab) as address:
        page.goto(address)
        expect(page.locator("#gone")).to_be_hidden()
    expect(page.locator("#gone")).to_be_visible()
    expect(page.locator("#gone")).to_contain_text("The explorer does not answer any more.")


def test_node_that_ended_is_said_on_the_page(tmp_path_factory: pytest.TempPathFactory, page: Page) -> None:
    path = tmp_path_factory.mktemp("ending") / "ring"
    with running_ring(path, tiny_model()) as ring, explorer_of(ring) as address:
        page.goto(address)
        see(page, "#now", lambda text: text.startswith("Authenticity ON"))
        ring.processes.stop()
        os.kill(ring.devnet.process_id, signal.SIGKILL)
        expect(page.locator("#remarks")).to_contain_text("no node answers")
        expect(page.locator("#now")).to_contain_text("Authenticity ON")
