"""Putting a ledger on a chain."""

from __future__ import annotations

from dataclasses import dataclass

from eth_account.signers.local import LocalAccount
from hexbytes import HexBytes
from web3 import Web3

from deepring_chain.chain.artifact import load_artifact
from deepring_chain.chain.errors import RevertDecoder
from deepring_chain.chain.sender import TransactionSender
from deepring_chain.errors import ChainError
from deepring_chain.types import Address


@dataclass(frozen=True)
class Deadlines:
    """What a ledger is deployed with, in seconds.

    Attributes:
        hop: from one hop to the next; then anyone may end the attempt.
        withdraw: from a query's submission until its querent may give it up.
    """

    hop: int = 60
    withdraw: int = 600


def deploy_ledger(
    web3: Web3, url: str, deployer: LocalAccount, ouroboros: Address, deadlines: Deadlines | None = None
) -> tuple[Address, int]:
    """Deploys a ledger.

    Args:
        web3: connection.
        url: its address, for messages.
        deployer: account that pays.
        ouroboros: account of the model's owner.
        deadlines: the defaults of `Deadlines` if None.

    Returns:
        The ledger's address, and the block that it begins in.
    """
    artifact, chosen = load_artifact(), deadlines or Deadlines()
    factory = web3.eth.contract(abi=artifact.abi, bytecode=artifact.bytecode)
    sender = TransactionSender(web3, url, deployer, RevertDecoder(artifact.abi))
    code = factory.constructor(ouroboros, chosen.hop, chosen.withdraw).data_in_transaction
    receipt = sender.send(None, HexBytes(code))
    address = receipt["contractAddress"]
    if address is None:
        raise ChainError(f"{url}: the node's receipt names no contract address")
    return Address(address), receipt["blockNumber"]
