"""Which tests enter which functions of the product: a mutant is judged first by the quickest that enter its own.

Recorded while the tests run on the product as it is. It decides on the order alone: what passes goes on to whole files.
"""

from __future__ import annotations

import ast
import json
import sys
import threading
import time
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import FrameType

import pytest

from assurance.mutants.mutant import Mutant

MOST = 25
"""So many tests are tried before the whole files are."""

Function = tuple[str, int]
"""A function by its file and first line."""


@dataclass(frozen=True)
class Entered:
    """What one test entered, and how many seconds it took."""

    seconds: float
    functions: frozenset[Function]


@dataclass
class Recorder:
    """A plugin of pytest: records each test of a run.

    Attributes:
        root: the repository, or a copy.
        found: by the test's id.
    """

    root: Path
    found: dict[str, tuple[float, list[Function]]] = field(default_factory=dict)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """Traces the calls of one test, its fixtures included."""
        began, seen = time.monotonic(), set[tuple[str, int]]()

        def trace(frame: FrameType, _event: str, _argument: object) -> None:
            seen.add((frame.f_code.co_filename, frame.f_code.co_firstlineno))

        threading.settrace(trace)  # that it gives None ends the trace within the function
        sys.settrace(trace)
        try:
            return (yield)
        finally:
            sys.settrace(None)
            threading.settrace(None)
            product = f"{self.root}/deepring_chain/"
            inside = sorted((name[len(str(self.root)) + 1 :], line) for name, line in seen if name.startswith(product))
            self.found[item.nodeid] = (time.monotonic() - began, inside)

    def write(self, path: Path) -> None:
        """Adds what was found to a file."""
        before = json.loads(path.read_text()) if path.exists() else {}
        path.write_text(json.dumps({**before, **self.found}))


def read_record(path: Path) -> dict[str, Entered]:
    """What recorders wrote."""
    entries = json.loads(path.read_text()) if path.exists() else {}
    return {
        test: Entered(seconds, frozenset((file, line) for file, line in functions))
        for test, (seconds, functions) in entries.items()
    }


def nearest_tests(root: Path, mutant: Mutant, record: Mapping[str, Entered]) -> tuple[str, ...]:
    """Those of the mutant's tests that enter its function, the quickest first; none where it is in none of Python's."""
    if not mutant.file.endswith(".py"):
        return ()
    function = _function_at(root, mutant.file, mutant.line(root))
    near = [
        (entered.seconds, test)
        for test, entered in record.items()
        if function in entered.functions and any(is_in(test, named) for named in mutant.tests)
    ]
    return tuple(test for _, test in sorted(near)[:MOST])


def is_in(test: str, named: str) -> bool:
    """Whether a test's id is of a file, or of a test with all its parameters."""
    return test == named or test.startswith((f"{named}::", f"{named}["))


def _function_at(root: Path, file: str, line: int) -> Function | None:
    """The outermost function, or method, around a line."""
    for first, begins, ends in _functions(root, file):
        if begins <= line <= ends:
            return file, first
    return None


@cache
def _functions(root: Path, file: str) -> list[tuple[int, int, int]]:
    """First line as byte code tells it, first and last line; the outermost first."""
    tree = ast.parse((root / file).read_bytes())
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = min([node.lineno, *(part.lineno for part in node.decorator_list)])
            found.append((first, first, node.end_lineno or first))
    return found
