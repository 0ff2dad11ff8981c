"""What is mutated, and which tests should notice."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import solcx

from assurance.mutants.mutant import Mutant
from assurance.mutants.python_mutants import python_mutants
from assurance.mutants.solidity_mutants import CALLER_REPLACED, Node, children, descendants, solidity_mutants

PROTOCOL = "deepring_chain/protocol"
DECIDE = f"{PROTOCOL}/decide"
ACTORS = "deepring_chain/actors"
WORKER, OUROBOROS, RELAY = f"{ACTORS}/worker", f"{ACTORS}/ouroboros", f"{ACTORS}/relay"
UNIT = "tests/unit"
FORWARDER = "Forwarder"
"""The contract in contracts/mocks that calls the ledger for somebody else."""
LIBRARY_TESTS = ("tests/differential/test_vectors.py", "tests/differential/test_digests.py")


@dataclass(frozen=True)
class Target:
    """A Python module with its tests.

    Attributes:
        file, tests: its path, and those of the tests that should notice.
        branches: whether all its conditions are changed, or only those of checks.
        state: whether what it keeps is not kept, and its choices are made one way only.
        guards: whether its filters, predicates, limits and calls go.
    """

    file: str
    tests: tuple[str, ...]
    branches: bool = False
    state: bool = False
    guards: bool = False


def unit(part: str, *names: str) -> tuple[str, ...]:
    """Test files of one package."""
    return tuple(f"{UNIT}/{part}/test_{name}.py" for name in names)


DECISIONS = sorted(path.stem for path in (Path(__file__).resolve().parents[2] / DECIDE).glob("[a-z]*.py"))


def decision(name: str) -> Target:
    """A module of decisions: its table alone must notice everything."""
    tests = unit("protocol/decide", name)
    return Target(f"{DECIDE}/{name}.py", tests, branches=True, state=True, guards=True)


FORGERIES = tuple(f"{part}_forgeries" for part in ("query", "attempt", "dispute", "restore", "ring"))
VERIFIER_TESTS = unit(
    "protocol",
    *(f"verifier_{part}" for part in ("state", "order", "query_state", "marks", "deadlines", "ring_state", *FORGERIES)),
)
"""Scripted trails with one lie each: two seconds for all of them. The ring's rules are tried from the last on."""
ENCODING_TESTS = tuple(f"{UNIT}/test_encoding_{part}.py" for part in ("refusals", "tensors", "bounds"))
"""Those that need no generated values, which take half a minute."""

TARGETS = (
    Target(f"{PROTOCOL}/session.py", unit("protocol", "session", "ledger_state", "ended_sessions")),
    Target(f"{PROTOCOL}/ledger_state.py", unit("protocol", "ledger_state", "session", "ended_sessions")),
    Target(f"{PROTOCOL}/validation.py", unit("protocol", "validation"), branches=True),
    Target(f"{PROTOCOL}/envelope.py", unit("protocol", "envelope"), branches=True),
    Target(f"{PROTOCOL}/notes.py", unit("protocol", "notes"), branches=True),
    Target(f"{PROTOCOL}/route.py", unit("protocol", "route"), branches=True),
    Target(f"{PROTOCOL}/update.py", unit("protocol", "update", "entries"), branches=True),
    Target(f"{PROTOCOL}/evidence.py", unit("protocol", "evidence")),
    Target(f"{PROTOCOL}/restore.py", unit("protocol", "restore"), branches=True),
    Target(f"{PROTOCOL}/run.py", unit("protocol", "run"), branches=True),
    Target(f"{PROTOCOL}/trail.py", unit("protocol", "query_state", "run") + LIBRARY_TESTS, branches=True),
    Target(f"{PROTOCOL}/query_state.py", unit("protocol", "query_state"), branches=True),
    Target(f"{PROTOCOL}/verifier.py", VERIFIER_TESTS, branches=True, state=True),
    Target(f"{PROTOCOL}/verifier_query.py", VERIFIER_TESTS, branches=True, state=True),
    Target(f"{PROTOCOL}/verifier_ring.py", VERIFIER_TESTS[::-1], branches=True, state=True),
    Target(f"{PROTOCOL}/audit_step.py", unit("protocol", "audit_step") + VERIFIER_TESTS, branches=True, state=True),
    Target(f"{PROTOCOL}/block_hash.py", unit("protocol", "block_hash") + LIBRARY_TESTS[:1], branches=True),
    Target(f"{PROTOCOL}/relayed.py", unit("relay", "relayed", "posting"), branches=True),
    Target(f"{PROTOCOL}/tracking.py", unit("actors", "tracker") + unit("protocol", "restore"), branches=True),
    *(decision(name) for name in DECISIONS),
    Target("deepring_chain/encoding.py", ENCODING_TESTS, branches=True),
    Target("deepring_chain/crypto/signing.py", unit("crypto", "signing"), branches=True),
    Target("deepring_chain/store/content.py", unit("store", "messages", "content", "store_away", "obstacles")),
    Target(
        f"{ACTORS}/member.py",
        unit("actors", "leaf_places", "ouroboros_steps", "refusals", "worker", "disputes"),
        guards=True,
    ),
    *(
        Target(
            f"{WORKER}/{name}.py",
            unit("actors", "note_due", "worker_steps", "worker_lanes", "refusals", "worker", "disputes", "leaves"),
            guards=True,
        )
        for name in ("worker", "hop")
    ),
    Target(f"{WORKER}/block.py", unit("actors", "block", "worker"), guards=True),
    Target(f"{ACTORS}/leaves.py", unit("actors", "leaf_places", "refusals", "leaves", "forged_leaves"), guards=True),
    Target(
        f"{ACTORS}/querent.py",
        unit("actors", "querent", "querent_waits", "querent_after_a_reorganization") + unit("cli", "withdraw"),
        guards=True,
    ),
    Target(f"{ACTORS}/stopwatch.py", unit("actors", "stopwatch"), branches=True, state=True, guards=True),
    Target(f"{ACTORS}/guard.py", unit("actors", "guard", "isolation"), guards=True),
    Target("deepring_chain/follow/continuity.py", unit("follow", "continuity", "follower"), guards=True),
    Target(f"{OUROBOROS}/tracker.py", unit("actors", "tracker", "worker"), guards=True),
    Target(f"{OUROBOROS}/inputs.py", unit("actors", "inputs", "room", "ouroboros", "referee"), guards=True),
    Target(f"{OUROBOROS}/router.py", unit("actors", "router_anchors", "router", "disputes", "ouroboros"), guards=True),
    Target(f"{OUROBOROS}/arranger.py", unit("actors", "arranger", "ouroboros", "worker"), guards=True),
    Target(f"{OUROBOROS}/referee.py", unit("actors", "referee_rules", "referee", "disputes"), guards=True),
    *(
        Target(
            f"{OUROBOROS}/{module}.py",
            unit("actors", "ouroboros_steps", "ouroboros", "disputes", "isolation", "room", "referee", "tracker"),
            guards=True,
        )
        for module in ("ouroboros", "query")
    ),
    Target("deepring_chain/cli/lab.py", unit("cli", "devnets_only", "lab_commands"), guards=True),
    Target("deepring_chain/cli/up.py", unit("cli", "devnets_only", "up_guards")),
    Target("deepring_chain/datasets/array_pickle.py", unit("datasets", "array_pickle"), guards=True),
    Target(f"{RELAY}/settler.py", unit("relay", "settler", "settler_timing"), branches=True, state=True),
    Target(f"{ACTORS}/posting.py", unit("relay", "posting"), branches=True),
)


