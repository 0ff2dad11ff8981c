"""A small run of `make audit-scale`: the trail is valid, and memory does not grow with it."""

from __future__ import annotations

import pytest

from tests.chain.audit_scale import main


def test_trail_of_some_hundred_updates_passes_with_flat_memory(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["--updates", "200"]) == 0
    said = capfd.readouterr().out
    assert "200 updates, " in said
    assert " updates/s" in said
    assert said.count("MiB resident") == 4
