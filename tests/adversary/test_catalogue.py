"""Every file tells its attack and names rules that there are, and what is not stopped is documented."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from assurance.adversary.catalogue import ELSEWHERE, README, ROOT, RULE, TOLD, Attack, files, outcomes_in, readme, told

SPECIFICATION = (ROOT / "SPECIFICATION.md").read_text()
SECURITY = (ROOT / "SECURITY.md").read_text()
NUMBERS = set(RULE.findall(SPECIFICATION))


@pytest.mark.parametrize("path", files(), ids=lambda path: path.stem)
def test_file_tells_who_attacks_what_it_wants_and_what_stops_it(path: Path) -> None:
    said = told(path)
    assert set(said) == {"title", *TOLD}
    rules = set(RULE.findall(said["Stopped by"]))
    assert rules
    assert rules <= NUMBERS
    assert outcomes_in(path)


@pytest.mark.parametrize("path", files(), ids=lambda path: path.stem)
def test_what_is_not_stopped_stands_in_security_md(path: Path) -> None:
    for paragraph in re.findall(r'@not_stopped\("(.*?)"\)', path.read_text()):
        assert f"**{paragraph}**" in SECURITY


@pytest.mark.parametrize("attack", ELSEWHERE, ids=lambda attack: attack.name)
def test_attack_whose_tests_lie_elsewhere_has_them(attack: Attack) -> None:
    assert "def test_" in (ROOT / attack.tests).read_text()
    assert set(attack.rules) <= NUMBERS


def test_readme_lists_them_all() -> None:
    assert README.read_text() == readme(), "run: .venv/bin/python -m assurance.adversary --table"
