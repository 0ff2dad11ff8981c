"""The transactions of one account on their way into blocks: their nonces, their fees, and what may go wrong with them.

Transactions do not wait for each other: the lock is held while a nonce is chosen and the transaction handed over. A
nonce that is never used would hold up all later ones for ever. So whoever waits for a receipt asks from time to time
what became of the transaction (`mend`): one that the node lost is sent again, one that is stuck is replaced with a
higher fee, a nonce that nobody uses is filled with a transfer of nothing to oneself.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from eth_account.datastructures import SignedTransaction
from eth_account.signers.local import LocalAccount
from hexbytes import HexBytes
from web3 import Web3
from web3.exceptions import TransactionNotFound, Web3RPCError
from web3.types import TxReceipt

from deepring_chain.chain.errors import TransactionFailed
from deepring_chain.chain.nodes import TAKEN
from deepring_chain.chain.raw_request import request

LOG = logging.getLogger(__name__)

SEND_ATTEMPTS = 8
"""Nonces that are tried where other processes use the same account."""

FEE_SECONDS = 2.0
"""How long a base fee that was looked up is good for: what is offered bears six full blocks in a row."""

TIP = Web3.to_wei(1, "gwei")

BUMP = 1.25
"""Factor of a replacement's fee; nodes take no less than 1.1."""

STUCK_BLOCKS = 3
"""A transaction that could be mined and was left out of so many blocks offers too little."""

TRANSFER_GAS = 21_000
MOST_FILLED = 64
"""Nonces that are filled in one go."""


@dataclass
class Sent:
    """A transaction that the node has taken.

    Attributes:
        fields: what was signed but for fees and nonce.
        nonce: of the account.
        fee, tip: wei per unit of gas that the last version offers at most.
        raw: the last version, signed.
        hashes: of all versions, the last one first: any of them may be mined.
        head: the newest block when it was sent or replaced.
    """

    fields: Mapping[str, Any]
    nonce: int
    fee: int
    tip: int
    raw: HexBytes
    hashes: list[HexBytes]
    head: int


class Superseded(Exception):
    """Another transaction with the same nonce was mined."""


@dataclass
class _Fees:
    """The last base fee, its block, and when that was looked up."""

    base: int = 0
    head: int = 0
    known_at: float = field(default=float("-inf"))


