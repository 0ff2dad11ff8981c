"""What SPECIFICATION.md says of each rule: which functions hold it, and which tests fail when it does not."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "SPECIFICATION.md"

RULE = re.compile(r"^- \*\*\[(DR-\d+)\]\*\*(.*?)(?=^- \*\*\[|^#|^$)", re.MULTILINE | re.DOTALL)
TEST = re.compile(r"\b((?:\w+/)+test_\w+)(?:\s*\(([^)]*)\))?")
CODE = re.compile(r"`([^`]+)`")
NAME = re.compile(r"^[A-Za-z_][\w.]*$")


@dataclass(frozen=True)
class Rule:
    """One rule.

    Attributes:
        number: such as `DR-22`.
        functions: as they are named: `openRoute`, `Worker.act`, a class, or `module.function`.
        tests: test files, from the repository's root, or one test in one: `tests/a/test_b.py::test_c`.
    """

    number: str
    functions: tuple[str, ...]
    tests: tuple[str, ...]


def read_rules(text: str) -> list[Rule]:
    """The rules in the page's text."""
    return [_read_rule(number, body) for number, body in RULE.findall(text)]


def named_files(text: str) -> list[str]:
    """All test files that the page names, in a rule or elsewhere."""
    return sorted({_file(name) for name, _ in TEST.findall(text)})


def _read_rule(number: str, body: str) -> Rule:
    tests = [test for name, remark in TEST.findall(body) for test in _tests(name, remark)]
    rest = TEST.sub("", body)
    functions = [name for name in CODE.findall(rest) if NAME.match(name)]
    return Rule(number, tuple(dict.fromkeys(functions)), tuple(dict.fromkeys(tests)))


def _tests(name: str, remark: str) -> list[str]:
    """The tests that are named behind a file, or the whole file."""
    named = [test for test in CODE.findall(remark) if test.startswith("test_")]
    return [f"{_file(name)}::{test}" for test in named] or [_file(name)]


def _file(name: str) -> str:
    return f"tests/{name.removeprefix('tests/')}.py"
