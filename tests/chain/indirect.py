"""Calls that reach the ledger through other code: a contract, or the caller's own account that runs one (EIP-7702)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from eth_account.signers.local import LocalAccount
from eth_utils import to_checksum_address
from hexbytes import HexBytes
from web3 import Web3
from web3.types import TxReceipt

from deepring_chain.chain.artifact import read_artifact
from deepring_chain.chain.ports import Ledger
from deepring_chain.types import Address

ARTIFACT = Path(__file__).parents[1] / "artifacts" / "Forwarder.json"
SET_CODE = 4
"""The type of a transaction that delegates accounts (EIP-7702)."""


def deploy_forwarder(web3: Web3) -> Address:
    """A `Forwarder`, from the node's first unlocked account."""
    artifact = read_artifact(ARTIFACT)
    factory = web3.eth.contract(abi=artifact.abi, bytecode=artifact.bytecode)
    sent = factory.constructor().transact({"from": web3.eth.accounts[0]})
    deployed = web3.eth.wait_for_transaction_receipt(sent, 20, 0.005)["contractAddress"]
    return Address(to_checksum_address(str(deployed)))


def encode_forward(target: Address, data: bytes) -> bytes:
    """The call of `forward` that calls `target`."""
    contract = Web3().eth.contract(abi=read_artifact(ARTIFACT).abi)
    return bytes.fromhex(contract.encode_abi("forward", [target, data])[2:])


def send_raw(web3: Web3, account: LocalAccount, to: Address | None, data: bytes, **fields: Any) -> TxReceipt:
    """One transaction, whatever becomes of it: a call that the ledger refuses is mined, too."""
    transaction = {
        "chainId": web3.eth.chain_id,
        "nonce": web3.eth.get_transaction_count(account.address),
        "gas": 3_000_000,
        "maxFeePerGas": Web3.to_wei(20, "gwei"),
        "maxPriorityFeePerGas": Web3.to_wei(1, "gwei"),
        "value": 0,
        "data": HexBytes(data),
        **({} if to is None else {"to": to}),
        **fields,
    }
    sent = web3.eth.send_raw_transaction(account.sign_transaction(transaction).raw_transaction)
    return web3.eth.wait_for_transaction_receipt(sent, 20, 0.005)


def delegate(web3: Web3, account: LocalAccount, carrier: LocalAccount, code: Address, data: bytes = b"") -> TxReceipt:
    """From now on `account` runs a contract's code; `carrier` pays for that, and calls the account with `data`."""
    nonce = web3.eth.get_transaction_count(account.address)
    authorization = account.sign_authorization({"chainId": web3.eth.chain_id, "address": code, "nonce": nonce})
    to = Address(to_checksum_address(account.address if data else carrier.address))
    receipt = send_raw(web3, carrier, to, data, type=SET_CODE, authorizationList=[authorization])
    if not web3.eth.get_code(account.address):
        raise AssertionError("the node knows no EIP-7702")
    return receipt


class Through:
    """Stands in for a client's sender: its calls go to an account that passes them on.

    Args:
        sender: the client's own.
        via: where `Forwarder`'s code runs; the sender's own account if it is delegated.
    """

    def __init__(self, sender: Any, via: Address) -> None:
        self._sender, self._via = sender, via

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sender, name)

    def send(self, to: Address, data: bytes, *rest: Any, **more: Any) -> TxReceipt:
        """As the sender does it."""
        receipt: TxReceipt = self._sender.send(self._via, encode_forward(to, data), *rest, **more)
        return receipt


def redirect(client: Ledger, via: Address | None) -> None:
    """From now on all that the client sends goes through `via`, or straight again if None."""
    opened: Any = client
    sender = opened._sender._sender if isinstance(opened._sender, Through) else opened._sender
    opened._sender = sender if via is None else Through(sender, via)


def calling_code(target: Address, data: bytes) -> bytes:
    """Code that makes one call, which stands in the code: as a contract's, no transaction's input shows the call."""
    copy = b"\x61" + len(data).to_bytes(2, "big") + bytes.fromhex("610036600039")  # CODECOPY from 0x36 on
    call = bytes.fromhex("6000600061") + len(data).to_bytes(2, "big") + bytes.fromhex("6000600073")
    call += bytes.fromhex(target[2:]) + bytes.fromhex("5af1")  # CALL with all gas
    revert_unless = bytes.fromhex("6100345760006000fd5b00")  # JUMPI over REVERT, to 0x34
    return copy + call + revert_unless + data


def deploying(code: bytes) -> bytes:
    """What a transaction sends that makes a contract of `code`."""
    return b"\x61" + len(code).to_bytes(2, "big") + bytes.fromhex("80600c6000396000f3") + code
