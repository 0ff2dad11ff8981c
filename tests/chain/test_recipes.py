"""CONTRIBUTING's recipes for a node and an attack hold: one new file suffices."""

from __future__ import annotations

from pathlib import Path

from tests.recipes.copied_package import run_with


def test_a_node_is_one_new_file(tmp_path: Path) -> None:
    run_with(tmp_path, "cancun_node.py", "deepring_chain/chain/nodes/cancun_node.py", "check_node")


def test_an_attack_is_one_new_file(tmp_path: Path) -> None:
    place, copied = "tests/adversary/test_drifting_bias.py", ("assurance", "tests")
    run_with(tmp_path, "drifting_bias.py", place, "check_attack", copied)
