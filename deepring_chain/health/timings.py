"""Where a query's time went, gathered from the actors of a ring that run on this machine."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from deepring_chain.health.actors import MOST_AT_ONCE, fetch_page
from deepring_chain.ring.running import RUN_FOLDER, RunningActor
from deepring_chain.types import Attempt, Hop, QueryId

MAX_ANSWER_BYTES = 1 << 22


@dataclass(frozen=True)
class Turn:
    """One actor's turn in a query, as it says itself.

    Attributes:
        actor: its name.
        query, attempt, hop: whose turn; the hop after the last layer is the delivery.
        began, ended: Unix time in seconds.
        phases: seconds by phase; those on two threads overlap.
    """

    actor: str
    query: QueryId
    attempt: Attempt
    hop: Hop
    began: float
    ended: float
    phases: dict[str, float]

    @property
    def seconds(self) -> float:
        """From its begin to its end."""
        return self.ended - self.began


@dataclass(frozen=True)
class Timed:
    """A turn and how long nobody worked on the query before it."""

    turn: Turn
    waited: float


def read_turns(ring: Path, timeout: float) -> list[Turn]:
    """All turns that the running actors of a ring's folder remember, in the order of their begin."""
    running = [RunningActor.read(path) for path in sorted((ring / RUN_FOLDER).glob("*.json"))]
    with ThreadPoolExecutor(MOST_AT_ONCE) as pool:
        answers = list(pool.map(lambda actor: _ask(actor, timeout), [actor for actor in running if actor]))
    return sorted((turn for turns in answers for turn in turns), key=lambda turn: turn.began)


def time_query(turns: Sequence[Turn], query: QueryId) -> list[Timed]:
    """The turns of one query, with the pauses between them: the next actor has not noticed yet, or works on another."""
    found: list[Timed] = []
    last = None
    for turn in turns:
        if turn.query == query:
            found.append(Timed(turn, 0.0 if last is None else max(0.0, turn.began - last)))
            last = max(turn.ended, last or 0.0)
    return found


def _ask(running: RunningActor, timeout: float) -> list[Turn]:
    """One actor's; none if it does not answer as it should."""
    try:
        listed = fetch_page(running, "timings", timeout, MAX_ANSWER_BYTES)
        return [_parse(running.name, fields) for fields in listed]
    except (requests.RequestException, OSError, ValueError, KeyError, TypeError):
        return []


def _parse(actor: str, fields: dict[str, Any]) -> Turn:
    return Turn(
        actor,
        QueryId(int(fields["query"])),
        Attempt(int(fields["attempt"])),
        Hop(int(fields["hop"])),
        float(fields["began"]),
        float(fields["ended"]),
        {str(name): float(seconds) for name, seconds in fields["phases"].items()},
    )
