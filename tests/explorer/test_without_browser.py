"""What a run without a browser says of the tests that it leaves out."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.explorer.chromium import find_chromium

ROOT = Path(__file__).resolve().parents[2]
FILES = ("tests/explorer/test_browser_pages.py", "tests/explorer/test_views.py")


def test_browser_tests_are_left_out_aloud_and_the_others_are_not() -> None:
    environment = {name: value for name, value in os.environ.items() if name != "DEEPRING_CHROMIUM"}
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", "-n0", *FILES],
        cwd=ROOT,
        env={**environment, "PATH": "/nowhere"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert "test_browser_pages" not in run.stdout
    assert "test_views" in run.stdout
    (line,) = [line for line in run.stdout.splitlines() if line.startswith("browser tests left out: ")]
    assert "set DEEPRING_CHROMIUM" in line


def test_named_browser_goes_before_those_on_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEEPRING_CHROMIUM", "/opt/my/chromium")
    assert find_chromium() == "/opt/my/chromium"
    monkeypatch.delenv("DEEPRING_CHROMIUM")
    monkeypatch.setenv("PATH", "/nowhere")
    assert find_chromium() is None
