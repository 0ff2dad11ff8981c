"""Pages over scripted records in a real browser: harm that is meant, small screens, the keyboard, no script."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from deepring_chain.explorer.blobs import Blob, BlobState
from deepring_chain.model.card import ModelCard
from deepring_chain.types import Digest, OutputCommitment
from tests.chain.stored_ring import StoredRing, answer_one
from tests.e2e.command import Terminal
from tests.explorer.pages_seen import Site, site_of
from tests.explorer.scripted import NAMES, record_of, ring
from tests.explorer.test_hostile import HOSTILE, OneBlob, tampered
from tests.explorer.watching import Watched, let_all_run, page_until, see, width_needed

pytestmark = pytest.mark.browser

LIE = OutputCommitment(Digest(bytes(range(32))))


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """A tampered and restored ring with a delivered, a disputed and a running query."""
    script = tampered("layer.2.weight")
    script.submit().open_route().post().post().contradict(LIE).judge(receiver=True)
    script.submit().open_route().post()
    with site_of(record_of(script)) as running:
        yield running


PATHS = ("", "query/1", "query/2", "query/3")


@pytest.mark.parametrize("name", [name for name in HOSTILE if name != "surrogate"])
def test_hostile_text_harms_no_reader(name: str, watched: Watched) -> None:
    text = HOSTILE[name]
    card = ModelCard(text[:1000], (4,), 0.5, 0, (text[:1000],), 0.25, 3)
    names = dict.fromkeys(NAMES, text)
    with site_of(record_of(tampered(text)), OneBlob(Blob(BlobState.GOOD, 3, card)), names) as site:
        for path in ("", "query/1"):
            watched.page.goto(site.address + path)
            let_all_run(watched.page)
            assert watched.page.evaluate("typeof window.harmed") == "undefined"
            assert watched.page.locator("img, script:not([src]), [onload], [onerror]").count() == 0
        watched.assert_clean(site.address)


def test_policy_stops_a_script_that_would_get_in_all_the_same(site: Site, watched: Watched) -> None:
    watched.page.goto(site.address)
    watched.page.evaluate(
        """() => {
            const script = document.createElement("script");
            script.textContent = "window.harmed = 1";
            document.body.append(script);
            const image = document.createElement("img");
            image.src = "http://198.51.100.1/steal";
            document.body.append(image);
        }"""
    )
    page_until(watched.page, lambda: len([s for s in watched.complaints if "Content Security Policy" in s]) >= 2)
    assert watched.page.evaluate("typeof window.harmed") == "undefined"


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("width", [360, 768, 1600])
def test_page_fits_its_screen_without_scrolling_sideways(site: Site, page: Page, path: str, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 740})
    page.goto(site.address + path)
    for details in page.locator("details").all():
        details.evaluate("element => element.open = true")
    assert width_needed(page) <= width


def test_names_in_the_picture_are_large_enough_on_a_phone(site: Site, page: Page) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    page.goto(site.address)
    heights = [box["height"] for text in page.locator("svg.ring text.name").all() if (box := text.bounding_box())]
    assert heights
    assert min(heights) >= 12


def test_long_names_stay_within_their_seats(page: Page) -> None:
    names = {account: f"worker-{number}-standby-{number}" for number, account in enumerate(NAMES)}
    with site_of(record_of(ring()), names=names) as site:
        page.goto(site.address)
        for seat in page.locator("svg.ring .seat").all():
            pill, name = seat.locator(".pill").bounding_box(), seat.locator(".name").bounding_box()
            assert pill is not None
            assert name is not None
            assert pill["x"] <= name["x"]
            assert name["x"] + name["width"] <= pill["x"] + pill["width"]


def luminance(color: str) -> float:
    """Relative luminance (WCAG 2.2) of "rgb(r, g, b)"."""
    channels = [int(part) / 255 for part in color[color.index("(") + 1 : -1].split(",")[:3]]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_in_both_schemes(site: Site, browser: Browser, scheme: str) -> None:
    page = browser.new_page(color_scheme=scheme)  # type: ignore[arg-type]
    page.goto(site.address)
    paper = luminance(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert (paper > 0.5) is (scheme == "light")
    for selector in ("body", ".quiet", "a", ".sign-good", ".sign-bad"):
        ink = luminance(page.locator(selector).first.evaluate("element => getComputedStyle(element).color"))
        brighter, darker = max(ink, paper), min(ink, paper)
        assert (brighter + 0.05) / (darker + 0.05) >= 4.5, selector
    page.close()


def test_states_differ_in_words_and_shape_without_any_color(site: Site, page: Page) -> None:
    page.goto(f"{site.address}query/3")
    now, done, later = (page.locator(f".hop-{state}").first for state in ("now", "done", "later"))
    assert [mark.locator("em").inner_text() for mark in (now, done, later)] == ["now", "done", "later"]
    styles = [
        mark.evaluate("e => getComputedStyle(e).borderTopWidth + getComputedStyle(e).borderTopStyle")
        for mark in (now, done, later)
    ]
    assert len(set(styles)) == 3


def test_page_can_be_read_by_keyboard_and_keeps_what_was_opened_when_it_changes(site: Site, page: Page) -> None:
    page.goto(f"{site.address}query/1")
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    summary = page.locator("#moment-3 summary")
    summary.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#moment-3")).to_have_attribute("open", "")
    record = site.watcher.record
    before = len(record.items)
    try:
        site.watcher.remarks, site.watcher.version = ["something new"], "changed"
        see(page, "#remarks", lambda text: "something new" in text)
        expect(page.locator("#moment-3")).to_have_attribute("open", "")
        expect(summary).to_be_focused()
    finally:
        site.watcher.remarks, site.watcher.version = (), "1"
    assert len(record.items) == before


def test_picture_has_its_words_for_those_who_do_not_see_it(site: Site, page: Page) -> None:
    page.goto(site.address)
    picture = page.get_by_role("img", name="Arrangement 2")
    expect(picture).to_have_count(1)
    assert "seat 0 ouroboros" in (picture.locator("desc").text_content() or "")
    assert page.locator("main h1").count() == 1
    assert page.locator("html").get_attribute("lang") == "en"
    expect(page.get_by_role("status")).to_contain_text("Authenticity ON")


def test_page_tells_the_same_without_script_and_asks_for_itself_again(site: Site, browser: Browser) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(site.address)
    expect(page.locator("#now")).to_contain_text("Authenticity ON")
    expect(page.locator("noscript meta")).to_have_attribute("http-equiv", "refresh")
    context.close()


def test_ring_of_twenty_shows_numbers_and_lists_the_names(page: Page) -> None:
    script = ring()
    record = record_of(script)
    seats = record.state.arrangement
    assert seats is not None
    object.__setattr__(seats.arranged, "seats", seats.arranged.seats * 5)
    with site_of(record) as site:
        page.set_viewport_size({"width": 360, "height": 740})
        page.goto(site.address)
        assert page.locator("svg.ring .seat").count() == 20
        assert page.locator("svg.ring .seat text").all_text_contents() == [str(number) for number in range(20)]
        assert page.locator("#seats tbody tr").count() == 20
        assert width_needed(page) <= 360


def test_report_opened_from_the_disk_shows_all_and_asks_for_nothing(
    stored: StoredRing, terminal: Terminal, tmp_path: Path, watched: Watched
) -> None:
    answer_one(stored)
    ledger, path = stored.ring.ledger, tmp_path / "report.html"
    where = ("--rpc", ledger.url, "--ledger", ledger.address, "--first-block", ledger.first_block)
    terminal.said("report", 1, "--out", path, *where, "--store", stored.folder)
    page = watched.page
    page.set_viewport_size({"width": 360, "height": 740})
    page.goto(path.as_uri())
    expect(page.locator("main")).to_contain_text("The audit passed.")
    expect(page.locator("svg.ring")).to_be_visible()
    assert page.locator(".told").first.evaluate("element => getComputedStyle(element).display") == "flex"
    page.locator("#moment-3 summary").click()
    expect(page.locator("#moment-3 dl")).to_be_visible()
    assert width_needed(page) <= 360
    assert watched.requests == [path.as_uri()]
    assert watched.complaints == []
