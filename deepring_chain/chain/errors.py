"""The ledger's custom errors and the node's failures as exceptions with one clear line."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import Any

from eth_abi.abi import decode as abi_decode
from eth_abi.exceptions import DecodingError
from eth_utils import function_signature_to_4byte_selector, to_checksum_address

from deepring_chain.errors import ChainError
from deepring_chain.types import ComplaintKind, QueryPhase, RejectReason, RingMode

QUOTED_BYTES = 200


class NodeUnreachable(ChainError):
    """Nothing answers at the RPC address, or it stopped answering."""


class NodeSilent(NodeUnreachable):
    """Something takes the connection and does not answer: the node hangs, or has too much to do."""


class WrongChain(ChainError):
    """The node is on another chain than the ring."""


class ContractMissing(ChainError):
    """There is no code, or other code, at the ledger's address."""


class TransactionFailed(ChainError):
    """A transaction was not mined, or failed without a reason that the ledger gives."""


class LedgerReverted(ChainError):
    """The ledger refused a call with one of its custom errors.

    Attributes:
        name: the error's name in `ILedger`.
        arguments: its arguments by name.
    """

    def __init__(self, name: str, arguments: dict[str, Any]) -> None:
        shown = ", ".join(f"{key}={_show(value)}" for key, value in arguments.items())
        super().__init__(f"the ledger refused: {name}({shown})")
        self.name = name
        self.arguments = arguments


_ENUM_NAMES: dict[str, type[IntEnum]] = {
    "enum ILedger.RingMode": RingMode,
    "enum ILedger.QueryPhase": QueryPhase,
    "enum ILedger.RejectReason": RejectReason,
    "enum ILedger.ComplaintKind": ComplaintKind,
}


def _show(value: object) -> str:
    return f"0x{value.hex()}" if isinstance(value, bytes) else str(getattr(value, "name", value))


def _quote(data: bytes) -> str:
    """A node may answer with megabytes."""
    return f"0x{data[:QUOTED_BYTES].hex()}{'...' if len(data) > QUOTED_BYTES else ''}"


class RevertDecoder:
    """Turns revert data into exceptions, by the errors of a contract's ABI."""

    def __init__(self, abi: Sequence[dict[str, Any]]) -> None:
        self._errors = {_selector(entry): entry for entry in abi if entry["type"] == "error"}

    def decode(self, data: bytes) -> ChainError:
        """The exception for `data`; one that quotes the bytes when no declared error fits."""
        entry = self._errors.get(data[:4])
        if entry is None:
            return TransactionFailed(f"the contract reverted with unknown data {_quote(data)}")
        inputs = entry["inputs"]
        try:
            values = abi_decode([item["type"] for item in inputs], data[4:])
            arguments = {item["name"]: _typed(item, value) for item, value in zip(inputs, values, strict=True)}
        except (DecodingError, ValueError, OverflowError):  # a number that the enum does not have; an offset of 2**255
            return TransactionFailed(f"the contract reverted with malformed {entry['name']} {_quote(data)}")
        return LedgerReverted(entry["name"], arguments)


def _selector(entry: dict[str, Any]) -> bytes:
    types = ",".join(item["type"] for item in entry["inputs"])
    return function_signature_to_4byte_selector(f"{entry['name']}({types})")


def _typed(item: dict[str, Any], value: Any) -> Any:
    if item["type"] == "address":
        return to_checksum_address(value)
    kind = _ENUM_NAMES.get(item.get("internalType", ""))
    return kind(value) if kind else value
