"""The ledger as a typed Python object: every call and transaction that the actors make."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import astuple
from typing import Any, cast

from eth_abi.exceptions import EncodingError
from eth_account.signers.local import LocalAccount
from eth_typing import ChecksumAddress
from web3 import Web3
from web3.logs import DISCARD
from web3.types import TxReceipt

from deepring_chain.chain.artifact import load_artifact
from deepring_chain.chain.block_place import BlockPlace, read_header
from deepring_chain.chain.block_times import BlockTimes
from deepring_chain.chain.calldata import CallEncoder
from deepring_chain.chain.connection import Heads, connect, node_errors, shown_url
from deepring_chain.chain.deployed import contract_at, read_terms
from deepring_chain.chain.errors import LedgerReverted, RevertDecoder
from deepring_chain.chain.events import EventDecoder, forgiving_codec
from deepring_chain.chain.ports import TransactionObserver
from deepring_chain.chain.raw_request import call_view, read_logs, request
from deepring_chain.chain.sender import TransactionSender
from deepring_chain.chain.settlement import Settlement, deliver_call, post_call, settlement_calls
from deepring_chain.chain.subscription import follow_heads
from deepring_chain.crypto.signing import as_struct
from deepring_chain.errors import ChainError
from deepring_chain.protocol.audit_step import Terms
from deepring_chain.protocol.events import LoggedEvent
from deepring_chain.protocol.query_state import QueryState
from deepring_chain.types import (
    Address,
    Attestation,
    BlockHash,
    Complaint,
    Delivery,
    Digest,
    Leaf,
    ModelRoot,
    Pointer,
    Position,
    QueryId,
    Question,
    RejectReason,
    RingMode,
    RouteLink,
    SealingKey,
    SignedUpdate,
    TrailEntry,
    Update,
    Verdict,
)

FOLD_GAS_PER_SEAT = 45_000
"""Folding one leaf: two storage words, one SHA-256, one event. Whoever attests last may fold the whole ring."""

TIMED_GAS = 100_000
"""More than a timeout or a withdrawal takes, but for the trail."""

GAS_PER_TRAIL_ENTRY = 3_000
"""More than an entry of the trail takes, in a withdrawal."""

LOG_RANGE = 5_000
"""Blocks per `eth_getLogs` request; public nodes limit the range."""


class LedgerClient:
    """One actor's view of one ledger: reads for everyone, transactions for the account, if there is one."""

    def __init__(
        self,
        web3: Web3,
        url: str,
        terms: Terms,
        account: LocalAccount | None = None,
        observer: TransactionObserver | None = None,
    ) -> None:
        artifact = load_artifact()
        self._observer = observer
        self._times = BlockTimes()
        self.url = shown_url(url)
        self.web3 = web3
        self.domain, self.ouroboros = terms.domain, terms.ouroboros
        self.hop_seconds, self.withdraw_seconds = terms.hop_seconds, terms.withdraw_seconds
        web3.codec = forgiving_codec()
        self._contract = contract_at(web3, terms.domain.ledger)
        self._decoder = EventDecoder(self._contract, self.domain)
        self._encoder = CallEncoder(artifact.abi, web3.codec)
        self._sender = (
            TransactionSender(web3, self.url, account, RevertDecoder(artifact.abi)) if account is not None else None
        )

    @classmethod
    def over(
        cls,
        web3: Web3,
        url: str,
        address: Address,
        account: LocalAccount | None = None,
        observer: TransactionObserver | None = None,
    ) -> LedgerClient:
        """Checks that the shipped ledger's code is at `address`, and reads what it is deployed with.

        Raises:
            NodeUnreachable, ContractMissing: one line each.
        """
        return cls(web3, url, read_terms(web3, shown_url(url), address), account, observer)

    @classmethod
    def open(
        cls,
        url: str,
        address: Address,
        account: LocalAccount | None = None,
        chain_id: int | None = None,
        observer: TransactionObserver | None = None,
    ) -> LedgerClient:
        """Connects and checks that the shipped ledger's code is at `address`.

        Raises:
            NodeUnreachable, WrongChain, ContractMissing: one line each.
        """
        return cls.over(connect(url, chain_id), url, address, account, observer)

    # ------------------------------------------------------------------ reads

    def head(self) -> BlockPlace:
        """The newest block."""
        return self._block("latest")

    def block_at(self, number: int) -> BlockPlace:
        """The block with this number."""
        return self._block(number)

    def block_time(self, number: int) -> int:
        """Unix time of a block, in seconds; remembered until `forget_times`."""
        known = self._times.get(number)
        return int(self._block(number).time or 0) if known is None else known

    def note_times(self, blocks: Iterable[BlockPlace]) -> None:
        """Remembers the times of blocks that were announced."""
        for block in blocks:
            if block.time is not None:
                self._times.keep(block.number, block.time)

    def forget_times(self) -> None:
        """To be called after a reorganization: a block's number then stands for another block."""
        self._times.clear()

    def announced(self, on_news: Callable[[], None] = lambda: None) -> AbstractContextManager[Heads]:
        """The node's announcements of new blocks, as long as the context lasts."""
        return follow_heads(self.web3, on_news)

    def gas_used(self, transaction_hash: Digest) -> int:
        """Gas that a transaction used."""
        with node_errors(self.url):
            return int(self.web3.eth.get_transaction_receipt(transaction_hash)["gasUsed"])  # type: ignore[arg-type]

    def events(self, first_block: int, last_block: int) -> list[LoggedEvent]:
        """All events of the ledger in these blocks, in order, both ends included."""
        found: list[LoggedEvent] = []
        with node_errors(self.url):
            for start in range(first_block, last_block + 1, LOG_RANGE):
                end = min(start + LOG_RANGE - 1, last_block)
                found.extend(self._events({"fromBlock": hex(start), "toBlock": hex(end)}))
        return found

    def events_of(self, block: BlockPlace) -> list[LoggedEvent]:
        """All events of the ledger in one block, which the node must have, in order."""
        with node_errors(self.url):
            found = self._events({"blockHash": f"0x{block.block_hash.hex()}"})
        if any((logged.block_number, logged.block_hash) != (block.number, block.block_hash) for logged in found):
            raise ChainError(f"{self.url}: asked for the logs of block {block.number}, the node tells others")
        return found

    def _events(self, where: Mapping[str, str]) -> list[LoggedEvent]:
        logs = read_logs(request(self.web3, "eth_getLogs", {"address": self._contract.address, **where}))
        return [logged for log in logs for logged in self._decoder.decode(log)]

    def balance(self) -> int:
        """What this connection's account has, in wei; a ChainError if it has none."""
        if self._sender is None:
            raise ChainError("balance: this connection has no account")
        with node_errors(self.url):
            return int(self.web3.eth.get_balance(cast(ChecksumAddress, self._sender.address)))

    def mode(self) -> RingMode:
        """The ring's mode as the ledger derives it now."""
        with node_errors(self.url):
            return RingMode(self._read("mode"))

    # ------------------------------------------------------------------ transactions

    def register_model(self, root: ModelRoot, card: Pointer, layers: int) -> TxReceipt:
        """`ILedger.registerModel`."""
        return self._send("registerModel", root, card, layers)

    def admit_workers(self, workers: Sequence[Address], sealing_keys: Sequence[Digest]) -> TxReceipt:
        """`ILedger.admitWorkers`."""
        return self._send("admitWorkers", list(workers), list(sealing_keys))

    def arrange(self, seats: Sequence[Address], recorded_hash: BlockHash, notes: Pointer) -> TxReceipt:
        """`ILedger.arrange`."""
        return self._send("arrange", list(seats), recorded_hash, notes)

    def attest(self, attestations: Sequence[Attestation], signatures: Sequence[bytes], seats: int) -> TxReceipt:
        """`ILedger.attest`.

        Args:
            attestations: the leaves.
            signatures: one each.
            seats: how many the ring has, since this transaction may fold them all.
        """
        structs = [as_struct(attestation) for attestation in attestations]
        return self._send("attest", structs, list(signatures), extra_gas=seats * FOLD_GAS_PER_SEAT)

    def order_restore(
        self, position: Position, expected_leaves: Sequence[Leaf], renewed_hash: BlockHash, parameters: Pointer
    ) -> TxReceipt:
        """`ILedger.orderRestore`."""
        return self._send("orderRestore", position, list(expected_leaves), renewed_hash, parameters)

    def report_restore(self, position: Position, changed: str) -> TxReceipt:
        """`ILedger.reportRestore`."""
        return self._send("reportRestore", position, changed)

    def submit_query(self, sealed_input: Pointer, sealing_key: SealingKey) -> tuple[QueryId, TxReceipt]:
        """`ILedger.submitQuery`; returns the new query's id."""
        receipt = self._send("submitQuery", sealed_input, sealing_key)
        told = self._contract.events.QuerySubmitted().process_receipt(receipt, DISCARD)
        if len(told) != 1:
            raise ChainError(f"{self.url}: the node's receipt tells no new query; name another node with --rpc")
        return QueryId(told[0]["args"]["query"]), receipt

    def reject_query(self, query: QueryId, state: QueryState, reason: RejectReason) -> TxReceipt:
        """`ILedger.rejectQuery`."""
        return self._send("rejectQuery", query, state.as_struct(), int(reason))

    def open_route(self, query: QueryId, state: QueryState, route: RouteLink, notes: Pointer, items: int) -> TxReceipt:
        """`ILedger.openRoute`."""
        return self._send("openRoute", query, state.as_struct(), route, notes, items)

    def resume_route(
        self,
        state: QueryState,
        anchor: Update,
        signer: Address,
        later: Sequence[TrailEntry],
        route: RouteLink,
        notes: Pointer,
    ) -> TxReceipt:
        """`ILedger.resumeRoute`."""
        entries = [{"digest": entry.digest, "signer": entry.signer} for entry in later]
        struct = state.as_struct()
        return self._send("resumeRoute", anchor.query, struct, as_struct(anchor), signer, entries, route, notes)

    def complain(
        self, state: QueryState, complaint: Complaint, salt: Digest, next_route: RouteLink, signature: bytes
    ) -> TxReceipt:
        """`ILedger.complain`; the complaint's place is the state's."""
        opening = {"salt": salt, "next": next_route}
        kind, evidence = int(complaint.kind), complaint.evidence
        return self._send("complain", complaint.query, state.as_struct(), kind, evidence, opening, signature)

    def judge(self, state: QueryState, verdict: Verdict, signature: bytes) -> TxReceipt:
        """`ILedger.judge`; the verdict's place is the state's."""
        finding = (verdict.sender_guilty, verdict.receiver_guilty, verdict.evidence)
        return self._send("judge", verdict.query, state.as_struct(), *finding, signature)

    def time_out(self, query: QueryId, state: QueryState) -> TxReceipt:
        """`ILedger.timeOut`."""
        return self._send("timeOut", query, state.as_struct(), fixed_gas=TIMED_GAS)

    def withdraw_query(
        self, query: QueryId, state: QueryState, question: Question, later: Sequence[TrailEntry]
    ) -> TxReceipt:
        """`ILedger.withdrawQuery`; `later` are all entries on the trail."""
        gas = TIMED_GAS + len(later) * GAS_PER_TRAIL_ENTRY
        arguments = (state.as_struct(), astuple(question), [astuple(entry) for entry in later])
        return self._send("withdrawQuery", query, *arguments, fixed_gas=gas)

    def post(self, state: QueryState, *updates: SignedUpdate) -> TxReceipt:
        """`ILedger.post`: one hop's update, or those of several in a row.

        A hop that violates eq. 13 goes through `ILedger.postContradiction`.

        Raises:
            ProtocolError: they are no run.
        """
        call = post_call(state, updates)
        return self._send(call.function, *call.arguments)

    def deliver(self, state: QueryState, delivery: Delivery, signature: bytes) -> TxReceipt:
        """`ILedger.deliver`; the delivery's place is the state's."""
        call = deliver_call(state, delivery, signature)
        return self._send(call.function, *call.arguments)

    def settle(self, settlements: Sequence[Settlement]) -> TxReceipt:
        """Hops and answers of several queries in one transaction: all of them, or none.

        Raises:
            ProtocolError: a query's updates are no run.
        """
        calls = settlement_calls(settlements)
        if len(calls) == 1:
            return self._send(calls[0].function, *calls[0].arguments)
        return self._send("multicall", [self._encoded(call.function, call.arguments) for call in calls])

    def state_of(self, query: QueryId) -> Digest:
        """`ILedger.stateOf`: the word that stands for a query's state."""
        return Digest(self._read("stateOf", query))

    # ------------------------------------------------------------------ inside

    def _read(self, function: str, *arguments: object) -> Any:
        with node_errors(self.url):
            return call_view(self.web3, self.domain.ledger, self._encoder, function, *arguments)

    def _send(self, function: str, *arguments: object, extra_gas: int = 0, fixed_gas: int | None = None) -> TxReceipt:
        if self._sender is None:
            raise ChainError(f"{function}: this connection has no account to sign with")
        try:
            data = self._encoded(function, arguments)
            receipt = self._sender.send(self.domain.ledger, data, extra_gas, fixed_gas)
        except ChainError as error:
            if isinstance(error, LedgerReverted) and error.name == "UnexpectedState":
                self.forget_times()  # a block's time may be that of a chain which is gone
            if self._observer is not None:
                self._observer.transaction_failed(function, error)
            raise
        if self._observer is not None:
            self._observer.transaction_mined(function, int(receipt["gasUsed"]))
        return receipt

    def _encoded(self, function: str, arguments: Sequence[object]) -> bytes:
        try:
            return self._encoder.encode(function, arguments)
        except (EncodingError, ValueError) as error:  # what a lying node told of a block, for one
            reason = f"{error!s:.200}"
            raise ChainError(f"{function}: the ledger's fields do not hold what was to be sent ({reason})") from None

    def _block(self, which: int | str) -> BlockPlace:
        with node_errors(self.url):
            named = which if isinstance(which, str) else hex(which)
            header = request(self.web3, "eth_getBlockByNumber", named, False)
            if header is None:
                raise ChainError(f"{self.url}: the node has no block {which}")
            block = read_header(header)
        if isinstance(which, int) and block.number != which:
            raise ChainError(f"{self.url}: the node answers with another block than number {which}")
        self.note_times([block])
        return block
