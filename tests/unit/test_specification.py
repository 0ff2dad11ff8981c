"""The specification's rules have numbers of their own, and the tests that it names exist."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "SPECIFICATION.md").read_text(encoding="utf-8")
RULES = re.findall(r"\*\*\[(DR-\d+)\]\*\*", TEXT)
NAMED = sorted(set(re.findall(r"\b((?:\w+/)+test_\w+)", TEXT)))


def test_each_rule_has_a_number_of_its_own() -> None:
    assert len(RULES) > 50
    assert [rule for rule, count in Counter(RULES).items() if count > 1] == []


def test_rules_that_are_referred_to_exist() -> None:
    assert set(re.findall(r"\bDR-\d+", TEXT)) <= set(RULES)


@pytest.mark.parametrize("name", NAMED)
def test_named_test_exists(name: str) -> None:
    assert (ROOT / "tests" / f"{name.removeprefix('tests/')}.py").is_file()
