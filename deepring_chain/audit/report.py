"""What an audit says: what it checked, how many, what it could not check, and who could."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from deepring_chain.audit.evidence import EvidenceReport
from deepring_chain.audit.formats import BlobKind
from deepring_chain.audit.progress import AuditCounts
from deepring_chain.chain.block_place import BlockPlace
from deepring_chain.protocol.audit_step import AuditFailure
from deepring_chain.protocol.verifier_report import TrailReport
from deepring_chain.types import Address, Domain


@dataclass(frozen=True)
class Unchecked:
    """What this audit cannot check, and who can."""

    what: str
    who: str


_ALWAYS = (
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
        "that each restore carried the registered parameters, and that each report on one is true",
        "the ouroboros, or an auditor whom it admits to the parameters",
    ),
    Unchecked("that the model's root and card belong together", "the ouroboros, who has the manifest"),
    Unchecked("that a rejected query deserved it", "its querent, who knows what it sealed"),
)

_NO_EVIDENCE = Unchecked(
    "that each verdict is right, and that each complaint was",
    "an auditor whom the ouroboros admits to the evidence, with --evidence",
)
_NO_MODEL = Unchecked(
    "that the outputs in the verdicts' evidence are what the layers make of the queries' inputs",
    "an admitted auditor to whom the ouroboros gives the model, with --model",
)
_NO_ANCHOR = Unchecked(
    "that this is the chain that everybody sees",
    "anyone, by comparing the last block's hash with another node's: everything above hangs on it; or with --anchor",
)
_NO_DEPLOYMENT = Unchecked(
    "that the transaction which created the ledger sent the shipped code and these deadlines",
    "anyone who names the block of the ledger's deployment as the first one",
)
_INDIRECT = "that {} events are what their calls passed to the ledger, which other accounts made or nested calls hide"


def not_checked(counts: AuditCounts, verdicts: EvidenceReport, anchor: BlockPlace | None) -> tuple[Unchecked, ...]:
    """What an audit leaves open.

    Args:
        counts: what was compared.
        verdicts: what came of the evidence.
        anchor: a block as the auditor knows it.
    """
    found = list(_ALWAYS)
    if not verdicts.admitted:
        found.append(_NO_EVIDENCE)
    elif not verdicts.has_model:
        found.append(_NO_MODEL)
    found += [Unchecked(what, who) for what, who in verdicts.open_points]
    if counts.indirect_calls:
        found.append(Unchecked(_INDIRECT.format(counts.indirect_calls), "anyone who traces these transactions"))
    if not counts.found_deployment:
        found.append(_NO_DEPLOYMENT)
    if anchor is None:
        found.append(_NO_ANCHOR)
    return tuple(found)


@dataclass(frozen=True)
class AuditReport:
    """What an audit found.

    Attributes:
        domain, ouroboros: the ledger.
        first_block, last_block: the range; `last_block` is where it ended, None when no block was read.
        resumed_after: where this run went on from; None if it began at the first block. What came before was checked
            by earlier runs; blobs of it were not read again.
        counts: blocks, roots and values that were compared, in all runs together.
        trail: events and checks, up to the failure if there is one.
        blobs: how many blobs of each kind are there, undamaged and of their format.
        disputed_blobs: how many are not, which the trail itself says and the ring has dealt with; see the remarks.
        blob_bytes: size of the good ones together.
        verdicts: what came of the verdicts' evidence.
        remarks: what is odd, and either nobody's fault in the ring or dealt with by it.
        not_checked: what needs keys, or another node.
        faults: blobs and verdicts that are wrong; the first ones of each field. They did not end the audit.
        more_faults: how many there are beyond these, by field.
        stopped: what is wrong in the trail's own logic; it ended the audit, and nothing after it was checked.
    """

    domain: Domain
    ouroboros: Address
    first_block: int
    last_block: BlockPlace | None
    resumed_after: BlockPlace | None
    counts: AuditCounts
    trail: TrailReport
    blobs: Mapping[BlobKind, int]
    disputed_blobs: int
    blob_bytes: int
    verdicts: EvidenceReport
    remarks: tuple[str, ...]
    not_checked: tuple[Unchecked, ...]
    faults: tuple[AuditFailure, ...]
    more_faults: Mapping[str, int]
    stopped: AuditFailure | None

    @property
    def failure(self) -> AuditFailure | None:
        """The first wrong thing: a fault, which the audit went on after, or what ended it; None if it passed."""
        return self.faults[0] if self.faults else self.stopped

    @property
    def passed(self) -> bool:
        """Whether everything that was checked holds."""
        return self.failure is None

    @property
    def blocks(self) -> int:
        """How many blocks were linked."""
        return self.counts.blocks

    @property
    def input_values(self) -> int:
        """How many values of transactions' input were compared with events."""
        return self.counts.input_values

    @property
    def stored_values(self) -> int:
        """How many values of the ledger's storage were compared with what the events amount to."""
        return self.counts.stored_values
