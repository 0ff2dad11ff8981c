"""What the chain tells beside the events: their time, and the evidence for a restore."""

from __future__ import annotations

from eth_typing import HexStr

from deepring_chain.audit.inputs import restore_leaves
from deepring_chain.chain.client import LedgerClient
from deepring_chain.chain.connection import node_errors
from deepring_chain.follow.history import HistoryEntry
from deepring_chain.protocol.audit_step import Witness
from deepring_chain.protocol.events import RestoreOrdered


def read_witness(client: LedgerClient, entry: HistoryEntry) -> Witness:
    """The event's time and, for a restore order, the leaves in its transaction's input.

    Input that is none of a restore order brings no leaves: then the verifier refuses the order.
    """
    event = entry.event
    if not isinstance(event, RestoreOrdered):
        return Witness(entry.time)
    with node_errors(client.url):
        transaction = client.web3.eth.get_transaction(HexStr(f"0x{entry.logged.transaction_hash.hex()}"))
    return Witness(entry.time, restore_leaves(event, bytes(transaction["input"])))
