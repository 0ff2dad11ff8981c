"""What the chain tells beside the events: their time, and the evidence for a restore."""

from __future__ import annotations

from eth_abi.abi import decode as abi_decode
from eth_abi.exceptions import DecodingError
from eth_typing import HexStr
from eth_utils import function_signature_to_4byte_selector

from deepring_chain.actors.history import HistoryEntry
from deepring_chain.chain.client import LedgerClient
from deepring_chain.chain.connection import node_errors
from deepring_chain.protocol.audit_step import Witness
from deepring_chain.protocol.events import RestoreOrdered
from deepring_chain.types import Digest

ORDER_RESTORE = "orderRestore(uint16,bytes32[],bytes32,bytes32)"


def read_witness(client: LedgerClient, entry: HistoryEntry) -> Witness:
    """The event's time and, for a restore order, the leaves in its transaction's input.

    Input that is none of a restore order brings no leaves: then the verifier refuses the order.
    """
    if not isinstance(entry.event, RestoreOrdered):
        return Witness(entry.time)
    with node_errors(client.url):
        transaction = client.web3.eth.get_transaction(HexStr(f"0x{entry.logged.transaction_hash.hex()}"))
    return Witness(entry.time, _leaves(bytes(transaction["input"])))


def _leaves(data: bytes) -> tuple[Digest, ...]:
    if data[:4] != function_signature_to_4byte_selector(ORDER_RESTORE):
        return ()
    try:
        _, leaves, _, _ = abi_decode(["uint16", "bytes32[]", "bytes32", "bytes32"], data[4:])
    except (DecodingError, ValueError, OverflowError):
        return ()
    return tuple(Digest(leaf) for leaf in leaves)
