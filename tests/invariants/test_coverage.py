"""Calls on Anvil end as in the run that they come from, and each conditional jump is counted in both its ways."""

from __future__ import annotations

from assurance.invariants.coverage import JUMPI, Branch, Coverage, _instructions, _unpacked, cover, report
from deepring_chain.chain.artifact import load_artifact


def step(counter: int, op: str, depth: int = 1) -> dict[str, object]:
    return {"pc": counter, "op": op, "depth": depth}


def test_jump_that_is_taken_and_one_that_is_not_are_told_apart() -> None:
    coverage = Coverage()
    coverage.add([step(5, "JUMPI"), step(6, "POP"), step(7, "JUMPI"), step(90, "JUMPDEST")])
    coverage.add([step(5, "JUMPI"), step(40, "JUMPDEST")])
    assert [coverage.ways(Branch(counter, "", 0)) for counter in (5, 7, 9)] == [2, 1, 0]


def test_end_of_a_call_is_no_way_of_a_branch() -> None:
    coverage = Coverage()
    coverage.add([step(5, "JUMPI", 2), step(9, "POP", 1)])
    assert coverage.ways(Branch(5, "", 0)) == 0


def test_data_of_a_push_is_no_instruction() -> None:
    assert list(_instructions(bytes([0x61, JUMPI, JUMPI, JUMPI]))) == [(0, 0x61), (3, JUMPI)]


def test_empty_field_of_a_source_map_is_the_one_before() -> None:
    assert _unpacked("1:2:0;:3;7::1") == [(1, 0), (1, 0), (7, 1)]


def test_calls_end_as_in_their_run_and_their_branches_are_the_codes() -> None:
    coverage = Coverage()
    code = cover(load_artifact(), 60, 7, coverage)
    jumps = {at for at, op in _instructions(code) if op == JUMPI}
    seen = set(coverage.taken) | set(coverage.passed)
    assert (coverage.calls, coverage.different) == (60, 0)
    assert seen <= jumps
    assert len(seen) > 100
    shown = report([Branch(counter, "contracts/X.sol", 3) for counter in sorted(jumps)], coverage)
    assert f"contracts/X.sol{'':31} {len(jumps):8}" in shown
    assert "not both ways: contracts/X.sol: 3" in shown
