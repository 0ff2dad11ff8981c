"""Sending one account's transactions: estimate, sign, send, wait for the receipt; refusals as decoded errors."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Any, cast

from eth_account.signers.local import LocalAccount
from hexbytes import HexBytes
from web3 import Web3
from web3.exceptions import ContractCustomError, ContractLogicError, Web3RPCError
from web3.types import TxParams, TxReceipt

from deepring_chain.chain.connection import heads_of, node_errors
from deepring_chain.chain.errors import LedgerReverted, RevertDecoder, TransactionFailed
from deepring_chain.chain.nodes import REVERT_KEYS
from deepring_chain.chain.pending import PendingTransactions, Sent, Superseded
from deepring_chain.errors import ChainError
from deepring_chain.types import Address

LOG = logging.getLogger(__name__)

RECEIPT_TIMEOUT = 120.0
"""Seconds to wait for a transaction to be mined."""

FIRST_PAUSE = 0.002
LONGEST_PAUSE = 0.1
"""Seconds between looks for a receipt where the node does not announce its blocks; doubled from look to look."""

QUIET_SECONDS = 1.0
"""The same where it does, if it announces none."""

MEND_SECONDS = 3.0
LONGEST_MEND = 30.0
"""Seconds until it is asked what became of a transaction that is not mined; doubled each time."""

TOO_EARLY = "DeadlineAhead"
"""The ledger's error for a call that has to wait."""

GAS_MARGIN = 1.25
"""The state may change between the estimate and the block."""


class TransactionSender:
    """Signs and sends for one account, from any thread; each waits for its own receipt, and for nobody else's.

    Args:
        web3: connection.
        url: its address, for messages.
        account: signs and pays.
        decoder: of the contract's errors.
    """

    def __init__(self, web3: Web3, url: str, account: LocalAccount, decoder: RevertDecoder) -> None:
        self._web3 = web3
        self._url = url
        self._account = account
        self._decoder = decoder
        self._pending = PendingTransactions(web3, account)

    @property
    def address(self) -> str:
        """The account's address."""
        return str(self._account.address)

    def send(self, to: Address | None, data: bytes, extra_gas: int = 0, fixed_gas: int | None = None) -> TxReceipt:
        """Sends a call and waits until it is mined.

        Args:
            to: the contract; None makes a new one.
            data: of the call, or the new contract's code and the arguments of its constructor.
            extra_gas: to add to the estimate, where the work depends on what others do meanwhile.
            fixed_gas: gas limit to use without an estimate, for calls that wait for a time: an estimate runs at the
                last block's time, which stands still on a chain without blocks. What else the ledger would refuse
                is not sent.

        Raises:
            LedgerReverted: the ledger's custom error, decoded.
            TransactionFailed: no funds, not mined in time, or failed without a reason.
            NodeUnreachable: the node went away.
        """
        call: dict[str, Any] = {"data": HexBytes(data), "value": 0, **({} if to is None else {"to": to})}
        with node_errors(self._url):
            if fixed_gas is not None:
                self._try(call)
            gas = fixed_gas or int(self._estimate(call) * GAS_MARGIN) + extra_gas
            receipt = self._deliver({"to": b"", **call, "gas": gas})
            if receipt["status"] != 1:
                raise self._reason(call, receipt)
            return receipt

    def _try(self, call: Mapping[str, Any]) -> None:
        """Finds out what a call would be refused for, but for its time: some nodes' pending block has an old one."""
        try:
            self._web3.eth.call(self._from_here(call), "pending")
        except (ContractCustomError, ContractLogicError) as error:
            refusal = self._decoded(error)
            if not (isinstance(refusal, LedgerReverted) and refusal.name == TOO_EARLY):
                raise refusal from None
        except Web3RPCError:
            LOG.debug("the node has no pending block; sent without a trial")

    def _estimate(self, call: Mapping[str, Any]) -> int:
        try:
            return int(self._web3.eth.estimate_gas(self._from_here(call)))
        except (ContractCustomError, ContractLogicError) as error:
            raise self._decoded(error) from None

    def _from_here(self, call: Mapping[str, Any]) -> TxParams:
        return cast(TxParams, {"from": self._account.address, **call})

    def _deliver(self, fields: Mapping[str, Any]) -> TxReceipt:
        """Sends until it is mined."""
        deadline = time.monotonic() + RECEIPT_TIMEOUT
        while True:
            seen = heads_of(self._web3).count
            sent = self._pending.submit(fields)
            try:
                return self._await(sent, seen, deadline)
            except Superseded:
                LOG.warning("transaction %s: another one took its nonce; sent anew", sent.hashes[0].to_0x_hex())
            finally:
                self._pending.close(sent)

    def _await(self, sent: Sent, seen: int, deadline: float) -> TxReceipt:
        pause, patience = FIRST_PAUSE, MEND_SECONDS
        mend_at = time.monotonic() + patience
        while time.monotonic() < deadline:
            seen = self._pause(seen, pause)
            receipt = self._pending.receipt(sent)
            if receipt is not None:
                return receipt
            pause = min(2 * pause, LONGEST_PAUSE)
            if time.monotonic() > mend_at:
                self._pending.mend(sent)
                patience = min(2 * patience, LONGEST_MEND)
                mend_at = time.monotonic() + patience
        raise TransactionFailed(
            f"transaction {sent.hashes[0].to_0x_hex()} was not mined within {RECEIPT_TIMEOUT:.0f} s"
        )

    def _pause(self, seen: int, pause: float) -> int:
        """Waits until a look for a receipt is worth while; returns how many blocks were announced by then."""
        heads = heads_of(self._web3)
        if heads.is_live:
            heads.wait(seen, QUIET_SECONDS)
        else:
            time.sleep(pause)
        return heads.count

    def _reason(self, call: Mapping[str, Any], receipt: TxReceipt) -> ChainError:
        try:
            self._web3.eth.call(self._from_here(call), receipt["blockNumber"])
        except (ContractCustomError, ContractLogicError) as error:
            return self._decoded(error)
        return TransactionFailed(f"transaction {receipt['transactionHash'].to_0x_hex()} failed without a reason")

    def _decoded(self, error: ContractLogicError) -> ChainError:
        # For an estimate, some nodes wrap what the contract returned; others give it as it is.
        data: Any = error.data
        if isinstance(data, dict):
            data = next((data[key] for key in REVERT_KEYS if key in data), None)
        if isinstance(data, str) and data.startswith("0x") and len(data) >= 10:
            return self._decoder.decode(bytes.fromhex(data[2:]))
        return TransactionFailed(f"the contract reverted: {error.message or error}")
