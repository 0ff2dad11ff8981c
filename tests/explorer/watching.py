"""What tests do with a page in a browser, and with the ring behind it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from playwright.sync_api import Page

from deepring_chain.cli.clients import member_names
from deepring_chain.explorer.blobs import BlobLooker
from deepring_chain.explorer.server import serving
from deepring_chain.explorer.watcher import Source, Watcher
from tests.e2e.live_ring import LiveRing

LOOK_MILLISECONDS = 20


@dataclass
class Watched:
    """A page, with what its browser complained of and where it asked for something."""

    page: Page
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def assert_clean(self, address: str) -> None:
        """Nothing was refused by the policy, no script failed, and nothing was asked for elsewhere."""
        assert self.complaints == []
        assert [url for url in self.requests if not url.startswith((address, "data:"))] == []


def watch(page: Page) -> Watched:
    """Notes errors, messages and requests of a page from now on."""
    watched = Watched(page)
    page.on("console", lambda message: watched.complaints.append(message.text))
    page.on("pageerror", lambda error: watched.complaints.append(str(error)))
    page.on("request", lambda request: watched.requests.append(request.url))
    return watched


@contextmanager
def explorer_of(ring: LiveRing) -> Iterator[str]:
    """The explorer over a live ring; yields its address."""
    source = Source(ring.client(), ring.deployment.first_block, member_names(ring.folder), "node 127.0.0.1")
    with serving(Watcher(source, BlobLooker(ring.store())), 0) as address:
        yield address


def see(page: Page, selector: str, until: Callable[[str], bool]) -> list[str]:
    """All different texts that an element shows, until one of them satisfies; blanks count as one space."""
    seen: list[str] = []
    while True:
        text = re.sub(r"\s+", " ", page.text_content(selector) or "").strip()
        if not seen or seen[-1] != text:
            seen.append(text)
        if until(text):
            return seen
        page.wait_for_timeout(LOOK_MILLISECONDS)


def page_until(page: Page, reached: Callable[[], bool]) -> None:
    """Lets the browser go on until there is what is looked for."""
    while not reached():
        page.wait_for_timeout(LOOK_MILLISECONDS)


def let_all_run(page: Page) -> None:
    """What a page's load has set off has run: the next two frames come after it."""
    page.evaluate(
        "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done))))"
    )


def width_needed(page: Page) -> int:
    """How wide the page is, in CSS pixels."""
    return int(page.evaluate("document.scrollingElement.scrollWidth"))
