"""The auditor's view of transactions: what the ouroboros and a restored worker passed to the ledger, beside its events.

The evidence for a restore is in the input alone: the ledger checks it and keeps nothing of it.
"""

from __future__ import annotations

from typing import Any

from eth_abi.abi import decode as abi_decode
from eth_abi.exceptions import DecodingError
from eth_typing import HexStr
from eth_utils import function_signature_to_4byte_selector, to_checksum_address

from deepring_chain.chain.client import LedgerClient
from deepring_chain.chain.connection import node_errors
from deepring_chain.protocol.audit_step import AuditFailure, Place, Witness, show
from deepring_chain.protocol.events import LoggedEvent, RestoreOrdered, RestoreReported
from deepring_chain.types import Address, Digest

ORDER_RESTORE = "orderRestore(uint16,bytes32[],bytes32,bytes32)"
REPORT_RESTORE = "reportRestore(uint16,string)"


class InputAuditor:
    """Reads the input of the transactions whose events do not tell everything.

    Attributes:
        count: how many values were compared with events.
    """

    def __init__(self, client: LedgerClient) -> None:
        self._client = client
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
                passed = self._input(logged, ORDER_RESTORE, ["uint16", "bytes32[]", "bytes32", "bytes32"])
                position, leaves, recorded_last, parameters = passed
                self._compare(logged, "position", position, event.position)
                self._compare(logged, "recordedLast", recorded_last, event.recorded_last)
                self._compare(logged, "parameters", parameters, event.parameters)
                return Witness(time, tuple(Digest(leaf) for leaf in leaves))
            case RestoreReported() as event:
                # The ledger takes any bytes for a text.
                position, changed = self._input(logged, REPORT_RESTORE, ["uint16", "bytes"])
                self._compare(logged, "position", position, event.position)
                self._compare(logged, "changed", changed.decode(errors="replace"), event.changed)
        return Witness(time)

    def _input(self, logged: LoggedEvent, function: str, types: list[str]) -> tuple[Any, ...]:
        with node_errors(self._client.url):
            transaction = self._client.web3.eth.get_transaction(HexStr(f"0x{logged.transaction_hash.hex()}"))
        receiver, data = transaction.get("to"), bytes(transaction["input"])
        ledger = self._client.domain.ledger
        wanted = f"a call of {function} at {ledger}"
        if receiver is None or Address(to_checksum_address(receiver)) != ledger:
            raise _failure(logged, "input", wanted, f"a transaction to {receiver}")
        if data[:4] != function_signature_to_4byte_selector(function):
            raise _failure(logged, "input", wanted, f"a call of another function, {show(data[:4])}")
        try:
            return abi_decode(types, data[4:])
        except (DecodingError, ValueError) as error:
            raise _failure(logged, "input", wanted, f"malformed values ({error})") from None

    def _compare(self, logged: LoggedEvent, name: str, passed: object, found: object) -> None:
        self.count += 1
        if passed != found:
            raise _failure(logged, name, f"{show(passed)}, as the transaction has it", show(found))


def _failure(logged: LoggedEvent, name: str, expected: str, found: str) -> AuditFailure:
    event = logged.event
    subject = "the trail"
    if isinstance(event, RestoreOrdered | RestoreReported):
        subject = f"arrangement {event.arrangement}, seat {event.position}"
    return AuditFailure(subject, f"{type(event).__name__}.{name}", expected, found, Place.of(logged))
