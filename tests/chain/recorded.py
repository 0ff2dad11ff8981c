"""A scripted trail that holds every kind of event, with its blobs, in an export: audits are tried on it."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deepring_chain.audit.auditor import AuditOptions, AuditReport, audit
from deepring_chain.audit.exporter import export
from deepring_chain.chain.client import LedgerClient
from deepring_chain.chain.export_file import ExportFile, connect_export
from deepring_chain.chain.raw_block import RawBlock
from deepring_chain.store.content import ContentStore
from deepring_chain.types import ZERO, ComplaintKind, Digest, RejectReason
from tests.chain.query_driver import settle_whole
from tests.chain.ring_driver import named
from tests.chain.stored_ring import StoredRing, open_client


def restore(stored: StoredRing) -> None:
    """Two blocks are tampered with, one of them twice."""
    stored.arrange(tampered=(1, 3))
    stored.order_restore(1)
    stored.ring.post_attestations([stored.ring.attestation(1, leaf=named("tampered again"))])
    stored.ring.report(1)
    stored.order_restore(1)
    stored.ring.attest(1)
    stored.order_restore(3)
    stored.ring.attest(3)
    stored.ring.report(3, "layer3.bias")


def go_wrong(stored: StoredRing) -> None:
    """One query with everything that can go wrong; it is answered."""
    query = stored.submit().open_route().advance(1)
    query.complain(kind=ComplaintKind.ALTERED)
    query.judge()
    query.reopen()
    query.advance(2).contradict()
    query.judge(sender_guilty=False, receiver_guilty=True)
    query.resume(2)
    query.let_time_out()
    query.resume(2)
    query.advance(4).complain(kind=ComplaintKind.UNREADABLE, evidence=ZERO)
    query.judge()
    query.resume(3)
    query.advance(4).deliver(output=named("another answer"))
    query.judge(sender_guilty=False)
    query.resume(3)
    query.advance(4).deliver()


def record_all(stored: StoredRing) -> StoredRing:
    """Every kind of event, and every way in which a query can end."""
    go_wrong(stored)
    restore(stored)
    stored.submit().reject()
    late = stored.submit().open_route()
    late.let_time_out()
    late.reject(RejectReason.RING_FAULTY)
    stored.submit().open_route().advance(2).wait_and_withdraw()
    renewed = stored.submit().open_route().advance(2)
    stored.register().arrange()
    renewed.let_time_out()
    renewed.reopen()
    renewed.advance(4).deliver()
    settle_whole(stored.submit().open_route(), stored.submit().open_route().advance(2))
    stored.submit().open_route().post()
    stored.submit()
    return stored


def export_of(stored: StoredRing, path: Path) -> Path:
    """The ring's history in a file."""
    export(open_client(stored), stored.ring.ledger.first_block, path, lambda _number: None)
    return path


def open_export(path: Path) -> tuple[LedgerClient, ExportFile]:
    """The ledger and its blocks, from a file."""
    file = ExportFile(path)
    return LedgerClient.over(connect_export(file), path.name, file.place.ledger), file


def audit_export(path: Path, store: str, options: AuditOptions | None = None) -> AuditReport:
    """The audit of a file."""
    client, file = open_export(path)
    return audit(client, ContentStore(store), file.place.first_block, options or AuditOptions(), file)


def read_lines(path: Path) -> list[dict[str, Any]]:
    """An export's lines."""
    with gzip.open(path, "rt") as file:
        return [json.loads(line) for line in file]


def write_lines(path: Path, lines: Sequence[object]) -> Path:
    """An export of these lines."""
    with gzip.open(path, "wt") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines)
    return path


@dataclass(frozen=True)
class Blocks:
    """Blocks in memory as a source."""

    held: Sequence[RawBlock]

    @property
    def head(self) -> int:
        """The last block."""
        return self.held[-1].number

    def blocks(self, first: int) -> Iterator[RawBlock]:
        """All blocks from `first` on."""
        return (block for block in self.held if block.number >= first)

    def hash_of(self, number: int) -> Digest | None:
        """As the block claims."""
        return next((block.claimed_hash for block in self.held if block.number == number), None)
