"""Claims of the specification, what shows them, and which tests are near to a mutant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from assurance.mutants.__main__ import ROOT, _summarize_claims
from assurance.mutants.judge import Judgement, run_tests
from assurance.mutants.mutant import Mutant
from assurance.mutants.python_mutants import python_mutants
from assurance.mutants.reach import Entered, nearest_tests, read_record
from assurance.mutants.rules import Claim, read_claims, with_tests_of_rules
from tests.specification import PAGE, Rule, read_rules

SOURCE = """class Worker:
    def due(self, note: int) -> int:
        if note == 3 and self.ready:
            return note
        return 0

    def make(self) -> int:
        return 7


def check(note: int) -> None:
    if note:
        raise ValueError(note)
"""
SOL = Mutant("contracts/RingBook.sol", "_fold", "revert dropped", 0, "a", "b")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "deepring_chain").mkdir()
    (tmp_path / "deepring_chain" / "worker.py").write_text(SOURCE)
    return tmp_path


def claims(root: Path, *functions: str, tests: Sequence[str] = ("tests/unit/test_a.py",)) -> list[Claim]:
    return read_claims(root, [Rule("DR-01", functions, tuple(tests))], [SOL])


@pytest.mark.parametrize(
    ("function", "kinds"),
    [
        ("Worker.due", {"guard dropped", "operand dropped"}),
        ("worker.check", {"raise dropped"}),
        ("due", {"guard dropped", "operand dropped"}),
        ("Worker", {"guard dropped", "operand dropped"}),
        ("Worker.make", {"emptied"}),
        ("RingBook._fold", {"revert dropped"}),
        ("_fold", {"revert dropped"}),
        ("RingBook", {"revert dropped"}),
    ],
)
def test_functions_of_a_rule_are_found_in_both_languages(root: Path, function: str, kinds: set[str]) -> None:
    (claim,) = claims(root, function)
    assert {mutant.kind for mutant in claim.mutants} == kinds


def test_what_is_not_the_products_is_no_claim(root: Path) -> None:
    assert claims(root, "ECDSA.recover", "Ledger._fold") == []


def test_tests_with_processes_are_no_judges(root: Path) -> None:
    named = ("tests/e2e/test_a.py", "tests/explorer/test_browser_pages.py::test_b", "tests/unit/test_c.py")
    (claim,) = claims(root, "Worker.due", tests=named)
    assert claim.tests == ("tests/unit/test_c.py",)


@pytest.mark.parametrize(
    ("test", "by", "is_shown"),
    [
        ("tests/a.py", "tests/a.py::test_x[1]", True),
        ("tests/a.py", "tests/ab.py::test_x", False),
        ("tests/a.py::test_x", "tests/a.py::test_x[1]", True),
        ("tests/a.py::test_x", "tests/a.py::test_xy", False),
        ("tests/a.py", "", False),
    ],
)
def test_claim_is_shown_by_its_own_tests_alone(root: Path, test: str, by: str, is_shown: bool) -> None:
    (claim,) = claims(root, "Worker.due", tests=(test,))
    mutant = replace(claim.mutants[0], tests=("tests/other.py",))
    assert claim.is_shown_by(Judgement(mutant, "killed", by, 0.0, 1)) is is_shown
    assert not claim.is_shown_by(Judgement(SOL, "killed", by, 0.0, 1))


def test_mutant_is_judged_by_its_rules_tests_first_if_they_are_its_modules_and_last_if_not(root: Path) -> None:
    module = python_mutants(root, "deepring_chain/worker.py", ("tests/a.py", "tests/b.py"), guards=True)
    found = claims(root, "Worker.due", tests=("tests/far.py", "tests/b.py::test_x"))
    judged = {mutant.place: mutant.tests for mutant in with_tests_of_rules(module, found)}
    assert judged["Worker.due"] == ("tests/b.py", "tests/a.py", "tests/far.py")
    assert judged["check"] == ("tests/a.py", "tests/b.py")


def test_rule_whose_tests_notice_nothing_fails_unless_it_is_explained(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = claims(root, "Worker.due", "worker.check")
    assert _summarize_claims(found, [], {}) == 0
    assert _summarize_claims(found, found[:1], {}) == 1
    assert "rule DR-01, Worker.due: the tests that the rule names notice no mutant of it" in capsys.readouterr().out
    assert _summarize_claims(found, found[:1], {found[0].name: "why"}) == 0
    assert _summarize_claims(found, [], {found[0].name: "why"}) == 1
    assert "explains a rule that holds" in capsys.readouterr().out


def test_most_functions_that_the_rules_name_are_the_products() -> None:
    rules = read_rules(PAGE.read_text(encoding="utf-8"))
    found = {(claim.rule, claim.function) for claim in read_claims(ROOT, rules, [])}
    assert {("DR-22", "find_note"), ("DR-29", "Member.sign_once"), ("DR-66", "Replay")} <= found
    assert len(found) > 80


# ---------------------------------------------------------------- which tests are near

TESTS = """from deepring_chain.worker import Worker, check
import pytest

def test_that_enters_nothing():
    pass

def test_due():
    Worker.ready = True
    assert Worker().due(3) == 3

def test_both():
    check(0)
    Worker.ready = False
    assert Worker().due(3) == 0
"""


def test_tests_that_enter_a_function_are_recorded_and_the_quickest_is_nearest(root: Path) -> None:
    (root / "deepring_chain" / "__init__.py").write_text("")
    (root / "tests" / "unit").mkdir(parents=True)
    (root / "tests" / "unit" / "test_worker.py").write_text(TESTS)
    status, log = run_tests(root, ("tests/unit/test_worker.py",), (), record=root / "entered.json")
    assert status == 0, log
    record = read_record(root / "entered.json")
    module = python_mutants(root, "deepring_chain/worker.py", ("tests/unit/test_worker.py",), guards=True)
    near = {mutant.place: set(nearest_tests(root, mutant, record)) for mutant in module}
    due, both = (f"tests/unit/test_worker.py::{name}" for name in ("test_due", "test_both"))
    assert near == {"Worker.due": {due, both}, "check": {both}}
    slow = {**record, due: replace(record[due], seconds=9.0)}
    assert nearest_tests(root, module[0], slow) == (both, due)
    assert nearest_tests(root, replace(SOL, tests=("tests/unit/test_worker.py",)), record) == ()
    assert nearest_tests(root, module[0], {"tests/other.py::test": Entered(0.1, record[due].functions)}) == ()
