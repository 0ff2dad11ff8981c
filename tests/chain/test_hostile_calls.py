"""Nothing that anybody but the owner puts on the chain or into the store keeps later queries from being audited."""

from __future__ import annotations

from pathlib import Path

from eth_account.signers.local import LocalAccount

from deepring_chain.audit.auditor import AuditOptions, AuditReport, audit
from deepring_chain.audit.progress import ProgressFile
from deepring_chain.explorer.watcher import RecordReader, Source
from deepring_chain.types import QueryPhase
from tests.chain.hostile_calls import HostileRing
from tests.chain.names import account_named
from tests.chain.recorded import audit_export, export_of
from tests.chain.ring_driver import fund
from tests.chain.stored_ring import StoredRing, audit_of, open_client

ACTS = 20
"""Each kind twice; `make hostile-calls` makes more of them."""

SEED = 2


def resumed(stored: StoredRing, progress: ProgressFile) -> AuditReport:
    """An audit that goes on from a file."""
    options = AuditOptions(progress=progress)
    return audit(open_client(stored), stored.store, stored.ring.ledger.first_block, options)


def test_audit_reads_to_the_end_whatever_members_do(
    stored: StoredRing, standby: LocalAccount, querent: LocalAccount, mallory: LocalAccount, tmp_path: Path
) -> None:
    print(f"seed {SEED}")
    stranger = account_named("stranger")
    fund(stored.ring.ledger.web3, [stranger])
    hostile = HostileRing.build(stored, (standby, querent, stranger, mallory), SEED)
    hostile.play(ACTS)
    assert hostile.planted
    hostile.check(audit_of(stored))

    # A resumed audit, one of an export, and the explorer's record come as far.
    progress = ProgressFile(tmp_path / "progress")
    hostile.check(resumed(stored, progress))
    hostile.answer()
    report = resumed(stored, progress)
    hostile.check(report)
    assert report.resumed_after is not None
    hostile.check(audit_export(export_of(stored, tmp_path / "history.jsonl.gz"), str(stored.folder)))
    record = RecordReader(Source(open_client(stored), stored.ring.ledger.first_block, {})).read_all()
    assert record.failure is None
    assert [session.phase for session in record.state.sessions.values()][-1] is QueryPhase.DELIVERED
