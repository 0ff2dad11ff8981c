"""A headless Chromium of the machine, driven by Playwright; and what happens to its tests where there is none."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--disable-quic",
)


def find_chromium() -> str | None:
    """The browser that DEEPRING_CHROMIUM names, or one on PATH."""
    named = os.environ.get("DEEPRING_CHROMIUM")
    return named or next((path for name in NAMES if (path := shutil.which(name))), None)


@contextmanager
def running_chromium() -> Iterator[Browser]:
    """The browser, until the block ends."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=list(ARGUMENTS))
        try:
            yield browser
        finally:
            browser.close()


class BrowserTests:
    """A pytest plugin: without a browser its tests are left out, and the last lines of the run say so."""

    def __init__(self, chromium: str | None) -> None:
        self._chromium = chromium

    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Leaves them out."""
        if self._chromium is None:
            left_out = [item for item in items if item.get_closest_marker("browser")]
            items[:] = [item for item in items if not item.get_closest_marker("browser")]
            config.hook.pytest_deselected(items=left_out)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Says so."""
        if self._chromium is None:
            terminalreporter.write_line(
                "browser tests left out: no chromium or google-chrome on PATH; install one or set DEEPRING_CHROMIUM",
                yellow=True,
            )
