"""`make coverage SEED=1`: which branches of the ledger's byte code random calls took, and how often each way.

The calls of a run beside the model (`assurance.invariants.machine`) are sent once more to a ledger
on Anvil, at the same address and times, and each transaction is traced. Every conditional jump of
the deployed code counts, also those that the compiler made: two ways each, which have both been
taken or not. The compiler's source map names the lines.
"""

from __future__ import annotations

import argparse
import importlib.util
import random
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

from eth_abi.abi import encode

from assurance.invariants.calls import Call
from assurance.invariants.director import ORDINARY, STRANGE, encodable
from assurance.invariants.evm import CHAIN_ID, GAS
from assurance.invariants.machine import HOP_SECONDS, OWNER, START, WITHDRAW_SECONDS, Counts, Run, play
from deepring_chain.chain.artifact import Artifact, load_artifact
from deepring_chain.chain.connection import connect
from deepring_chain.chain.devnet import Devnet
from deepring_chain.chain.raw_request import request

ROOT = Path(__file__).resolve().parents[2]
UNIT = "contracts/Ledger.sol"
STYLES = (ORDINARY, STRANGE)
DEPLOYER = "0x" + "d1" * 20
TRACE = {"disableStack": True, "disableStorage": True, "disableMemory": True, "enableMemory": False}
WHOLE = (b"contract ", b"abstract contract ", b"library ")
"""What code of the compiler's own is said to come from: decoding of arguments, choice of the function."""

PUSH1, PUSH32, JUMPI = 0x60, 0x7F, 0x57


@dataclass(frozen=True)
class Branch:
    """A conditional jump and where it comes from.

    Attributes:
        counter: its place in the code, in bytes.
        file, line: of the source; "" and 0 for what the compiler added.
    """

    counter: int
    file: str
    line: int


@dataclass
class Coverage:
    """How often each conditional jump was taken, and not taken."""

    taken: Counter[int] = field(default_factory=Counter)
    passed: Counter[int] = field(default_factory=Counter)
    calls: int = 0
    different: int = 0
    """Transactions whose outcome was another than in the run that they come from."""

    def add(self, steps: Sequence[dict[str, Any]]) -> None:
        """Counts a transaction's steps."""
        for here, after in pairwise(steps):
            if here["op"] == "JUMPI" and after["depth"] == here["depth"]:
                (self.passed if after["pc"] == here["pc"] + 1 else self.taken)[here["pc"]] += 1

    def ways(self, branch: Branch) -> int:
        """How many of its two ways were taken."""
        return (self.taken[branch.counter] > 0) + (self.passed[branch.counter] > 0)


class TracedLedger:
    """The ledger of a run once more, on Anvil.

    Args:
        url: of a node that began before the run's first block, with free gas.
        artifact: what is deployed.
        expected: the address that it had in the run: signatures are made for it.
    """

    def __init__(self, url: str, artifact: Artifact, expected: str) -> None:
        self._web3 = connect(url)
        self._rich: set[str] = set()
        self._ask("anvil_autoImpersonateAccount", True)
        made = self._send(
            DEPLOYER,
            None,
            artifact.bytecode + encode(["address", "uint40", "uint40"], [OWNER, HOP_SECONDS, WITHDRAW_SECONDS]),
            START,
        )
        if str(made["contractAddress"]).lower() != expected:
            raise RuntimeError(f"the ledger is at {made['contractAddress']}, in the run it was at {expected}")
        self.address = expected
        self.code = bytes.fromhex(self._ask("eth_getCode", expected, "latest")[2:])

    def trace(self, call: Call, data: bytes) -> tuple[bool, list[dict[str, Any]]]:
        """Whether a call went through, and its steps."""
        receipt = self._send(call.sender, self.address, data, call.time)
        found = self._ask("debug_traceTransaction", receipt["transactionHash"], TRACE)
        return receipt["status"] == "0x1", found["structLogs"]

    def _ask(self, method: str, *parameters: Any) -> Any:
        return request(self._web3, method, *parameters)

    def _send(self, sender: str, to: str | None, data: bytes, time: int) -> dict[str, Any]:
        if sender not in self._rich:
            self._ask("anvil_setBalance", sender, hex(10**24))
            self._rich.add(sender)
        self._ask("evm_setNextBlockTimestamp", time)
        fields = {"from": sender, "data": f"0x{data.hex()}", "gas": hex(GAS), "gasPrice": "0x0"}
        sent = self._ask("eth_sendTransaction", fields if to is None else {**fields, "to": to})
        self._web3.eth.wait_for_transaction_receipt(sent, 20, 0.002)
        receipt: dict[str, Any] = self._ask("eth_getTransactionReceipt", sent)
        return receipt


