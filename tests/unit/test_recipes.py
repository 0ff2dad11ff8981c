"""CONTRIBUTING's recipes hold: one new file suffices, and no list has to be changed anywhere."""

from __future__ import annotations

from pathlib import Path

from tests.recipes.copied_package import run_with


def test_a_pointwise_operator_is_one_new_file(tmp_path: Path) -> None:
    run_with(tmp_path, "sigmoid.py", "deepring_chain/model/operators/sigmoid.py", "check_operator")


def test_a_store_is_one_new_file(tmp_path: Path) -> None:
    run_with(tmp_path, "sqlite_store.py", "deepring_chain/store/kinds/sqlite_store.py", "check_store")


def test_a_lie_is_one_new_file(tmp_path: Path) -> None:
    run_with(tmp_path, "zero_input.py", "deepring_chain/attacks/lies/zero_input.py", "check_lie")
