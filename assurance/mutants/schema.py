"""All mutants of the contracts in one compilation: each is in the byte code, and a number there says which is awake.

Compiling takes seconds and calling a ledger in process a millisecond: so hundreds of mutants are judged in minutes.
Modifiers and constants cannot be switched; their mutants are compiled one by one (`judge`).
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import solcx

from assurance.invariants.machine import Counts, play
from assurance.invariants.properties import Violation
from assurance.mutants.mutant import Mutant
from deepring_chain.chain.artifact import Artifact
from tests.invariants.test_ledger_model import RUNS

AWAKE = bytes.fromhex("a3" * 32)
"""Stands in the byte code where the number of the mutant that is awake belongs."""
UNIT = "contracts/Awake.sol"
SOURCE = (
    f"// SPDX-License-Identifier: Apache-2.0\npragma solidity 0.8.30;\n\nuint256 constant AWAKE = 0x{AWAKE.hex()};\n"
)
TEST = "tests/invariants/test_ledger_model.py::test_ledger_and_model_agree_on_random_calls"
COMPILER: dict[str, Any] = {"remappings": ["@openzeppelin=node_modules/@openzeppelin"], "evmVersion": "paris"}
UNSWITCHABLE = frozenset({"modifier dropped", "tag changed"})


@dataclass(frozen=True)
class Schema:
    """A ledger with all its mutants asleep.

    Attributes:
        artifact: of the product's ledger, with other byte code.
        numbers: which number wakes which mutant.
    """

    artifact: Artifact
    numbers: dict[Mutant, int]

    def waking(self, mutant: Mutant | None) -> Artifact:
        """The ledger with one mutant awake, or none."""
        number = self.numbers[mutant] if mutant else 0
        return replace(self.artifact, bytecode=self.artifact.bytecode.replace(AWAKE, number.to_bytes(32, "big")))

    def judge(self, mutant: Mutant | None) -> str | None:
        """What goes wrong when the test's calls are made on it; None if nothing does."""
        try:
            for seed, style, calls in RUNS:
                play(self.waking(mutant), random.Random(seed), calls, Counts(), style, 2**24)  # noqa: S311
        except Violation as violation:
            return str(violation)
        except (RuntimeError, ValueError, KeyError, AssertionError) as error:
            return f"{type(error).__name__}: {error}"
        return None


def make_schema(root: Path, artifact: Artifact, mutants: Iterable[Mutant]) -> Schema:
    """Compiles the contracts with all mutants that can be switched."""
    numbers = {mutant: number for number, mutant in enumerate(filter(_is_switchable, mutants), 1)}
    sources = {UNIT: SOURCE}
    for file in sorted({mutant.file for mutant in numbers}):
        here = [mutant for mutant in numbers if mutant.file == file]
        text = _rewrite((root / file).read_bytes(), 0, (root / file).stat().st_size, here, numbers).decode()
        head, pragma, rest = text.partition("pragma solidity 0.8.30;\n")
        path = "../" * file.removeprefix("contracts/").count("/") or "./"
        sources[file] = f'{head}{pragma}\nimport {{AWAKE}} from "{path}Awake.sol";\n{rest}'
    code = _compile(root, sources) if numbers else b""
    return Schema(replace(artifact, bytecode=code), numbers)


def _is_switchable(mutant: Mutant) -> bool:
    return mutant.file.endswith(".sol") and mutant.kind not in UNSWITCHABLE


def _rewrite(source: bytes, start: int, end: int, mutants: Sequence[Mutant], numbers: dict[Mutant, int]) -> bytes:
    """A part of a file, with the mutants in it as alternatives."""
    out, at = [], start
    for first, last, same in _outermost(mutants):
        out.append(source[at:first])
        inner = [mutant for mutant in mutants if mutant not in same and first <= mutant.start < last]
        out.append(_alternatives(_rewrite(source, first, last, inner, numbers), same, numbers))
        at = last
    return b"".join([*out, source[at:end]])


def _outermost(mutants: Sequence[Mutant]) -> list[tuple[int, int, list[Mutant]]]:
    """The ranges that lie in no other, with the mutants of exactly that range."""
    ranges = sorted({(mutant.start, _end(mutant)) for mutant in mutants}, key=lambda r: (r[0], -r[1]))
    found: list[tuple[int, int, list[Mutant]]] = []
    for first, last in ranges:
        if not found or first >= found[-1][1]:
            found.append((first, last, [m for m in mutants if (m.start, _end(m)) == (first, last)]))
    return found


def _end(mutant: Mutant) -> int:
    return mutant.start + len(mutant.found.encode())


def _alternatives(original: bytes, mutants: list[Mutant], numbers: dict[Mutant, int]) -> bytes:
    if mutants[0].replacement == "{}":
        return f"{{ if (AWAKE != {numbers[mutants[0]]}) {{ ".encode() + original + b" } }"
    text = b"(" + original + b")"
    for mutant in mutants:
        text = f"(AWAKE == {numbers[mutant]} ? ({mutant.replacement}) : ".encode() + text + b")"
    return text


def _compile(root: Path, sources: dict[str, str]) -> bytes:
    """Without the optimizer, which would find out that nothing is ever awake."""
    unit = "contracts/Ledger.sol"
    sources = {unit: (root / unit).read_text(encoding="utf-8"), **sources}
    request = {
        "language": "Solidity",
        "sources": {path: {"content": text} for path, text in sources.items()},
        "settings": {
            **COMPILER,
            "optimizer": {"enabled": False},
            "outputSelection": {unit: {"Ledger": ["evm.bytecode.object"]}},
        },
    }
    output = solcx.compile_standard(request, base_path=str(root), allow_paths=str(root), solc_version="0.8.30")
    return bytes.fromhex(output["contracts"][unit]["Ledger"]["evm"]["bytecode"]["object"])
