"""Valid inputs with bits flipped, parts cut, inserted, repeated or taken from others, lengths and values changed.

Whatever comes of it: only declared errors of one line, in time, in memory bounded by the input.
"""

from __future__ import annotations

import random
from functools import cache
from typing import Any, Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from assurance.fuzz.edits import INTEGERS, INTERESTING, LARGE, edit_value
from assurance.fuzz.registry import all_targets
from assurance.fuzz.target import Target, examine, warm_up

TARGETS = {target.name: target for target in all_targets()}
EXAMPLES = {"command-line": 8, "node-blocks": 10, "node-probe": 10}
SETTINGS: dict[str, Any] = {
    "deadline": None,
    "derandomize": True,
    "suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large],
}


@cache
def seeds_of(name: str) -> tuple[bytes, ...]:
    """Valid inputs; parsed once, so that what is imported at first use counts for no input."""
    seeds = tuple(TARGETS[name].seeds())
    warm_up(TARGETS[name])
    return seeds


Edit = tuple[str, float, bytes]

SIZES = {form: {"H": 2, "I": 4, "Q": 8}[form[1]] for form in INTEGERS}
ORDERS: dict[str, Literal["little", "big"]] = {"<": "little", ">": "big"}

payloads = st.one_of(
    st.binary(max_size=12),
    st.builds(
        lambda form, number: (number % 2 ** (8 * SIZES[form])).to_bytes(SIZES[form], ORDERS[form[0]]),
        st.sampled_from(INTEGERS),
        st.sampled_from((*INTERESTING, *LARGE)),
    ),
)
edits = st.tuples(
    st.sampled_from(("flip", "write", "cut", "truncate", "insert", "repeat", "splice")), st.floats(0, 1), payloads
)


def changed(data: bytes, edit: Edit, other: bytes) -> bytes:
    """The input after one edit: `payload` says what is written, and by its length how much is cut or repeated."""
    kind, where, payload = edit
    at, size = int(where * len(data)), len(payload)
    match kind:
        case "flip":
            flipped = bytes(byte ^ (1 << size % 8) for byte in data[at : at + 1])
            return data[:at] + flipped + data[at + 1 :]
        case "write":
            return data[:at] + payload + data[at + size :]
        case "cut":
            return data[:at] + data[at + 1 + size :]
        case "truncate":
            return data[:at]
        case "insert":
            return data[:at] + payload + data[at:]
        case "repeat":
            return data[:at] + data[at : at + 1 + size] * 20 + data[at:]
    return data[:at] + other[int(where * len(other)) :]


def examples(name: str) -> int:
    return EXAMPLES.get(name, 25)


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_changed_bytes_give_only_declared_errors(name: str) -> None:
    target, seeds = TARGETS[name], seeds_of(name)

    @settings(max_examples=examples(name), **SETTINGS)
    @given(st.sampled_from(seeds), st.lists(edits, min_size=1, max_size=3), st.sampled_from(seeds))
    def check(data: bytes, chosen: list[Edit], other: bytes) -> None:
        for edit in chosen:
            data = changed(data, edit, other)
        examine(target, data[: target.limits.longest], measured=True)

    check()


@pytest.mark.parametrize("name", sorted(name for name, target in TARGETS.items() if target.codec is not None))
def test_changed_values_give_only_declared_errors(name: str) -> None:
    target, seeds = TARGETS[name], seeds_of(name)

    @settings(max_examples=examples(name), **SETTINGS)
    @given(st.sampled_from(seeds), st.lists(st.integers(0, 2**32), min_size=1, max_size=3))
    def check(data: bytes, choices: list[int]) -> None:
        examine(target, _with_values(target, data, choices)[: target.limits.longest], measured=True)

    check()


def _with_values(target: Target, data: bytes, choices: list[int]) -> bytes:
    for choice in choices:
        assert target.codec is not None
        data = edit_value(data, target.codec, random.Random(choice))  # noqa: S311 - repeatable on purpose
    return data
