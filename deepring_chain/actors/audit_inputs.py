"""The auditor's view of transactions: what the ouroboros and a restored worker passed to the ledger, beside its events.

The evidence for a restore is in the input alone: the ledger checks it and keeps nothing of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from eth_typing import ChecksumAddress, HexStr

from deepring_chain.chain.artifact import load_artifact
from deepring_chain.chain.client import LedgerClient
from deepring_chain.chain.connection import node_errors
from deepring_chain.protocol.audit_step import AuditFailure, Place, Witness, show
from deepring_chain.protocol.events import LoggedEvent, RestoreOrdered, RestoreReported
from deepring_chain.types import Digest


class InputAuditor:
    """Reads the input of the transactions whose events do not tell everything.

    Attributes:
        count: how many values were compared with events.
    """

    def __init__(self, client: LedgerClient) -> None:
        self._client = client
        address = cast(ChecksumAddress, client.domain.ledger)
        self._contract = client.web3.eth.contract(address=address, abi=load_artifact().abi)
        self.count = 0

    def witness(self, logged: LoggedEvent, time: int) -> Witness:
        """What the chain tells beside an event.

        Args:
            logged: the event.
            time: of its block.

        Raises:
            AuditFailure: the transaction is another call than the event's, or passed other values.
            ChainError: the node fails.
        """
        match logged.event:
            case RestoreOrdered() as event:
                passed = self._input(logged, "orderRestore")
                self._compare(logged, passed, "position", event.position)
                self._compare(logged, passed, "recordedLast", event.recorded_last)
                self._compare(logged, passed, "parameters", event.parameters)
                return Witness(time, tuple(Digest(bytes(leaf)) for leaf in passed["expectedLeaves"]))
            case RestoreReported() as event:
                passed = self._input(logged, "reportRestore")
                self._compare(logged, passed, "position", event.position)
                self._compare(logged, passed, "changed", event.changed)
        return Witness(time)

    def _input(self, logged: LoggedEvent, function: str) -> Mapping[str, Any]:
        with node_errors(self._client.url):
            transaction = self._client.web3.eth.get_transaction(HexStr(f"0x{logged.transaction_hash.hex()}"))
        found = f"a transaction to {transaction.get('to')}"
        if transaction.get("to") == self._contract.address:
            try:
                called, passed = self._contract.decode_function_input(transaction["input"])
            except ValueError:  # no function of the ledger, or malformed
                raise _failure(logged, "input", f"a call of {function}", "something else") from None
            if called.fn_name == function:
                return cast(Mapping[str, Any], passed)
            found = f"a call of {called.fn_name}"
        raise _failure(logged, "input", f"a call of {function} at {self._contract.address}", found)

    def _compare(self, logged: LoggedEvent, passed: Mapping[str, Any], name: str, found: object) -> None:
        self.count += 1
        if passed[name] != found:
            raise _failure(logged, name, f"{show(passed[name])}, as the transaction has it", show(found))


def _failure(logged: LoggedEvent, name: str, expected: str, found: str) -> AuditFailure:
    event = logged.event
    subject = "the trail"
    if isinstance(event, RestoreOrdered | RestoreReported):
        subject = f"arrangement {event.arrangement}, seat {event.position}"
    return AuditFailure(subject, f"{type(event).__name__}.{name}", expected, found, Place.of(logged))
