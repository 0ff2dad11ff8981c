"""A browser, and rings to watch."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from eth_account.signers.local import LocalAccount
from playwright.sync_api import Browser, Page, expect

from tests.chain.ring_driver import ScriptedRing
from tests.chain.stored_ring import StoredRing
from tests.e2e.command import Terminal
from tests.explorer.chromium import running_chromium
from tests.explorer.watching import Watched, watch
from tests.waiting import FOREVER


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Headless Chromium."""
    expect.set_options(timeout=FOREVER * 1000)
    with running_chromium() as found:
        yield found


@pytest.fixture
def watched(browser: Browser) -> Iterator[Watched]:
    """An empty page, of which everything that goes wrong in it is noted."""
    context = browser.new_context(viewport={"width": 1200, "height": 900})
    context.set_default_timeout(FOREVER * 1000)
    yield watch(context.new_page())
    context.close()


@pytest.fixture
def page(watched: Watched) -> Page:
    """The same, for tests that look at nothing else."""
    return watched.page


@pytest.fixture
def terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """The `deepring` command, at hand."""
    return Terminal(capsys, monkeypatch)


@pytest.fixture
def stored(bare_ring: ScriptedRing, querent: LocalAccount, tmp_path: Path) -> StoredRing:
    """A ring in query mode with a store."""
    return StoredRing(bare_ring, tmp_path / "store", querent).register().arrange()
