"""The auditor: anyone with a node, or with an export, and read access to the store (protocol: "Audit")."""

from __future__ import annotations

from dataclasses import dataclass

from deepring_chain.audit.blobs import BlobAuditor
from deepring_chain.audit.chain import BlockSource, LinkedBlock, LinkedBlocks, check_roots
from deepring_chain.audit.deployment import check_deployment, check_immutables
from deepring_chain.audit.evidence import Admission, EvidenceAuditor
from deepring_chain.audit.faults import Fault, Faults
from deepring_chain.audit.inputs import InputAuditor
from deepring_chain.audit.progress import AuditCounts, AuditIdentity, AuditState, ProgressFile
from deepring_chain.audit.report import AuditReport, not_checked
from deepring_chain.audit.storage import StorageAuditor, read_terms
from deepring_chain.chain.block_place import BlockPlace
from deepring_chain.chain.client import LedgerClient
from deepring_chain.chain.node_blocks import NodeBlocks
from deepring_chain.errors import ChainError
from deepring_chain.protocol.audit_step import AuditFailure, Place, show
from deepring_chain.protocol.events import LoggedEvent
from deepring_chain.protocol.verifier import TrailVerifier
from deepring_chain.store.content import ContentStore

__all__ = ["AuditOptions", "AuditReport", "audit"]

SAVE_EVERY_BLOCKS = 500
"""So many blocks may have to be read again after an interruption."""


@dataclass(frozen=True)
class AuditOptions:
    """What an audit may be given beside the public data.

    Attributes:
        anchor: a block as somebody else knows it, which must be among those that are read.
        progress: where to go on from, and to write how far it came.
        admission: keys of an auditor whom the ouroboros admitted to the evidence of verdicts.
    """

    anchor: BlockPlace | None = None
    progress: ProgressFile | None = None
    admission: Admission | None = None


NO_OPTIONS = AuditOptions()


def audit(
    client: LedgerClient,
    store: ContentStore,
    first_block: int,
    options: AuditOptions = NO_OPTIONS,
    source: BlockSource | None = None,
) -> AuditReport:
    """Checks all that public data allow: the whole trail, the blocks it stands in, and every blob it points to.

    The contract's code was compared with the shipped one when `client` was opened.

    Args:
        client: the ledger, through a node of the auditor's choice or an export.
        store: the ciphertext store.
        first_block: the block that the ledger was deployed in, or an earlier one.
        options: anchor, progress, keys.
        source: the blocks; from the client's node if None.

    Returns:
        The report. Faults of blobs and of verdicts are collected, and reading goes on; a fault of the trail's own logic
        is its `stopped`, and nothing after it was checked.

    Raises:
        ChainError: the node or the export fails or has no such block.
        StoreError: the store cannot be read at all.
        ConfigError: the progress is of another audit.
    """
    if source is None:
        source = NodeBlocks(client.web3, client.url, client.domain.ledger, whole_at=first_block)
        newest = source.newest()
        if not 0 <= first_block <= newest:
            raise ChainError(
                f"{client.url}: no block {first_block}, the newest is {newest}; name the deployment's block"
            )
    return Audit(client, store, first_block, source, options).run()


