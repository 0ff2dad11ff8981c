"""`deepring export`: the ledger's raw history in one file, to be audited without the node."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from deepring_chain.audit.exporter import export as write_export
from deepring_chain.chain.client import LedgerClient
from deepring_chain.cli.arguments import DEFAULT_RING, RingOption, check_out_file
from deepring_chain.cli.audit import FirstBlockOption, LedgerOption, RpcOption, parse_ledger
from deepring_chain.cli.clients import open_reader
from deepring_chain.cli.console import print_line, print_step
from deepring_chain.errors import ConfigError
from deepring_chain.ring.folder import RingFolder

STEP_BLOCKS = 1000


def export(
    file: Annotated[Path, typer.Argument(help="The file to write, such as history.jsonl.gz.")],
    ring: RingOption = DEFAULT_RING,
    rpc: RpcOption = None,
    ledger: LedgerOption = None,
    first_block: FirstBlockOption = None,
) -> None:
    """Write the ledger's raw history to a file: headers, transactions, receipts, code and storage.

    `deepring audit --export FILE` checks it when the node is gone. The store is not in it: keep a copy of that too.
    """
    check_out_file(file, "export to")
    client, first = _open(RingFolder(ring), rpc, ledger, first_block)
    done = write_export(client, first, file, _tell)
    print_line(f"{file}: blocks {done.first_block} to {done.last_block}, {done.events} events")
    print_line(f"last block's hash 0x{done.last_hash.hex()}")
    print_line(f"next: deepring audit --export {file} --store STORE")


def _open(folder: RingFolder, rpc: str | None, ledger: str | None, first: int | None) -> tuple[LedgerClient, int]:
    if ledger is None and first is None:
        known = folder.load_deployment()
        client = open_reader(known) if rpc is None else LedgerClient.open(rpc, known.ledger, None, known.chain_id)
        return client, known.first_block
    if rpc is None or ledger is None or first is None:
        raise ConfigError("--rpc, --ledger and --first-block: without a ring's folder, give all three")
    return LedgerClient.open(rpc, parse_ledger(ledger)), first


def _tell(number: int) -> None:
    if number % STEP_BLOCKS == 0:
        print_step(f"block {number:,}")
