"""`deepring report`: one query's story and audit as one HTML file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from deepring_chain.audit.auditor import audit as run_audit
from deepring_chain.cli.arguments import DEFAULT_RING, RingOption, check_out_file
from deepring_chain.cli.audit_output import raise_failure
from deepring_chain.cli.console import print_line
from deepring_chain.cli.sources import FirstBlockOption, LedgerOption, ReadStoreOption, RpcOption, open_source
from deepring_chain.errors import ConfigError
from deepring_chain.explorer.blobs import BlobLooker
from deepring_chain.explorer.pages import Context, environment, moment_blobs, report_page
from deepring_chain.explorer.query_view import QueryView, view_query
from deepring_chain.explorer.record import Record
from deepring_chain.explorer.text import Names
from deepring_chain.explorer.watcher import RecordReader
from deepring_chain.files import write_atomic
from deepring_chain.types import QueryId

BLOB_SECONDS = 20.0
"""How long a report waits for a slow store; what it did not answer by then is said so."""


def report(
    query: Annotated[int, typer.Argument(min=1, help="Id of the query.")],
    out: Annotated[Path | None, typer.Option(help="File to write; query-N.html by default.")] = None,
    ring: RingOption = DEFAULT_RING,
    rpc: RpcOption = None,
    store: ReadStoreOption = None,
    ledger: LedgerOption = None,
    first_block: FirstBlockOption = None,
) -> None:
    """Write one query's story as an HTML file that needs nothing else: hops, disputes, gas, checks, the audit.

    Reads the chain and the store alone. The file is written in any case; the exit code is 0 only if the audit passed.
    """
    path = out or Path(f"query-{query}.html")
    check_out_file(path, "--out")
    source, blobs_at = open_source(ring, rpc, store, ledger, first_block)
    if blobs_at is None:
        raise ConfigError("--store: the audit in a report reads blobs; name the ciphertext store")
    record = RecordReader(source).read_all()
    view = _find(record, QueryId(query), source.names)
    verdict = run_audit(source.client, blobs_at, source.first_block)
    blobs = BlobLooker(blobs_at)
    context = Context(record, source.names, blobs, where=source.where)
    context.model()
    moment_blobs(blobs, view.moments)
    blobs.wait(BLOB_SECONDS)
    write_atomic(path, report_page(environment(), context, view, verdict).encode())
    print_line(f"{path}: query {query}, {view.line.phase}")
    raise_failure(verdict)


def _find(record: Record, query: QueryId, names: Names) -> QueryView:
    view = view_query(record, query, names)
    if view is None:
        raise ConfigError(f"query {query}: the ledger {record.terms.domain.ledger} has no such query")
    return view
