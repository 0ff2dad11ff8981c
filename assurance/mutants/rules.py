"""SPECIFICATION.md's claims: for each function that a rule names, the tests that the rule names notice its mutants.

A rule says which tests fail when it does not hold. A claim is one rule with one of its functions; it holds when the
rule's own tests kill a mutant of that function. Whether every mutant is killed by some test is the other question.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from assurance.mutants.judge import Judgement
from assurance.mutants.mutant import Mutant
from assurance.mutants.python_mutants import emptied_functions, python_mutants
from assurance.mutants.reach import is_in
from tests.specification import Rule

SLOW = re.compile(r"^tests/(e2e|fuzz)/|/test_(browser|audit_scale|audit_mutations|verifier_mutations)")
"""Tests that start rings of processes or a browser, or change one thing after another: no judges of mutants."""
PREFIX = "rule "
TRIES = 8
"""So many mutants of a function are tried at most for a claim that no judgement has shown yet."""
BEST = ("revert dropped", "raise dropped", "check dropped", "modifier dropped", "guard dropped", "operand dropped")
"""Tried first: what a test of a rule should notice."""


@dataclass(frozen=True)
class Claim:
    """One rule, and one function that it names.

    Attributes:
        rule, function: as the specification names them.
        mutants: of that function, those that a test notices most easily first.
        tests: those of the rule that are quick enough.
    """

    rule: str
    function: str
    mutants: tuple[Mutant, ...]
    tests: tuple[str, ...]

    @property
    def name(self) -> str:
        """Names it among the survivors' explanations, too."""
        return f"{PREFIX}{self.rule}, {self.function}"

    def is_shown_by(self, judgement: Judgement) -> bool:
        """Whether one of the rule's tests killed one of the function's mutants."""
        mutant = replace(judgement.mutant, tests=())
        return any(is_in(judgement.by, test) for test in self.tests) and any(
            replace(each, tests=()) == mutant for each in self.mutants
        )


def read_claims(root: Path, rules: Iterable[Rule], contracts: Sequence[Mutant]) -> list[Claim]:
    """All claims whose function is the product's own.

    Args:
        root: the repository.
        rules: of the specification.
        contracts: all mutants of the contracts.
    """
    found = []
    for rule in rules:
        for function in rule.functions:
            mutants = _of_contracts(function, contracts) or list(_of_python(root, function))
            tests = tuple(test for test in rule.tests if not SLOW.search(test))
            if mutants:
                found.append(Claim(rule.number, function, tuple(sorted(mutants, key=_rank)), tests))
    return found


def with_tests_of_rules(mutants: Iterable[Mutant], claims: Iterable[Claim]) -> Iterator[Mutant]:
    """The mutants of Python, judged by the tests of their rules, too: first by those that are also their module's."""
    named: dict[Mutant, list[str]] = {}
    for claim in claims:
        for mutant in claim.mutants:
            named.setdefault(replace(mutant, tests=()), []).extend(test.partition("::")[0] for test in claim.tests)
    for mutant in mutants:
        rules = [] if mutant.file.endswith(".sol") else named.get(replace(mutant, tests=()), [])
        first = [test for test in rules if test in mutant.tests]
        yield replace(mutant, tests=tuple(dict.fromkeys([*first, *mutant.tests, *rules])))


def _rank(mutant: Mutant) -> int:
    kind = mutant.kind.partition(",")[0]
    return BEST.index(kind) if kind in BEST else len(BEST)


def _of_contracts(function: str, mutants: Iterable[Mutant]) -> list[Mutant]:
    owner, _, name = function.rpartition(".")
    return [
        mutant
        for mutant in mutants
        if (mutant.place == name and owner in {"", Path(mutant.file).stem}) or Path(mutant.file).stem == function
    ]


def _of_python(root: Path, function: str) -> Iterator[Mutant]:
    """Mutants of a function, or class, where it is defined; of one that has none, itself emptied."""
    for file, place in _places(root, function):
        found = _inside(python_mutants(root, file, (), guards=True), place)
        yield from found or _inside(emptied_functions(root, file), place)


def _inside(mutants: Iterable[Mutant], place: str) -> list[Mutant]:
    return [mutant for mutant in mutants if mutant.place == place or mutant.place.startswith(f"{place}.")]


def _places(root: Path, function: str) -> list[tuple[str, str]]:
    """Where it is defined: as it is named, as a module's, or as a method of any class."""
    defined = _definitions(root)
    module, _, name = function.rpartition(".")
    exact = [(file, place) for file, place in defined if place == function]
    of_module = [(file, place) for file, place in defined if place == name and Path(file).stem == module]
    methods = [(file, place) for file, place in defined if "." not in function and place.endswith(f".{name}")]
    return exact or of_module or methods


@cache
def _definitions(root: Path) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for path in sorted((root / "deepring_chain").rglob("*.py")):
        tree = ast.parse(path.read_bytes())
        found += ((str(path.relative_to(root)), place) for place in _defined_in(tree.body, ""))
    return found


def _defined_in(body: Iterable[ast.stmt], prefix: str) -> Iterator[str]:
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield prefix + node.name
            yield from _defined_in(node.body, f"{prefix}{node.name}.") if isinstance(node, ast.ClassDef) else ()
