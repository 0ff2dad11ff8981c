"""A sample of `make mutants`, drawn by a fixed seed; and the parts of the machine that finds the mutants."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from assurance.mutants.explained import PAGE, read_explained
from assurance.mutants.mutant import Mutant, StaleMutant
from assurance.mutants.python_mutants import emptied_functions, python_mutants
from assurance.mutants.rules import PREFIX
from assurance.mutants.targets import TARGETS, all_mutants

ROOT = Path(__file__).resolve().parents[2]
ATTACKS = ("tamper", "perturb", "kill")
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

RULES = """from typing import Any

def devnet(ring: str) -> str:
    if ring == "main":
        raise ValueError(ring)
    return ring

class Worker:
    def due(self, notes: list[Any]) -> Any:
        for note in notes:
            if note.hop == self.hop and note.link == self.link:
                return note
        if self.is_empty():
            LOG.info("nothing")
        return None

    def is_mine(self, a: int, b: int) -> bool:
        return (a, b) == (self.a, self.b)

    def act(self, ring: str) -> list[Any]:
        LOG.info("begins")
        self.metrics.count()
        self.owner.verified()
        text = self.text[:LIMIT] + self.text[2:] + (self.name or "nothing")
        few = min(len(text), 300)
        if self.phase in {DONE, GONE}:
            return []
        return [each for each in devnet(ring) if each.is_open]
"""


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "assurance.mutants", "--no-baseline", "--jobs", "1", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_sample_of_mutants_is_killed() -> None:
    """Of the protocol's, which few changes touch: another sample would be drawn after any change."""
    done = run("--only", "deepring_chain/protocol/", "--sample", "4", "--seed", "5")
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


def test_guards_that_return_filters_and_limits_are_found(tmp_path: Path) -> None:
    """What the survivors found by hand were: a filter's operand, a guard's call, a bound; none of them raises there."""
    (tmp_path / "module.py").write_text(RULES)
    found = {
        (mutant.kind, mutant.found, mutant.replacement)
        for mutant in python_mutants(tmp_path, "module.py", (), guards=True)
    }
    turn = "note.hop == self.hop and note.link == self.link"
    pair = "(a, b) == (self.a, self.b)"
    assert found == {
        ("raise dropped", 'ring == "main"', 'False and (ring == "main")'),
        ("guard dropped", turn, f"False and ({turn})"),
        ("operand dropped", "note.hop == self.hop", "True"),
        ("operand dropped", "note.link == self.link", "True"),
        ("always true", pair, f"True or ({pair})"),
        ("always false", pair, f"False and ({pair})"),
        ("not compared with self.a", "a", "self.a"),
        ("not compared with self.b", "b", "self.b"),
        ("call dropped", "self.owner.verified()", "pass"),
        ("limit dropped", "LIMIT", "None"),
        ("operand dropped", "self.name", "False"),
        ("limit dropped, len(text)", "min(len(text), 300)", "(len(text))"),
        ("limit dropped, 300", "min(len(text), 300)", "(300)"),
        ("guard dropped", "self.phase in {DONE, GONE}", "False and (self.phase in {DONE, GONE})"),
        ("member dropped, DONE", "{DONE, GONE}", "{GONE}"),
        ("member dropped, GONE", "{DONE, GONE}", "{DONE}"),
        ("guard passed over", "devnet(ring)", "(ring)"),
        ("filter dropped", "each.is_open", "(True or (each.is_open))"),
    }


def test_mutants_of_guards_are_programs_that_differ(tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text(RULES)
    for mutant in python_mutants(tmp_path, "module.py", (), guards=True):
        before = mutant.apply(tmp_path)
        changed = ast.parse((tmp_path / "module.py").read_bytes())
        assert ast.dump(changed) != ast.dump(ast.parse(before)), mutant.name
        (tmp_path / "module.py").write_bytes(before)


def test_each_survivor_that_was_found_by_hand_is_generated() -> None:
    """They are why these operators exist."""
    names = {mutant.name for mutant in all_mutants(ROOT)}
    by_hand = {
        "contracts/Ledger.sol, withdrawQuery, caller replaced: msg.sender",
        "contracts/RingBook.sol, onlyOuroboros, caller replaced: msg.sender",
        "contracts/RingBook.sol, reportRestore, caller replaced: msg.sender",
        "deepring_chain/protocol/decide/hop.py, find_note, operand dropped: "
        "is_turn_of(me, note.salt, note.next_route, session.route)",
        "deepring_chain/cli/lab.py, _devnet_folder, raise dropped: chain not in DEVNET_CHAINS",
        *(f"deepring_chain/cli/lab.py, {name}, guard passed over: _devnet_folder(ring)" for name in ATTACKS),
        "deepring_chain/cli/up.py, choose_host, raise dropped: chain not in DEVNET_CHAINS",
        "deepring_chain/datasets/array_pickle.py, _check_steps, raise dropped: "
        'step.name == "LONG_BINPUT" and int(argument or 0) > 2 * MANY',
    }
    assert by_hand - names == set()


def test_function_is_emptied_but_for_its_docstring(tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text(MODULE + "\n\n" + KEEPER)
    found = {mutant.place: mutant.found for mutant in emptied_functions(tmp_path, "module.py")}
    assert set(found) == {"checked", "Keeper.__init__", "Keeper.keep"}
    assert found["checked"].startswith('check_digests("value", value)\n')
    assert found["checked"].endswith("return sha256(TAG + limit)")


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
        assert name.count(", ") >= (1 if name.startswith(PREFIX) else 2), name
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