class Audit:
    """One audit under way.

    Args:
        client, store, first_block, source, options: as for `audit`.
        state: where to go on from, if not from the progress file.
    """

    def __init__(
        self,
        client: LedgerClient,
        store: ContentStore,
        first_block: int,
        source: BlockSource,
        options: AuditOptions = NO_OPTIONS,
        state: AuditState | None = None,
    ) -> None:
        self._client, self._source, self._options = client, source, options
        self._terms = read_terms(client)
        admission = options.admission
        keys = (admission.public, admission.model_root) if admission else (None, None)
        self._identity = AuditIdentity.of(self._terms, first_block, store.url, *keys)
        if state is None and options.progress is not None:
            state = options.progress.load(self._identity)
        self._known = state
        self._counts = state.counts if state else AuditCounts()
        self._blocks = LinkedBlocks(client, source, first_block, state.last if state else None)
        self._inputs = InputAuditor(client.domain.ledger, self._counts.input_values, self._counts.indirect_calls)
        self._verifier = TrailVerifier(self._terms, state.trail if state else None)
        self._storage = StorageAuditor(client, self._counts.stored_values)
        self._faults = state.faults if state else Faults()
        self._blobs = BlobAuditor(store, client.ouroboros, self._faults, state.blobs if state else None)
        self._evidence = EvidenceAuditor(self._terms, store, admission, state.evidence if state else None)
        self._roots, self._code_values = self._counts.roots, self._counts.code_values
        self._found_deployment = self._counts.found_deployment
        self._anchored = False

    def run(self) -> AuditReport:
        """Checks everything."""
        try:
            self._check_all()
        except AuditFailure as failure:
            return self._report(failure)
        return self._report(None)

    def check(self, block: LinkedBlock) -> None:
        """Checks the next block: first what it says, so that a failure can name it; then that it was mined so.

        Raises:
            AuditFailure: what is wrong in the trail's own logic. Faults of blobs and verdicts are collected.
        """
        self._check_anchor(block.place)
        if self._known is None and block.header.number == self._identity.first_block:
            self._found_deployment = check_deployment(block, self._terms)
            self._code_values += check_immutables(self._client, self._terms, self._source.head)
        events: list[LoggedEvent] = []
        for logged in self._blocks.events(block):
            events.append(logged)
            self._check_event(logged, block)
        self._blobs.end_block()
        self._roots += check_roots(block, events)

    def state(self) -> AuditState:
        """What another audit can go on from.

        Raises:
            AuditFailure: the last event has a consequence that is absent.
            ChainError: no block was read.
        """
        if self._blocks.last is None:
            raise ChainError(f"{self._client.url}: no block was read")
        trail, blobs, evidence = self._verifier.save(), self._blobs.state, self._evidence.state
        return AuditState(self._identity, self._blocks.last, self._counted(), trail, blobs, evidence, self._faults)

    # ------------------------------------------------------------------ steps

    def _check_all(self) -> None:
        self._check_known()
        for block in self._blocks.read():
            self.check(block)
            if self._blocks.count % SAVE_EVERY_BLOCKS == 0:
                self._save()
        self._save()
        self._verifier.finish()
        self._blobs.finish()
        self._evidence.finish()
        if self._options.anchor is not None and not self._anchored:
            raise ChainError(
                f"{self._client.url}: block {self._options.anchor.number} is not among those that were read"
            )
        if self._blocks.last is not None:
            self._storage.compare(self._verifier, self._blocks.last)

    def _check_event(self, logged: LoggedEvent, block: LinkedBlock) -> None:
        self._inputs.compare(logged, block)
        self._verifier.check(logged, self._inputs.witness(logged, block))
        self._blobs.check(logged)
        self._check_evidence(logged)
        ended = self._verifier.take_ended()
        if ended is not None:
            self._storage.compare_ended(ended, block.place, self._source.head)

    def _check_evidence(self, logged: LoggedEvent) -> None:
        """Nothing that comes later hangs on whether a verdict was right."""
        try:
            self._evidence.check(logged)
        except AuditFailure as failure:
            self._faults.add(Fault.of(failure))

    def _check_known(self) -> None:
        """An audit goes on only on the chain that it came from."""
        if self._known is None:
            return
        last = self._known.last
        if self._options.anchor is not None and self._options.anchor.number <= last.number:
            self._check_anchor(last)
        found = self._source.hash_of(last.number)
        if found != last.block_hash and self._options.progress is not None:
            shown = "there is none" if found is None else show(found)
            raise self._options.progress.refuse_chain(last, shown)

    def _check_anchor(self, place: BlockPlace) -> None:
        anchor = self._options.anchor
        if anchor is None or anchor.number != place.number:
            return
        self._anchored = True
        if anchor.block_hash != place.block_hash:
            subject, expected = f"block {place.number}", f"{show(anchor.block_hash)}, as you know it"
            raise AuditFailure(subject, "hash", expected, show(place.block_hash), Place(place.number))

    def _save(self) -> None:
        if self._options.progress is not None and self._blocks.count:
            self._options.progress.save(self.state())

    def _counted(self) -> AuditCounts:
        blocks = self._counts.blocks + self._blocks.count
        inputs, indirect = self._inputs.count, self._inputs.indirect
        values = (self._code_values, inputs, indirect, self._storage.count)
        return AuditCounts(blocks, self._roots, *values, self._found_deployment)

    def _report(self, stopped: AuditFailure | None) -> AuditReport:
        blobs = self._blobs.state
        return AuditReport(
            domain=self._client.domain,
            ouroboros=self._client.ouroboros,
            first_block=self._identity.first_block,
            last_block=self._blocks.last,
            resumed_after=self._known.last if self._known else None,
            counts=self._counted(),
            trail=self._verifier.report(),
            blobs=dict(blobs.counts),
            disputed_blobs=blobs.disputed,
            blob_bytes=blobs.total_bytes,
            verdicts=self._evidence.report(),
            remarks=(*blobs.remarks, *([f"{blobs.more_remarks} more like these"] if blobs.more_remarks else [])),
            not_checked=not_checked(self._counted(), self._evidence.report(), self._options.anchor),
            faults=tuple(fault.failure for fault in self._faults.kept),
            more_faults=self._faults.more,
            stopped=stopped,
        )
