"""A ledger in this process: its byte code on revm, its calls and events as plain values."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from eth_abi.abi import decode, encode
from eth_hash.auto import keccak
from pyrevm import EVM, AccountInfo, BlockEnv, CfgEnv, Env

from deepring_chain.chain.artifact import Artifact

CHAIN_ID = 1
GAS = 30_000_000
MOST_CODE = 24_576
"""Bytes of a contract on Ethereum (EIP-170)."""
PANIC = bytes.fromhex("4e487b71")


@dataclass(frozen=True)
class Accepted:
    """A call that went through, with its events: name and values in the order of the declaration."""

    events: tuple[tuple[str, tuple[Any, ...]], ...]

    @property
    def name(self) -> str:
        """For the counts."""
        return "accepted"


@dataclass(frozen=True)
class Refused:
    """A call that reverted: the error's name and values; no name for arguments that do not fit their type."""

    name: str
    values: tuple[Any, ...] = ()


Outcome = Accepted | Refused


@dataclass(frozen=True)
class _Shape:
    """How something is encoded."""

    name: str
    selector: bytes
    types: tuple[str, ...]
    indexed: tuple[bool, ...] = ()
    outputs: tuple[str, ...] = ()


class Ledger(Protocol):
    """What can be called."""

    address: str

    def call(self, sender: str, function: str, values: tuple[Any, ...], time: int) -> Outcome:
        """Sends a transaction at a Unix time."""


class InProcessLedger:
    """A deployed ledger.

    Attributes:
        address: its address.
        evm: the machine it runs on.
    """

    def __init__(self, artifact: Artifact, arguments: tuple[Any, ...], time: int, code_limit: int = MOST_CODE) -> None:
        settings = CfgEnv(chain_id=CHAIN_ID, limit_contract_code_size=code_limit)
        self.evm = EVM(Env(cfg=settings), gas_limit=GAS)
        self._functions = {shape.name: shape for shape in _shapes(artifact, "function")}
        self._events = {shape.selector: shape for shape in _shapes(artifact, "event")}
        self._errors = {shape.selector[:4]: shape for shape in _shapes(artifact, "error")}
        (constructor,) = _shapes(artifact, "constructor")
        deployer = "0x" + "d1" * 20
        self.evm.insert_account_info(deployer, AccountInfo(balance=10**30))  # type: ignore[call-arg]
        self._set_time(time)
        self.address = self.evm.deploy(deployer, artifact.bytecode + encode(constructor.types, arguments)).lower()

    def calldata(self, function: str, values: tuple[Any, ...]) -> bytes:
        """A call as bytes."""
        shape = self._functions[function]
        return shape.selector[:4] + encode(shape.types, values)

    def call(self, sender: str, function: str, values: tuple[Any, ...], time: int) -> Outcome:
        """Sends a transaction at a Unix time."""
        return self.send(sender, self.calldata(function, values), time)

    def send(self, sender: str, calldata: bytes, time: int) -> Outcome:
        """Sends bytes as a transaction at a Unix time."""
        self._set_time(time)
        try:
            self.evm.message_call(sender, self.address, calldata=calldata, gas=GAS)
        except RuntimeError as error:
            return self._refusal(error)
        result = self.evm.result
        assert result is not None
        return Accepted(tuple(self._event(log) for log in result.logs))

    def read(self, function: str, *values: Any) -> tuple[Any, ...]:
        """What a view returns."""
        output = self.evm.message_call(
            "0x" + "00" * 20, self.address, calldata=self.calldata(function, values), is_static=True
        )
        return decode(self._functions[function].outputs, output)

    def _set_time(self, time: int) -> None:
        self.evm.set_block_env(BlockEnv(number=1, timestamp=time, gas_limit=GAS, basefee=0))

    def _event(self, log: Any) -> tuple[str, tuple[Any, ...]]:
        topics = [bytes.fromhex(topic.removeprefix("0x")) for topic in log.topics]
        shape = self._events[topics[0]]
        in_topics, places = iter(topics[1:]), list(zip(shape.types, shape.indexed, strict=True))
        in_data = iter(decode([kind for kind, indexed in places if not indexed], log.data[1]))
        values = (decode([kind], next(in_topics))[0] if indexed else next(in_data) for kind, indexed in places)
        return shape.name, tuple(values)

    def _refusal(self, error: RuntimeError) -> Refused:
        text = str(error)
        if not text.startswith("Revert"):
            return Refused(text)
        output = bytes.fromhex(text.partition("0x")[2].rstrip(" )}"))
        if not output:
            return Refused("")
        if output[:4] == PANIC:
            return Refused("Panic", decode(["uint256"], output[4:]))
        shape = self._errors[output[:4]]
        return Refused(shape.name, decode(shape.types, output[4:]))


def _shapes(artifact: Artifact, kind: str) -> Iterator[_Shape]:
    for entry in artifact.abi:
        if entry["type"] == kind:
            name = entry.get("name", "")
            types = tuple(_type(each) for each in entry["inputs"])
            indexed = tuple(bool(each.get("indexed")) for each in entry["inputs"])
            outputs = tuple(_type(each) for each in entry.get("outputs", []))
            yield _Shape(name, keccak(f"{name}({','.join(types)})".encode()), types, indexed, outputs)


def _type(entry: Any) -> str:
    if not entry["type"].startswith("tuple"):
        return str(entry["type"])
    inner = ",".join(_type(each) for each in entry["components"])
    return f"({inner}){entry['type'].removeprefix('tuple')}"