class PendingTransactions:
    """One account's transactions that are not mined yet. Any thread may use it.

    Args:
        web3: connection.
        account: signs and pays.
        clock: seconds.
    """

    def __init__(self, web3: Web3, account: LocalAccount, clock: Callable[[], float] = time.monotonic) -> None:
        self._web3 = web3
        self._account = account
        self._clock = clock
        self._lock = threading.Lock()
        self._waiting: dict[int, Sent] = {}
        self._fees = _Fees()
        self._chain_id: int | None = None

    def submit(self, fields: Mapping[str, Any]) -> Sent:
        """Chooses a nonce, signs and sends.

        Args:
            fields: `to`, `data`, `value` and `gas`.

        Raises:
            Web3RPCError: the node refuses the transaction, whatever its nonce.
            TransactionFailed: others use the account's nonces faster than this can see them.
        """
        with self._lock:
            nonce = self._next_nonce()
            for _ in range(SEND_ATTEMPTS):
                try:
                    return self._send(fields, nonce, *self._offer())
                except Web3RPCError as error:
                    following = self._next_try(nonce, str(error).lower())
                    if following is None:
                        raise
                    nonce = following
        raise TransactionFailed(f"account {self._account.address}: nonces are used faster than seen")

    def receipt(self, sent: Sent) -> TxReceipt | None:
        """The receipt of a transaction, in whichever version it was mined."""
        for version in sent.hashes:
            try:
                return self._web3.eth.get_transaction_receipt(version)
            except TransactionNotFound:
                continue
        return None

    def close(self, sent: Sent) -> None:
        """Nobody waits for a transaction any more."""
        with self._lock:
            if self._waiting.get(sent.nonce) is sent:
                del self._waiting[sent.nonce]

    def mend(self, sent: Sent) -> None:
        """Sees to it that a transaction that is not mined will be.

        Raises:
            Superseded: its nonce is used; what it was to do has to be sent anew.
        """
        with self._lock:
            if self._count("latest") > sent.nonce:
                if self.receipt(sent) is None:
                    raise Superseded
            elif not self._is_known(sent):
                self._send_again(sent)
            else:
                self._unblock(sent)

    # ------------------------------------------------------------------ sending

    def _next_nonce(self) -> int:
        """After those that are under way; else the first that the node has no transaction for, which mends a gap."""
        return max(self._waiting) + 1 if self._waiting else self._count("pending")

    def _next_try(self, nonce: int, refusal: str) -> int | None:
        """The nonce to try after a refusal; None if no other nonce would help."""
        if "base fee" in refusal:
            self._fees.known_at = float("-inf")
            return nonce
        if not any(word in refusal for word in TAKEN):
            return None
        return max(self._count("pending"), nonce + 1)

    def _send(self, fields: Mapping[str, Any], nonce: int, fee: int, tip: int) -> Sent:
        signed = self._sign(fields, nonce, fee, tip)
        sent = Sent(fields, nonce, fee, tip, signed.raw_transaction, [signed.hash], self._fees.head)
        self._web3.eth.send_raw_transaction(sent.raw)
        self._waiting[nonce] = sent
        return sent

    def _sign(self, fields: Mapping[str, Any], nonce: int, fee: int, tip: int) -> SignedTransaction:
        if self._chain_id is None:
            self._chain_id = self._web3.eth.chain_id
        offer = {"nonce": nonce, "maxFeePerGas": fee, "maxPriorityFeePerGas": tip, "chainId": self._chain_id, "type": 2}
        return self._account.sign_transaction({**fields, **offer})

    def _offer(self) -> tuple[int, int]:
        """Highest fee and tip, in wei per unit of gas."""
        if self._clock() - self._fees.known_at > FEE_SECONDS:
            self._look_at_head()
        return 2 * self._fees.base + TIP, TIP

    def _look_at_head(self) -> None:
        block = self._web3.eth.get_block("latest")
        self._fees = _Fees(int(block.get("baseFeePerGas", 0)), int(block["number"]), self._clock())

    # ------------------------------------------------------------------ mending

    def _count(self, block: str) -> int:
        return int(request(self._web3, "eth_getTransactionCount", self._account.address, block), 16)

    def _is_known(self, sent: Sent) -> bool:
        try:
            self._web3.eth.get_transaction(sent.hashes[0])
        except TransactionNotFound:
            return False
        return True

    def _send_again(self, sent: Sent) -> None:
        LOG.warning("transaction %s: the node has lost it; sent again", sent.hashes[0].to_0x_hex())
        try:
            self._web3.eth.send_raw_transaction(sent.raw)
        except Web3RPCError as error:
            if not any(word in str(error).lower() for word in (*TAKEN, "fee")):
                raise
            self._replace(sent)

    def _unblock(self, sent: Sent) -> None:
        """The node has the transaction. What keeps it waiting?"""
        pending = self._count("pending")
        if pending < sent.nonce:
            self._fill(pending, sent.nonce)
        elif pending == sent.nonce:
            # It could be mined, and the node does not count it among those: Anvil 1.7.1 forgets some in its queue,
            # and only a replacement sets them free.
            self._replace(sent)
        else:
            self._look_at_head()
            if self._fees.head >= sent.head + STUCK_BLOCKS:
                self._replace(sent)

    def _fill(self, first: int, end: int) -> None:
        """Uses up the nonces that nobody does; those that others wait for are theirs to mend."""
        for nonce in range(first, min(end, first + MOST_FILLED)):
            if nonce in self._waiting:
                continue
            nothing = {"to": self._account.address, "value": 0, "data": "0x", "gas": TRANSFER_GAS}
            try:
                self._web3.eth.send_raw_transaction(self._sign(nothing, nonce, *self._offer()).raw_transaction)
            except Web3RPCError as error:
                if not any(word in str(error).lower() for word in TAKEN):
                    raise
            else:
                LOG.warning("account %s: nonce %d was never used; filled", self._account.address, nonce)

    def _replace(self, sent: Sent) -> None:
        """Sends the same with a higher fee."""
        self._look_at_head()
        fee, tip = self._offer()
        fee, tip = max(fee, int(sent.fee * BUMP)), max(tip, int(sent.tip * BUMP))
        signed = self._sign(sent.fields, sent.nonce, fee, tip)
        try:
            self._web3.eth.send_raw_transaction(signed.raw_transaction)
        except Web3RPCError as error:
            if not any(word in str(error).lower() for word in TAKEN):
                raise
            return  # mined meanwhile, or another process's: the next look tells
        LOG.warning("transaction %s is stuck; replaced with a higher fee", sent.hashes[0].to_0x_hex())
        sent.fee, sent.tip, sent.raw, sent.head = fee, tip, signed.raw_transaction, self._fees.head
        sent.hashes.insert(0, signed.hash)
