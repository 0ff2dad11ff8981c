"""A ledger that is deployed: that its code is the one of this release, and with what it was deployed."""

from __future__ import annotations

from typing import cast

from eth_typing import ChecksumAddress
from eth_utils import to_checksum_address
from web3 import Web3
from web3.contract import Contract

from deepring_chain.chain.artifact import load_artifact
from deepring_chain.chain.calldata import CallEncoder
from deepring_chain.chain.connection import node_errors
from deepring_chain.chain.errors import ContractMissing
from deepring_chain.chain.raw_request import call_view
from deepring_chain.protocol.audit_step import Terms
from deepring_chain.types import Address, Domain


def contract_at(web3: Web3, address: Address) -> Contract:
    """The ledger at an address; the node is not asked."""
    contract: Contract = web3.eth.contract(address=cast(ChecksumAddress, address), abi=load_artifact().abi)
    return contract


def read_terms(web3: Web3, url: str, address: Address) -> Terms:
    """What the ledger at `address` is deployed with, after a look at its code.

    Args:
        web3: connection.
        url: its address, for messages.
        address: of the ledger.

    Raises:
        NodeUnreachable: nobody answers.
        ContractMissing: nothing is there, or another contract.
    """
    encoder = CallEncoder(load_artifact().abi, web3.codec)
    with node_errors(url):
        _check_code(web3, url, address)
        domain = Domain(web3.eth.chain_id, address)
        ouroboros = Address(to_checksum_address(call_view(web3, address, encoder, "ouroboros")))
        hop, withdraw = (int(call_view(web3, address, encoder, name)) for name in ("hopSeconds", "withdrawSeconds"))
        return Terms(domain, ouroboros, hop, withdraw)


def _check_code(web3: Web3, url: str, address: Address) -> None:
    code = bytes(web3.eth.get_code(cast(ChecksumAddress, address)))
    if not code:
        raise ContractMissing(f"{url}: no contract at {address}; deploy the ring, or name the right node")
    if not load_artifact().is_code(code):
        raise ContractMissing(f"{url}: the code at {address} is not the Ledger of this release")
