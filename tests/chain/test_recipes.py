"""CONTRIBUTING's recipe for a node holds: one new file suffices."""

from __future__ import annotations

from pathlib import Path

from tests.recipes.copied_package import run_with


def test_a_node_is_one_new_file(tmp_path: Path) -> None:
    run_with(tmp_path, "cancun_node.py", "deepring_chain/chain/nodes/cancun_node.py", "check_node")