def all_mutants(root: Path) -> list[Mutant]:
    """Every mutant of the contracts and of the Python modules above."""
    trees = syntax_trees(root)
    callers = _callers(trees)
    contracts = {file: tree for file, tree in trees.items() if "/interfaces/" not in file and "/mocks/" not in file}
    found = solidity_mutants(root, contracts, lambda file, place: tuple(_contract_tests(root, callers, file, place)))
    found = [_through_contracts_first(root, mutant) if mutant.kind == CALLER_REPLACED else mutant for mutant in found]
    for target in TARGETS:
        found += python_mutants(
            root,
            target.file,
            target.tests,
            branches=target.branches,
            state=target.state,
            guards=target.guards,
        )
    return found


def _through_contracts_first(root: Path, mutant: Mutant) -> Mutant:
    """Only calls through a contract tell who calls from who signed: the tests that know the mock come first."""
    first = [test for test in mutant.tests if FORWARDER in (root / test).read_text(encoding="utf-8")]
    return replace(mutant, tests=tuple(dict.fromkeys([*first, *mutant.tests])))


def syntax_trees(root: Path) -> dict[str, Node]:
    """The compiler's syntax tree of each contract and library of the ledger, by path."""
    unit = "contracts/Ledger.sol"
    request: dict[str, Any] = {
        "language": "Solidity",
        "sources": {unit: {"content": (root / unit).read_text(encoding="utf-8")}},
        "settings": {
            "remappings": ["@openzeppelin=node_modules/@openzeppelin"],
            "outputSelection": {"*": {"": ["ast"]}},
        },
    }
    output = solcx.compile_standard(request, base_path=str(root), allow_paths=str(root), solc_version="0.8.30")
    return {path: source["ast"] for path, source in output["sources"].items() if path.startswith("contracts/")}


def _contract_tests(root: Path, callers: dict[str, set[str]], file: str, place: str) -> Iterator[str]:
    """Those of the libraries, those named after the functions that lead here, then all others."""
    if "/libraries/" in file:
        yield from LIBRARY_TESTS
    reached, todo = {place}, [place]
    while todo:
        new = callers.get(todo.pop(), set()) - reached
        reached |= new
        todo += new
    every = sorted((root / "tests/chain").glob("test_ledger_*.py"))
    words = {re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower() for name in reached if name}
    words = {"deployment" if word == "constructor" else word for word in words}
    near = [path for path in every if any(path.stem.startswith(f"test_ledger_{word}") for word in words)]
    for path in [*near, *(path for path in every if path not in near)]:
        yield str(path.relative_to(root))


def _callers(trees: dict[str, Node]) -> dict[str, set[str]]:
    """Which functions call, or are modified by, which; by name."""
    names = {
        node["id"]: node["name"]
        for tree in trees.values()
        for node in descendants(tree)
        if node["nodeType"] in {"FunctionDefinition", "ModifierDefinition"}
    }
    callers: dict[str, set[str]] = {}
    for tree in trees.values():
        for function in (node for node in descendants(tree) if node["nodeType"] == "FunctionDefinition"):
            for part in children(function):
                for node in descendants(part):
                    callee = names.get(node.get("referencedDeclaration", -1))
                    if callee:
                        callers.setdefault(callee, set()).add(function["name"])
    return callers
