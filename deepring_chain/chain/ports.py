"""What actors need of a ledger, as protocols: whoever has it from elsewhere, or in memory, implements these."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from web3.types import TxReceipt

from deepring_chain.chain.block_place import BlockPlace
from deepring_chain.chain.connection import Heads
from deepring_chain.chain.settlement import Settlement
from deepring_chain.protocol.events import LoggedEvent
from deepring_chain.protocol.query_state import QueryState
from deepring_chain.types import (
    Address,
    Attestation,
    BlockHash,
    Complaint,
    Delivery,
    Digest,
    Domain,
    Leaf,
    ModelRoot,
    Pointer,
    Position,
    QueryId,
    Question,
    RejectReason,
    RouteLink,
    SealingKey,
    SignedUpdate,
    TrailEntry,
    Update,
    Verdict,
)


class LedgerReader(Protocol):
    """A ledger as it is told, block by block.

    Attributes:
        domain: chain and ledger.
        ouroboros: the model owner's account.
        hop_seconds, withdraw_seconds: the ledger's deadlines.
    """

    domain: Domain
    ouroboros: Address
    hop_seconds: int
    withdraw_seconds: int

    def head(self) -> BlockPlace:
        """The newest block."""

    def block_at(self, number: int) -> BlockPlace:
        """The block with this number."""

    def block_time(self, number: int) -> int:
        """Unix time of a block, in seconds; remembered until `forget_times`."""

    def note_times(self, blocks: Iterable[BlockPlace]) -> None:
        """Remember the times of blocks that were announced."""

    def forget_times(self) -> None:
        """Forget all times: after a reorganization a block's number stands for another block."""

    def events(self, first_block: int, last_block: int) -> list[LoggedEvent]:
        """All events of the ledger in these blocks, both ends included."""

    def events_of(self, block: BlockPlace) -> list[LoggedEvent]:
        """All events of the ledger in one block, which the source must have."""

    def announced(self, on_news: Callable[[], None] = lambda: None) -> AbstractContextManager[Heads]:
        """Announcements of new blocks, as long as the context lasts; `on_news` is called from any thread."""


class LedgerWriter(Protocol):
    """One account's calls of a ledger; each returns when it is mined.

    All raise `LedgerReverted` where the ledger refuses, `NodeUnreachable` where nobody answers, and `ChainError`.
    """

    def balance(self) -> int:
        """What the account has, in wei."""

    def register_model(self, root: ModelRoot, card: Pointer, layers: int) -> object:
        """`ILedger.registerModel`."""

    def admit_workers(self, workers: Sequence[Address], sealing_keys: Sequence[Digest]) -> object:
        """`ILedger.admitWorkers`."""

    def arrange(self, seats: Sequence[Address], recorded_hash: BlockHash, notes: Pointer) -> object:
        """`ILedger.arrange`."""

    def attest(self, attestations: Sequence[Attestation], signatures: Sequence[bytes], seats: int) -> object:
        """`ILedger.attest`."""

    def order_restore(
        self, position: Position, expected_leaves: Sequence[Leaf], renewed_hash: BlockHash, parameters: Pointer
    ) -> object:
        """`ILedger.orderRestore`."""

    def report_restore(self, position: Position, changed: str) -> object:
        """`ILedger.reportRestore`."""

    def submit_query(self, sealed_input: Pointer, sealing_key: SealingKey) -> tuple[QueryId, object]:
        """`ILedger.submitQuery`; returns the new query's id first."""

    def reject_query(self, query: QueryId, state: QueryState, reason: RejectReason) -> object:
        """`ILedger.rejectQuery`."""

    def open_route(self, query: QueryId, state: QueryState, route: RouteLink, notes: Pointer, items: int) -> object:
        """`ILedger.openRoute`."""

    def resume_route(
        self,
        state: QueryState,
        anchor: Update,
        signer: Address,
        later: Sequence[TrailEntry],
        route: RouteLink,
        notes: Pointer,
    ) -> object:
        """`ILedger.resumeRoute`."""

    def complain(
        self, state: QueryState, complaint: Complaint, salt: Digest, next_route: RouteLink, signature: bytes
    ) -> object:
        """`ILedger.complain`; the complaint's place is the state's."""

    def judge(self, state: QueryState, verdict: Verdict, signature: bytes) -> object:
        """`ILedger.judge`; the verdict's place is the state's."""

    def time_out(self, query: QueryId, state: QueryState) -> object:
        """`ILedger.timeOut`."""

    def withdraw_query(
        self, query: QueryId, state: QueryState, question: Question, later: Sequence[TrailEntry]
    ) -> object:
        """`ILedger.withdrawQuery`; `later` are all entries on the trail."""

    def post(self, state: QueryState, *updates: SignedUpdate) -> object:
        """`ILedger.post`: one hop's update, or those of several in a row."""

    def deliver(self, state: QueryState, delivery: Delivery, signature: bytes) -> object:
        """`ILedger.deliver`; the delivery's place is the state's."""

    def settle(self, settlements: Sequence[Settlement]) -> TxReceipt:
        """Hops and answers of several queries in one transaction: all of them, or none."""


class Ledger(LedgerReader, LedgerWriter, Protocol):
    """Both sides of one ledger, for one account."""


class TransactionObserver(Protocol):
    """Is told how each transaction ended."""

    def transaction_mined(self, function: str, gas: int) -> None:
        """It succeeded and used so much gas."""

    def transaction_failed(self, function: str, error: Exception) -> None:
        """It was refused, reverted, or is not known to be mined."""
