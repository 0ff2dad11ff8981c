"""Calls that go through a contract: whoever signs the transaction is then not who calls the ledger."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from eth_account.signers.local import LocalAccount
from eth_utils.address import to_checksum_address
from web3 import Web3
from web3.types import TxReceipt

from deepring_chain.chain.artifact import read_artifact
from deepring_chain.chain.client import LedgerClient
from deepring_chain.types import Address
from tests.chain.ring_driver import Ledger

ARTIFACT = Path(__file__).parents[1] / "artifacts" / "Forwarder.json"


class Forwarder:
    """A deployed `contracts/mocks/Forwarder.sol`.

    Args:
        web3: the node.
    """

    def __init__(self, web3: Web3) -> None:
        artifact = read_artifact(ARTIFACT)
        factory = web3.eth.contract(abi=artifact.abi, bytecode=artifact.bytecode)
        sent = factory.constructor().transact({"from": web3.eth.accounts[0]})
        mined = web3.eth.wait_for_transaction_receipt(sent, 20, 0.005)
        self.address = Address(to_checksum_address(str(mined["contractAddress"])))
        self._contract = web3.eth.contract(address=self.address, abi=artifact.abi)

    def encode(self, target: Address, data: bytes) -> bytes:
        """A call of `target`, as the forwarder's input has it."""
        return bytes.fromhex(self._contract.encode_abi("forward", [target, data])[2:])

    def client(self, ledger: Ledger, account: LocalAccount) -> LedgerClient:
        """A client of the ledger whose transactions `account` signs and the forwarder carries out."""
        client = LedgerClient(ledger.web3, ledger.url, ledger.address, account)
        client._sender = _Through(self, client._sender)  # type: ignore[assignment]
        return client


class _Through:
    """A `TransactionSender` that has the forwarder make its calls."""

    def __init__(self, forwarder: Forwarder, sender: Any) -> None:
        self._forwarder, self._sender = forwarder, sender

    def send(self, to: Address, data: bytes, extra_gas: int = 0, fixed_gas: int | None = None) -> TxReceipt:
        receipt: TxReceipt = self._sender.send(
            self._forwarder.address, self._forwarder.encode(to, data), extra_gas, fixed_gas
        )
        return receipt
