"""Scripted queries in each phase in which they are open."""

from __future__ import annotations

from collections.abc import Callable

from tests.unit.protocol.query_script import ScriptedQuery
from tests.unit.protocol.trail_script import ScriptedTrail


def submitted(script: ScriptedTrail) -> ScriptedQuery:
    return script.submit()


def disputed(script: ScriptedTrail) -> ScriptedQuery:
    return script.submit().open_route().post().complain()


def interrupted(script: ScriptedTrail) -> ScriptedQuery:
    return script.submit().open_route().post().time_out()


def routed(script: ScriptedTrail) -> ScriptedQuery:
    return script.submit().open_route().post()


def computed(script: ScriptedTrail) -> ScriptedQuery:
    return script.submit().open_route().post().post().post().post()


Bring = Callable[[ScriptedTrail], ScriptedQuery]
