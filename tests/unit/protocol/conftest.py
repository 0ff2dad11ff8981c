"""Scripted trails to go on from."""

from __future__ import annotations

import pytest

from tests.unit.protocol.query_script import ScriptedQuery
from tests.unit.protocol.trail_script import ScriptedTrail


@pytest.fixture
def script() -> ScriptedTrail:
    """A ring in query mode."""
    return ScriptedTrail().make_authentic()


@pytest.fixture
def query(script: ScriptedTrail) -> ScriptedQuery:
    """A query whose route is opened."""
    return script.submit().open_route()
