"""Play random calls against the ledger and its model: `make invariants CALLS=.. SEED=..`."""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections import defaultdict

from assurance.invariants.calls import Call
from assurance.invariants.director import ORDINARY, STRANGE
from assurance.invariants.machine import MODES, PHASES, Counts, Run, play
from assurance.invariants.properties import Violation
from assurance.invariants.shrink import shrink
from deepring_chain.chain.artifact import load_artifact

RUNS = ((ORDINARY, 2_000), (STRANGE, 1_000), (STRANGE, 300))
"""Each on a ledger of its own: how it is played, and how many calls."""
SHRINK_TRIES = 5_000
"""Replays, to leave out calls that are not needed: a minute or two."""


def main(arguments: list[str] | None = None) -> int:
    """Play, print the counts; 1 at the first violation, with the seed and the calls that lead to it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--calls", type=int, default=100_000, help="how many in all")
    parser.add_argument("--seed", type=int, default=1, help="of all choices")
    options = parser.parse_args(arguments)
    counts, began = Counts(), time.monotonic()
    artifact, number = load_artifact(), 0
    while counts.calls < options.calls:
        number += 1
        style, length = RUNS[number % len(RUNS)]
        length = min(length, options.calls - counts.calls)
        try:
            play(artifact, random.Random(f"{options.seed}/{number}"), length, counts, style)  # noqa: S311
        except Violation as violation:
            return _report(violation, options.seed, number)
    _print_counts(counts)
    seconds = time.monotonic() - began
    left_out = f"{counts.unsendable} more fit no type and were left out"
    played = f"{counts.calls} calls in {number} runs of seed {options.seed}"
    print(f"invariants: {played}, no violation, {seconds:.0f} s; {left_out}")
    return 0


def _report(violation: Violation, seed: int, number: int) -> int:
    run: Run = violation.run  # type: ignore[attr-defined]
    print(f"invariants: VIOLATION in run {number} of seed {seed}, call {len(run.calls)}: {violation}")
    print("invariants: leaving out calls that are not needed ...", flush=True)
    calls = shrink(load_artifact(), run.calls, run.model.openings, violation, SHRINK_TRIES)
    for call in calls:
        print(f"  {_shown(call)}")
    print(f"invariants: {len(calls)} of {len(run.calls)} calls lead to it; repeat with SEED={seed}")
    return 1


def _shown(call: Call) -> str:
    return f"at {call.time} by {call.sender[:10]}: {call.function}{_values(call.values)}"


def _values(value: object) -> str:
    """Values as a line, words by their first bytes."""
    if isinstance(value, bytes):
        return f"0x{value[:4].hex()}{'..' if len(value) > 4 else ''}"
    if isinstance(value, tuple | list):
        return f"({', '.join(map(_values, value))})"
    return value[:10] if isinstance(value, str) else str(value)


def _print_counts(counts: Counts) -> None:
    by_function: dict[str, dict[str, int]] = defaultdict(dict)
    for (function, outcome), count in counts.outcomes.items():
        by_function[function][outcome] = count
    for function, outcomes in sorted(by_function.items()):
        ordered = sorted(outcomes.items(), key=lambda item: (item[0] != "accepted", -item[1]))
        print(f"{function:18} {sum(outcomes.values()):7}: " + ", ".join(f"{name} {count}" for name, count in ordered))
    _print_transitions("query", {(a.name, b.name): n for (a, b), n in counts.phases.items()}, len(PHASES))
    modes = {(a.name, b.name): n for (a, b), n in counts.modes.items() if a is not b}
    _print_transitions("ring", modes, len(MODES))
    _print_errors({outcome for _, outcome in counts.outcomes})
    checked = sorted(counts.checked.items(), key=lambda item: int(item[0].removeprefix("I-")))
    print("invariants held:   " + ", ".join(f"{name} {count}" for name, count in checked))


def _print_errors(seen: set[str]) -> None:
    declared = {entry["name"] for entry in load_artifact().abi if entry["type"] == "error"}
    never = ", ".join(sorted(declared - seen)) or "none"
    print(f"errors of the ledger: {len(declared & seen)} of {len(declared)} seen; never: {never}")


def _print_transitions(what: str, seen: dict[tuple[str, str], int], allowed: int) -> None:
    shown = ", ".join(f"{a.lower()} -> {b.lower()} {count}" for (a, b), count in sorted(seen.items()))
    print(f"transitions of a {what}: {len(seen)} of {allowed} allowed ones, no other: {shown}")


if __name__ == "__main__":
    sys.exit(main())
