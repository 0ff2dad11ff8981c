"""The catalogue: what each file of tests/adversary tells of its attack, and the attacks that are tested elsewhere."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from assurance.adversary.outcomes import Outcome

ROOT = Path(__file__).resolve().parents[2]
HERE = ROOT / "tests" / "adversary"
README = HERE / "README.md"
TOLD = ("Who", "Wants", "Stopped by", "Outcome")
RULE = re.compile(r"\b(?:DR-\d\d|I-\d+)\b")


@dataclass(frozen=True)
class Attack:
    """One kind of attack.

    Attributes:
        name: in a few words.
        tests: file of its tests, from the repository's root.
        outcome: how it ends.
        rules: numbers of SPECIFICATION.md that stop it.
    """

    name: str
    tests: str
    outcome: str
    rules: tuple[str, ...]

    @property
    def row(self) -> str:
        """In the README's table."""
        return f"| {self.name} | `{self.tests}` | {self.outcome} | {', '.join(self.rules)} |"


def _elsewhere(name: str, tests: str, outcome: Outcome, *rules: str) -> Attack:
    return Attack(name, f"tests/{tests}.py", outcome.value, rules)


ELSEWHERE = (
    _elsewhere(
        "Every lie of a worker, in a ring of processes", "e2e/test_liars", Outcome.BLAMED, "DR-26", "DR-27", "DR-53"
    ),
    _elsewhere("Liars at both ends, two at once, on one edge", "e2e/test_disputes", Outcome.BLAMED, "DR-51", "DR-53"),
    _elsewhere("Algorithm 1, bit flips, noise in a live ring", "e2e/test_attacks", Outcome.BLAMED, "DR-12", "DR-26"),
    _elsewhere("Files of another ring, another's input", "e2e/test_refusals", Outcome.REFUSED, "DR-05", "DR-21"),
    _elsewhere("Reading what is sealed for others", "e2e/test_secrecy", Outcome.REFUSED, "DR-25", "DR-82"),
    _elsewhere("Forged complaint", "chain/test_ledger_complain_refusals", Outcome.REFUSED, "DR-50", "I-8"),
    _elsewhere("Forged verdict", "chain/test_ledger_judge", Outcome.REFUSED, "DR-52"),
    _elsewhere("Replay on another place, ledger, chain", "chain/test_ledger_replay", Outcome.REFUSED, "DR-23", "I-2"),
    _elsewhere("Front-running in a real pool", "chain/test_front_running", Outcome.REFUSED, "DR-23", "I-2"),
    _elsewhere("Stale and others' leaves", "chain/test_ledger_attest_refusals", Outcome.REFUSED, "DR-14", "I-4"),
    _elsewhere("Forged leaf in the store", "unit/actors/test_forged_leaves", Outcome.REFUSED, "DR-16"),
    _elsewhere(
        "Restore of an intact block", "chain/test_ledger_order_restore_refusals", Outcome.REFUSED, "DR-41", "I-7"
    ),
    _elsewhere(
        "False leaf as a pretext for another record", "chain/test_ledger_order_restore", Outcome.REFUSED, "DR-45", "I-5"
    ),
    _elsewhere("Calls through a contract", "chain/test_ledger_callers", Outcome.REFUSED, "DR-47"),
    _elsewhere("A model too large to be seated", "chain/test_ledger_register_model", Outcome.REFUSED, "DR-46"),
    _elsewhere(
        "Attempt after a false history", "chain/test_ledger_resume_route_refusals", Outcome.REFUSED, "DR-54", "I-9"
    ),
    _elsewhere(
        "Lying node, against the auditor", "chain/test_auditor_lying_node", Outcome.REFUSED, "DR-60", "DR-62", "DR-63"
    ),
    _elsewhere(
        "Hostile calls of all members, at random", "chain/test_hostile_calls", Outcome.REFUSED, "DR-67", "DR-63"
    ),
    _elsewhere("Doctored export", "chain/test_export", Outcome.REFUSED, "DR-64"),
    _elsewhere("False verdict by the ouroboros", "unit/actors/test_audit_evidence", Outcome.BLAMED, "DR-66"),
    _elsewhere("Refusals of the relay, over HTTP", "unit/relay/test_relay", Outcome.REFUSED, "DR-23", "I-2"),
    _elsewhere("Forged and foreign updates in a relay", "unit/relay/test_relayed", Outcome.REFUSED, "DR-22", "DR-23"),
    _elsewhere("Hostile text, stores and requests on a page", "explorer/test_hostile", Outcome.REFUSED, "DR-92"),
)


def told(path: Path) -> dict[str, str]:
    """What a file's docstring says: its title, and the paragraphs of `TOLD`."""
    text = ast.get_docstring(ast.parse(path.read_text())) or ""
    title, _, rest = text.partition("\n")
    found = {"title": title.partition(":")[0]}
    names = "|".join(TOLD)
    for match in re.finditer(rf"^({names}): (.*?)(?=^(?:{names}): |\Z)", rest, re.MULTILINE | re.DOTALL):
        found[match[1]] = " ".join(match[2].split())
    return found


def files() -> list[Path]:
    """The files of attacks here."""
    return sorted(path for path in HERE.glob("test_*.py") if path.name != "test_catalogue.py")


def outcomes_in(path: Path) -> list[str]:
    """The outcomes that a file's tests show, in the order of `Outcome`."""
    text = path.read_text()
    marks = {Outcome.REFUSED: "@refused", Outcome.BLAMED: "@blamed", Outcome.NOT_STOPPED: "@not_stopped("}
    return [outcome.value for outcome, mark in marks.items() if re.search(rf"^{re.escape(mark)}", text, re.MULTILINE)]


def attacks() -> Iterator[Attack]:
    """All of them, those of this folder first."""
    for path in files():
        said = told(path)
        rules = tuple(dict.fromkeys(RULE.findall(said.get("Stopped by", ""))))
        yield Attack(said["title"], f"tests/adversary/{path.name}", "; ".join(outcomes_in(path)), rules)
    yield from ELSEWHERE


def table() -> str:
    """The README's table."""
    head = ["| attack | tests | outcome | stopped by |", "|---|---|---|---|"]
    return "\n".join([*head, *(attack.row for attack in attacks())])


def readme() -> str:
    """The whole README."""
    return f"{INTRODUCTION}\n{table()}\n"


INTRODUCTION = """# Attacks on the protocol

Who attacks, what it wants, what stops it and how it ends stands at the top of each file. `make adversary` runs all
that the table names and prints counts; it ends with an error at the first violation. `make test` has them, too.

*Refused*: nothing comes of it, and no honest actor is blamed. *Recorded, right blame*: whoever did it, and nobody
else, is named on the ledger. *Not stopped, documented*: the attack works; its test is called `test_not_stopped_...`
and names the paragraph of [SECURITY.md](../../SECURITY.md) that says why.

Most attacks strike at a ring on a real node whose actors take their steps when the test says so (`stepped_ring.py`):
everything is real but the processes, nothing is left to chance, and a failing test repeats by its name. Its liars are
in `liars.py`, its lying node in `lying_node.py`.

This table is written by `python -m assurance.adversary --table`; `test_catalogue.py` holds it.
"""
