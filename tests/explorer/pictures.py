"""`make pictures`: the docs' pictures, taken from a live lab ring: docs/pictures/*.png."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page

from deepring_chain.attacks.orders import Lie
from deepring_chain.cli.explorer_demo import mine_slowly
from deepring_chain.datasets.samples import load_mnist_samples
from deepring_chain.model.checkpoint import shipped_model
from deepring_chain.types import QueryId, RingMode
from tests.e2e.incidents import arrange, flip_in_memory, order
from tests.e2e.live_ring import LiveRing, running_ring, wait_for
from tests.explorer.chromium import find_chromium, running_chromium
from tests.explorer.watching import explorer_of, see

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "pictures"
DESKTOP = {"width": 1200, "height": 820}
PHONE = {"width": 360, "height": 780}
IMAGES = load_mnist_samples().images[:4]


@contextmanager
def opened(browser: Browser, address: str, *, dark: bool = False, phone: bool = False) -> Iterator[Page]:
    """A page in a window of its own."""
    context = browser.new_context(
        viewport=PHONE if phone else DESKTOP,  # type: ignore[arg-type]
        color_scheme="dark" if dark else "light",
        reduced_motion="reduce",
        device_scale_factor=2 if phone else 1,
    )
    page = context.new_page()
    page.goto(address)
    yield page
    context.close()


def save(page: Page, name: str, *, full: bool = False) -> None:
    """Writes a picture."""
    page.screenshot(path=FOLDER / f"{name}.png", full_page=full)
    print(f"docs/pictures/{name}.png")


def ask(ring: LiveRing) -> QueryId:
    """A query, once the ring is ready."""
    ring.await_mode(RingMode.QUERY)
    return ring.querent().submit(IMAGES)


def take_round(browser: Browser, ring: LiveRing, address: str) -> None:
    """A query on its way, on a desktop and on a phone."""
    with opened(browser, address) as page, opened(browser, address, phone=True) as phone:
        query = ask(ring)
        see(page, "#now", lambda text: f"Query {query}: Hop 3 of 5" in text)
        save(page, "query-going-round")
        see(phone, "#now", lambda text: f"Query {query}: Hop" in text)
        save(phone, "phone")
        wait_for(ring.querent(), query)


def take_restore(browser: Browser, ring: LiveRing, address: str) -> None:
    """A tampered block while it is restored, in the dark."""
    ring.await_mode(RingMode.QUERY)
    with opened(browser, address, dark=True) as page:
        flip_in_memory(ring, "worker-3", "layer.3.weight", 4)
        arrange(ring)
        see(page, "#picture .lamp", lambda text: "restoring seat" in text)
        save(page, "block-being-restored")
        see(page, "#story", lambda text: "worker-3 is restored" in text)
        see(page, "#picture .lamp", lambda text: "authenticity ON" in text)
        save(page, "block-restored")


def take_dispute(browser: Browser, ring: LiveRing, address: str) -> None:
    """The story of a query with a liar on its way."""
    ring.await_mode(RingMode.QUERY)
    order(ring, "worker-2", Lie.PERTURBED_INPUT)
    query = ask(ring)
    wait_for(ring.querent(), query)
    with opened(browser, f"{address}query/{query}") as page, opened(browser, page.url, phone=True) as phone:
        see(page, "#now", lambda text: text.startswith("Delivered."))
        save(page, "dispute", full=True)
        see(phone, "#now", lambda text: text.startswith("Delivered."))
        save(phone, "dispute-phone")


def main() -> None:
    """Takes them all."""
    if find_chromium() is None:
        sys.exit("pictures: no chromium or google-chrome on PATH; install one or set DEEPRING_CHROMIUM")
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch, running_chromium() as browser:
        path, lab, model = Path(scratch) / "ring", "deepring_chain.attacks", shipped_model()
        with running_ring(path, model, host_module=lab) as ring:
            ring.await_mode(RingMode.QUERY)
            mine_slowly(ring.devnet.url, 1)
            with explorer_of(ring) as address:
                for take in (take_round, take_restore, take_dispute):
                    take(browser, ring, address)


if __name__ == "__main__":
    main()
