"""Makes the calls that lead to a violation fewer."""

from __future__ import annotations

import re
from collections.abc import Iterator

from assurance.invariants.calls import Call
from assurance.invariants.machine import Counts, Run
from assurance.invariants.properties import Violation
from assurance.invariants.query_model import Opening
from deepring_chain.chain.artifact import Artifact


def kind_of(violation: Violation) -> str:
    """What went wrong, without numbers and hashes, so that it is known again in a shorter run."""
    return re.sub(r"\d+|0x[0-9a-f]+|b'.*?'|b\".*?\"", "#", str(violation))[:60]


def replay(artifact: Artifact, calls: list[Call], openings: dict[bytes, Opening]) -> Violation | None:
    """Makes calls on a fresh ledger; gives the violation that they lead to."""
    run = Run(artifact, Counts(), openings)
    try:
        for call in calls:
            run.step(call)
        run.check_all()
    except Violation as violation:
        return violation
    return None


def shrink(
    artifact: Artifact, calls: list[Call], openings: dict[bytes, Opening], violation: Violation, tries: int
) -> list[Call]:
    """Leaves out calls, many at a time and then few, as long as the same violation comes; replays `tries` times."""
    left, kind, size = iter(range(tries)), kind_of(violation), max(len(calls) // 2, 1)
    while True:
        shorter = _without_one_part(artifact, calls, openings, kind, size, left)
        if shorter is not None:
            calls = shorter
        elif size == 1:
            return calls
        else:
            size = max(size // 2, 1)


def _without_one_part(
    artifact: Artifact, calls: list[Call], openings: dict[bytes, Opening], kind: str, size: int, left: Iterator[int]
) -> list[Call] | None:
    for start in range(0, len(calls), size):
        if next(left, None) is None:
            return None
        shorter = calls[:start] + calls[start + size :]
        found = replay(artifact, shorter, openings)
        if found is not None and kind_of(found) == kind:
            return shorter
    return None