def cover(artifact: Artifact, calls: int, seed: int, coverage: Coverage) -> bytes:
    """Plays a run of each style and traces its calls; returns the deployed code."""
    code = b""
    for number, style in enumerate(STYLES):
        chance = random.Random(f"{seed}/coverage/{number}")  # noqa: S311 - repeatable
        run = play(artifact, chance, calls // len(STYLES), Counts(), style)
        extra = (
            "--steps-tracing",
            "--timestamp",
            str(START - 1),
            "--base-fee",
            "0",
            "--gas-price",
            "0",
            "--gas-limit",
            str(2 * GAS),
        )
        with Devnet(chain_id=CHAIN_ID, extra=extra) as node:
            code = _trace(run, TracedLedger(node.url, artifact, run.ledger.address), coverage)
    return code


def _trace(run: Run, ledger: TracedLedger, coverage: Coverage) -> bytes:
    again = Run(load_artifact(), Counts())
    for call in run.calls:
        data = _calldata(again, call)
        accepted, steps = ledger.trace(call, data)
        coverage.add(steps)
        coverage.calls += 1
        outcome = again.ledger.send(call.sender, data, call.time)
        coverage.different += (outcome.name == "accepted") is not accepted
    return ledger.code


def _calldata(run: Run, call: Call) -> bytes:
    data = encodable(call, run.ledger.calldata)
    if data is None:
        raise RuntimeError(f"{call.function}: was sent and does not fit its types")
    return data


# ---------------------------------------------------------------------- branches of the code


def branches_of(code: bytes) -> list[Branch]:
    """Its conditional jumps, with their lines."""
    places = _source_map()
    return [Branch(at, *places(number)) for number, (at, op) in enumerate(_instructions(code)) if op == JUMPI]


def _instructions(code: bytes) -> Iterator[tuple[int, int]]:
    """Places and codes; what follows the program, such as its metadata, is no instruction that a map knows."""
    at = 0
    while at < len(code):
        yield at, code[at]
        at += 1 + (code[at] - PUSH1 + 1 if PUSH1 <= code[at] <= PUSH32 else 0)


def _source_map() -> Any:
    """A function from an instruction's number to its file and line."""
    tool = _compiler()
    output = tool.solcx.compile_standard(
        {
            "language": "Solidity",
            "sources": {UNIT: {"content": (ROOT / UNIT).read_text(encoding="utf-8")}},
            "settings": {
                **tool.SETTINGS,
                "outputSelection": {UNIT: {"Ledger": ["evm.deployedBytecode.sourceMap"]}, "*": {"": ["ast"]}},
            },
        },
        base_path=str(ROOT),
        allow_paths=str(ROOT),
        solc_version=tool.SOLC_VERSION,
    )
    names = {source["id"]: path for path, source in output["sources"].items()}
    texts = {path: (ROOT / path.replace("@openzeppelin", "node_modules/@openzeppelin")) for path in names.values()}
    entries = _unpacked(output["contracts"][UNIT]["Ledger"]["evm"]["deployedBytecode"]["sourceMap"])
    lines = {path: text.read_bytes() for path, text in texts.items() if text.is_file()}

    def place(number: int) -> tuple[str, int]:
        start, file = entries[number] if number < len(entries) else (0, -1)
        path = names.get(file, "")
        if path not in lines or lines[path][start:].startswith(WHOLE):
            return "", 0
        return path, lines[path][:start].count(b"\n") + 1

    return place


def _unpacked(packed: str) -> list[tuple[int, int]]:
    """Start and file of each instruction (Solidity: source mappings; an empty field is that of the one before)."""
    found, last = [], ["0", "0", "-1"]
    for entry in packed.split(";"):
        for index, value in enumerate(entry.split(":")[:3]):
            last[index] = value or last[index]
        found.append((int(last[0]), int(last[2])))
    return found


def _compiler() -> ModuleType:
    spec = importlib.util.spec_from_file_location("compile_contracts", ROOT / "tools" / "compile_contracts.py")
    if spec is None or spec.loader is None:
        raise RuntimeError("tools/compile_contracts.py is gone")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# ---------------------------------------------------------------------- report


def report(branches: Sequence[Branch], coverage: Coverage) -> str:
    """Counts by file, and the lines of which a branch went one way only, or was never reached."""
    by_file: dict[str, Counter[int]] = defaultdict(Counter)
    open_lines: dict[str, set[int]] = defaultdict(set)
    for branch in branches:
        ways = coverage.ways(branch)
        by_file[branch.file or "(the compiler's own)"][ways] += 1
        if ways < 2 and branch.file.startswith("contracts/"):
            open_lines[branch.file].add(branch.line)
    rows = [f"{'source':46} {'branches':>8} {'both ways':>9} {'one way':>7} {'never':>5}"]
    total: Counter[int] = Counter()
    for file, counted in sorted(by_file.items()):
        total += counted
        rows.append(f"{file[-46:]:46} {counted.total():8} {counted[2]:9} {counted[1]:7} {counted[0]:5}")
    rows.append(f"{'all':46} {total.total():8} {total[2]:9} {total[1]:7} {total[0]:5}")
    rows += [
        f"not both ways: {file}: {', '.join(map(str, sorted(found)))}" for file, found in sorted(open_lines.items())
    ]
    return "\n".join(rows)


def main() -> int:
    """Prints it; 1 if a transaction ended otherwise than in the run that it comes from."""
    parser = argparse.ArgumentParser(prog="make coverage", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--calls", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=1)
    options, coverage = parser.parse_args(), Coverage()
    code = cover(load_artifact(), options.calls, options.seed, coverage)
    print(report(branches_of(code), coverage))
    print(
        f"coverage: {coverage.calls} transactions of seed {options.seed}, {coverage.different} ended otherwise on Anvil"
    )
    return int(coverage.different > 0)


if __name__ == "__main__":
    sys.exit(main())
