"""The auditor: anyone with a node and read access to the store. Needs no key (protocol: "Audit")."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from deepring_chain.actors.audit_blobs import BlobAuditor
from deepring_chain.actors.audit_chain import LinkedBlocks, StorageAuditor, read_terms
from deepring_chain.actors.audit_formats import BlobKind
from deepring_chain.actors.audit_inputs import InputAuditor
from deepring_chain.chain.client import BlockPlace, LedgerClient
from deepring_chain.errors import ChainError
from deepring_chain.protocol.audit_step import AuditFailure
from deepring_chain.protocol.verifier import TrailReport, TrailVerifier
from deepring_chain.store.content import ContentStore
from deepring_chain.types import Address, Domain


@dataclass(frozen=True)
class Unchecked:
    """What an audit without keys cannot check, and who can."""

    what: str
    who: str


NOT_CHECKED = (
    Unchecked(
        "that each envelope, note, input and answer holds what its commitment says",
        "its recipient, who checks it when it opens it; with the query's commitment key anyone who has the content",
    ),
    Unchecked(
        "that each leaf was computed over the registered parameters, and that the recorded hash is theirs",
        "the ouroboros, or an auditor whom it admits to the parameters and challenges",
    ),
    Unchecked(
        "that each output is what its layer computes from its input, beyond its neighbors' agreement (eq. 13)",
        "the ouroboros, or an auditor whom it admits, by running the layer again",
    ),
    Unchecked(
        "that each verdict is right, and that each complaint was",
        "an auditor whom the ouroboros admits to the evidence",
    ),
    Unchecked(
        "that each restore carried the registered parameters, and that each report on one is true",
        "the ouroboros, or an auditor whom it admits to the parameters",
    ),
    Unchecked("that the model's root and card belong together", "the ouroboros, who has the manifest"),
    Unchecked("that a rejected query deserved it", "its querent, who knows what it sealed"),
    Unchecked(
        "that this node shows the chain that everybody sees, with all of the ledger's events",
        "anyone, by comparing the last block's hash with another node's and auditing there",
    ),
)


@dataclass(frozen=True)
class AuditReport:
    """What an audit found.

    Attributes:
        domain, ouroboros: the ledger.
        first_block, last_block: the range; `last_block` is where it ended, None when no block was read.
        blocks: how many headers were linked.
        trail: events and checks, up to the failure if there is one.
        input_values: how many values of transactions' input were compared with the events.
        stored_values: how many values of the ledger's storage were compared with what the events amount to.
        blobs: how many blobs of each kind are there, undamaged and of their format.
        disputed_blobs: how many are not, which the trail itself says and the ring has dealt with; see the remarks.
        blob_bytes: size of the good ones together.
        remarks: what is odd, and either nobody's fault in the ring or dealt with by it.
        not_checked: what needs keys, or another node.
        failure: the first wrong thing, which ended the audit.
    """

    domain: Domain
    ouroboros: Address
    first_block: int
    last_block: BlockPlace | None
    blocks: int
    trail: TrailReport
    input_values: int
    stored_values: int
    blobs: Mapping[BlobKind, int]
    disputed_blobs: int
    blob_bytes: int
    remarks: tuple[str, ...]
    not_checked: tuple[Unchecked, ...]
    failure: AuditFailure | None

    @property
    def passed(self) -> bool:
        """Whether everything that was checked holds."""
        return self.failure is None


def audit(client: LedgerClient, store: ContentStore, first_block: int) -> AuditReport:
    """Checks all that public data allow: the whole trail, the blocks it stands in, and every blob it points to.

    The contract's code was compared with the shipped one when `client` was opened.

    Args:
        client: the ledger, through a node of the auditor's choice.
        store: the ciphertext store.
        first_block: the block that the ledger was deployed in, or an earlier one.

    Returns:
        The report; a failed check is its `failure`, and nothing after it was checked.

    Raises:
        ChainError: the node fails or has no such block.
        StoreError: the store cannot be read at all.
    """
    newest = client.head().number
    if not 0 <= first_block <= newest:
        raise ChainError(f"{client.url}: no block {first_block}, the newest is {newest}; name the deployment's block")
    return _Audit(client, store, first_block).run()


class _Audit:
    def __init__(self, client: LedgerClient, store: ContentStore, first_block: int) -> None:
        self._client = client
        self._first_block = first_block
        self._blocks = LinkedBlocks(client, first_block)
        self._inputs = InputAuditor(client)
        self._verifier = TrailVerifier(read_terms(client))
        self._storage = StorageAuditor(client)
        self._blobs = BlobAuditor(store, client.ouroboros)

    def run(self) -> AuditReport:
        try:
            self._check_all()
        except AuditFailure as failure:
            return self._report(failure)
        return self._report(None)

    def _check_all(self) -> None:
        for logged, time in self._blocks.read():
            self._verifier.check(logged, self._inputs.witness(logged, time))
            self._blobs.check(logged)
            self._compare_ended()
        self._verifier.finish()
        self._blobs.finish()
        if self._blocks.last is not None:
            self._storage.compare(self._verifier, self._blocks.last)

    def _compare_ended(self) -> None:
        ended = self._verifier.take_ended()
        if ended is not None and self._blocks.last is not None:
            self._storage.compare_ended(ended, self._blocks.last)

    def _report(self, failure: AuditFailure | None) -> AuditReport:
        return AuditReport(
            domain=self._client.domain,
            ouroboros=self._client.ouroboros,
            first_block=self._first_block,
            last_block=self._blocks.last,
            blocks=self._blocks.count,
            trail=self._verifier.report(),
            input_values=self._inputs.count,
            stored_values=self._storage.count,
            blobs=dict(self._blobs.counts),
            disputed_blobs=self._blobs.disputed,
            blob_bytes=self._blobs.total_bytes,
            remarks=tuple(self._blobs.remarks),
            not_checked=NOT_CHECKED,
            failure=failure,
        )
