"""Sending one account's transactions: estimate, sign, send, wait for the receipt; refusals as decoded errors."""

from __future__ import annotations

from typing import Any

from eth_account.signers.local import LocalAccount
from web3 import Web3
from web3.contract.contract import ContractConstructor, ContractFunction
from web3.exceptions import ContractCustomError, ContractLogicError, TimeExhausted, Web3RPCError
from web3.types import TxParams, TxReceipt

from deepring_chain.chain.connection import node_errors
from deepring_chain.chain.errors import RevertDecoder, TransactionFailed
from deepring_chain.errors import ChainError

RECEIPT_TIMEOUT = 120.0
"""Seconds to wait for a transaction to be mined."""

POLL_SECONDS = 0.005

GAS_MARGIN = 1.25
"""The state may change between the estimate and the block."""

SEND_ATTEMPTS = 5


class TransactionSender:
    """Signs and sends for one account. Each transaction is awaited, so that nonces never leave a gap."""

    def __init__(self, web3: Web3, url: str, account: LocalAccount, decoder: RevertDecoder) -> None:
        self._web3 = web3
        self._url = url
        self._account = account
        self._decoder = decoder

    @property
    def address(self) -> str:
        """The account's address."""
        return str(self._account.address)

    def send(
        self, call: ContractFunction | ContractConstructor, extra_gas: int = 0, fixed_gas: int | None = None
    ) -> TxReceipt:
        """Sends `call` and waits until it is mined.

        Args:
            call: a bound contract function or constructor.
            extra_gas: to add to the estimate, where the work depends on what others do meanwhile.
            fixed_gas: gas limit to use without an estimate, for calls that depend on the time: an estimate runs at the
                last block's time, which stands still on a chain without blocks.

        Raises:
            LedgerReverted: the ledger's custom error, decoded.
            TransactionFailed: no funds, not mined in time, or failed without a reason.
            NodeUnreachable: the node went away.
        """
        with node_errors(self._url):
            gas = fixed_gas or int(self._estimate(call) * GAS_MARGIN) + extra_gas
            receipt = self._send_with_fresh_nonce(call, gas)
            if receipt["status"] != 1:
                raise self._reason(call, receipt)
            return receipt

    def _estimate(self, call: ContractFunction | ContractConstructor) -> int:
        try:
            return int(call.estimate_gas({"from": self._account.address}))
        except (ContractCustomError, ContractLogicError) as error:
            raise self._decoded(error) from None

    def _send_with_fresh_nonce(self, call: ContractFunction | ContractConstructor, gas: int) -> TxReceipt:
        for attempt in range(SEND_ATTEMPTS):
            nonce = self._web3.eth.get_transaction_count(self._account.address, "pending")
            fields = {"from": self._account.address, "gas": gas, "nonce": nonce}
            transaction = call.build_transaction(self._fees(fields))
            signed = self._account.sign_transaction(transaction)  # type: ignore[arg-type]  # TxParams is a TypedDict
            try:
                sent = self._web3.eth.send_raw_transaction(signed.raw_transaction)
                return self._web3.eth.wait_for_transaction_receipt(sent, RECEIPT_TIMEOUT, POLL_SECONDS)
            except TimeExhausted:
                raise TransactionFailed(
                    f"transaction {signed.hash.to_0x_hex()} was not mined within {RECEIPT_TIMEOUT:.0f} s"
                ) from None
            except Web3RPCError as error:
                # Another process of the same account may have used the nonce meanwhile.
                if "nonce" not in str(error).lower() or attempt == SEND_ATTEMPTS - 1:
                    raise
        raise TransactionFailed(f"account {self._account.address}: nonces are used faster than seen")

    def _fees(self, transaction: dict[str, Any]) -> TxParams:
        block = self._web3.eth.get_block("latest")
        tip = self._web3.to_wei(1, "gwei")
        fee = 2 * block.get("baseFeePerGas", 0) + tip
        chain = self._web3.eth.chain_id
        return {**transaction, "maxFeePerGas": fee, "maxPriorityFeePerGas": tip, "chainId": chain}  # type: ignore[typeddict-item]

    def _reason(self, call: ContractFunction | ContractConstructor, receipt: TxReceipt) -> ChainError:
        if isinstance(call, ContractFunction):
            try:
                call.call({"from": self._account.address}, block_identifier=receipt["blockNumber"])
            except (ContractCustomError, ContractLogicError) as error:
                return self._decoded(error)
        return TransactionFailed(f"transaction {receipt['transactionHash'].to_0x_hex()} failed without a reason")

    def _decoded(self, error: ContractLogicError) -> ChainError:
        # For an estimate, Ganache wraps what the contract returned; other nodes give it as it is.
        data = error.data.get("result") if isinstance(error.data, dict) else error.data
        if isinstance(data, str) and data.startswith("0x") and len(data) >= 10:
            return self._decoder.decode(bytes.fromhex(data[2:]))
        return TransactionFailed(f"the contract reverted: {error.message or error}")
