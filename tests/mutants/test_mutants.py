"""A sample of `make mutants`, drawn by a fixed seed; and the parts of the machine that finds the mutants."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.mutants.explained import PAGE, read_explained
from tests.mutants.mutant import Mutant, StaleMutant
from tests.mutants.python_mutants import python_mutants
from tests.mutants.targets import TARGETS

ROOT = Path(__file__).resolve().parents[2]
MODULE = '''"""A module."""


def checked(value: int, limit: int) -> int:
    """Refuses what is too large or no number."""
    check_digests("value", value)
    if value is None or value >= limit:
        raise ValueError(value)
    return sha256(TAG + limit)
'''

KEEPER = """class Keeper:
    def __init__(self) -> None:
        self.seen, self.last, self.count = [], None, 0

    def keep(self, value: int) -> int | None:
        local = value
        self.last, self.count = value, 2
        self.count += 1
        del self.seen[0]
        self.seen.append(value)
        self.seen.count(local)
        return value if self.count else None
"""


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.mutants", "--no-baseline", "--jobs", "1", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_sample_of_mutants_is_killed() -> None:
    done = run("--sample", "4", "--seed", "5")
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert "0 of these unexplained" in done.stdout


def test_every_check_of_a_module_is_found(tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text(MODULE)
    found = {
        (mutant.kind.partition(",")[0], mutant.replacement) for mutant in python_mutants(tmp_path, "module.py", ())
    }
    assert found == {
        ("check dropped", "pass"),
        ("raise dropped", "False and (value is None or value >= limit)"),
        ("operand dropped", "False"),
        ("bound moved", " > "),
        ("value not bound", 'b""'),
    }


def test_what_an_object_keeps_and_how_it_chooses_is_found(tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text(KEEPER)
    found = {
        (mutant.kind, mutant.found, mutant.replacement)
        for mutant in python_mutants(tmp_path, "module.py", (), state=True)
    }
    assert found == {
        ("assignment dropped", "self.last, self.count = value, 2", "pass"),
        ("assignment dropped", "self.count += 1", "pass"),
        ("assignment dropped", "del self.seen[0]", "pass"),
        ("call dropped", "self.seen.append(value)", "pass"),
        ("always the first choice", "value if self.count else None", "(value)"),
        ("always the second choice", "value if self.count else None", "(None)"),
    }


def test_mutant_is_put_where_it_was_found_and_nowhere_else(tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text(MODULE)
    mutant = next(each for each in python_mutants(tmp_path, "module.py", ()) if each.kind == "check dropped")
    assert mutant.apply(tmp_path) == MODULE.encode()
    assert (tmp_path / "module.py").read_text() == MODULE.replace('check_digests("value", value)', "pass")
    with pytest.raises(StaleMutant, match=r"module\.py"):
        mutant.apply(tmp_path)


def test_mutants_of_the_same_name_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text(MODULE + "\n\n" + MODULE.replace('"""A module."""\n\n\n', ""))
    names = [mutant.name for mutant in python_mutants(tmp_path, "module.py", ())]
    assert len(set(names)) == len(names)


def test_every_explanation_has_a_reason_and_the_form_of_a_name() -> None:
    for name, reason in read_explained(PAGE).items():
        assert name.count(", ") >= 2, name
        assert len(reason) > 10, name


def test_explanation_without_a_reason_is_refused(tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text("- `a, b, c`: \n")
    with pytest.raises(ValueError, match="no reason"):
        read_explained(tmp_path / "page.md")


def test_every_target_and_its_tests_exist() -> None:
    missing = [path for target in TARGETS for path in (target.file, *target.tests) if not (ROOT / path).exists()]
    assert missing == []


def test_name_of_a_mutant_has_no_line_number() -> None:
    mutant = Mutant("a.py", "f", "check dropped", 12, "check( \n  x)", "pass")
    assert mutant.name == "a.py, f, check dropped: check( x)"
