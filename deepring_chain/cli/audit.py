"""`deepring audit`: everything that public data allow to check, without a key; with an auditor's key verdicts too."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from eth_utils import is_address, to_checksum_address

from deepring_chain.audit.auditor import AuditOptions, AuditReport
from deepring_chain.audit.auditor import audit as run_audit
from deepring_chain.audit.chain import BlockSource
from deepring_chain.audit.evidence import Admission
from deepring_chain.audit.progress import ProgressFile
from deepring_chain.chain.block_place import BlockPlace
from deepring_chain.chain.client import LedgerClient
from deepring_chain.chain.export_file import ExportFile, connect_export
from deepring_chain.cli.arguments import DEFAULT_RING, JsonOption, RingOption, check_out_file
from deepring_chain.cli.audit_output import conclude
from deepring_chain.cli.clients import open_reader
from deepring_chain.cli.password import read_password
from deepring_chain.crypto.keys import SEALING_FILE, load_sealing
from deepring_chain.errors import ConfigError
from deepring_chain.ring.folder import RingFolder
from deepring_chain.store.content import ContentStore
from deepring_chain.types import Address, Digest

RpcOption = Annotated[str | None, typer.Option(help="Read from the node at this http(s) address.")]
LedgerOption = Annotated[str | None, typer.Option(help="This ledger, without a ring's folder.")]
FirstBlockOption = Annotated[
    int | None, typer.Option(min=0, help="The block that the ledger was deployed in, or an earlier one.")
]


@dataclass(frozen=True)
class _Target:
    client: LedgerClient
    store: ContentStore
    first_block: int
    source: BlockSource | None = None


def audit(
    ring: RingOption = DEFAULT_RING,
    rpc: RpcOption = None,
    store: Annotated[str | None, typer.Option(help="Read blobs from this store (any fsspec URL).")] = None,
    ledger: LedgerOption = None,
    first_block: FirstBlockOption = None,
    export: Annotated[
        Path | None, typer.Option(help="Read a file that `deepring export` wrote in place of a node; needs --store.")
    ] = None,
    resume: Annotated[
        Path | None, typer.Option(help="Keep the audit's progress in this file, and go on from it if it is there.")
    ] = None,
    anchor: Annotated[
        str | None, typer.Option(help="NUMBER:HASH of a block as you know it from elsewhere; must be on this chain.")
    ] = None,
    evidence: Annotated[
        Path | None, typer.Option(help="Replay verdicts with this auditor's key: its folder or sealing.pem.")
    ] = None,
    model: Annotated[
        Path | None, typer.Option(help="Run the layers again in verdicts, with this model; needs --evidence.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Check the whole public record without a key: signatures, route links, hashes, flags, deadlines, pointers.

    Says what was checked, and what cannot be without keys and who can. Exits with 0 only if all of it holds; otherwise
    the first wrong thing is the error. A blob that is lost or damaged does not end the audit: all are named.
    """
    if resume is not None:
        check_out_file(resume, "--resume")
    options = AuditOptions(
        anchor=_parse_anchor(anchor),
        progress=ProgressFile(resume) if resume is not None else None,
        admission=_load_admission(evidence, model),
    )
    target = _target(RingFolder(ring), rpc, store, ledger, first_block, export)
    if store is not None:  # a place that was typed wrong is one error, not one for each blob
        target.store.check_readable()
    report = run_audit(target.client, target.store, target.first_block, options, target.source)
    conclude(report, as_json=as_json)


def audit_ring(folder: RingFolder) -> AuditReport:
    """The audit of a ring where it is deployed, without further options."""
    known = folder.load_deployment()
    return run_audit(open_reader(known), ContentStore(known.store_url), known.first_block)


def parse_ledger(text: str) -> Address:
    """A ledger's address as typed.

    Raises:
        ConfigError: it is none.
    """
    if not is_address(text):
        raise ConfigError(f"--ledger {text}: not an address; it is 0x and 40 hex digits")
    return Address(to_checksum_address(text))


def _target(
    folder: RingFolder, rpc: str | None, store: str | None, ledger: str | None, first: int | None, export: Path | None
) -> _Target:
    if export is not None:
        return _exported(folder, export, rpc, store, ledger, first)
    if ledger is None and first is None:
        known = folder.load_deployment()
        client = open_reader(known) if rpc is None else LedgerClient.open(rpc, known.ledger, None, known.chain_id)
        return _Target(client, ContentStore(store or known.store_url), known.first_block)
    if rpc is None or ledger is None or store is None or first is None:
        raise ConfigError("--rpc, --ledger, --store and --first-block: without a ring's folder, give all four")
    return _Target(LedgerClient.open(rpc, parse_ledger(ledger)), ContentStore(store), first)


def _exported(
    folder: RingFolder, path: Path, rpc: str | None, store: str | None, ledger: str | None, first: int | None
) -> _Target:
    """An export says itself which ledger it is of; what else is given must agree."""
    if rpc is not None or first is not None:
        raise ConfigError("--export takes the place of --rpc and --first-block; leave them out")
    file = ExportFile(path)
    place = file.place
    if store is None:
        known = folder.load_deployment()
        store, ledger = known.store_url, ledger or known.ledger
    if ledger is not None and parse_ledger(ledger) != place.ledger:
        raise ConfigError(f"{path}: of ledger {place.ledger}, not of {ledger}")
    client = LedgerClient.over(connect_export(file), path.name, place.ledger)
    return _Target(client, ContentStore(store), place.first_block, file)


def _parse_anchor(text: str | None) -> BlockPlace | None:
    if text is None:
        return None
    parts = re.fullmatch(r"([0-9]{1,18}):0x([0-9a-fA-F]{64})", text)
    if parts is None:
        raise ConfigError(f"--anchor {text[:90]}: not NUMBER:HASH, such as 1234:0x and 64 hex digits")
    return BlockPlace(int(parts[1]), Digest(bytes.fromhex(parts[2])))


def _load_admission(key: Path | None, model: Path | None) -> Admission | None:
    if key is None:
        if model is not None:
            raise ConfigError("--model: only verdicts are repeated with it; give the auditor's key with --evidence")
        return None
    sealing = load_sealing(key / SEALING_FILE if key.is_dir() else key, read_password())
    if model is None:
        return Admission(sealing)
    from deepring_chain.audit.model import load_runner  # noqa: PLC0415 - torch takes seconds to load

    return Admission(sealing, *load_runner(model))
