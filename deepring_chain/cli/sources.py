"""Where a command reads the public record: a ring's folder, or the addresses alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer
from eth_utils import is_address, to_checksum_address

from deepring_chain.chain.client import LedgerClient
from deepring_chain.cli.clients import member_names
from deepring_chain.errors import ConfigError
from deepring_chain.explorer.watcher import Source
from deepring_chain.ring.folder import RingFolder
from deepring_chain.store.content import ContentStore
from deepring_chain.types import Address

RpcOption = Annotated[str | None, typer.Option(help="Read through the node at this http(s) address.")]
ReadStoreOption = Annotated[str | None, typer.Option("--store", help="Read blobs from this store (any fsspec URL).")]
LedgerOption = Annotated[
    str | None, typer.Option(help="Read this ledger, without a ring's folder; needs --rpc and --first-block too.")
]
FirstBlockOption = Annotated[
    int | None, typer.Option(min=0, help="The block that the ledger was deployed in, or an earlier one.")
]


def open_source(
    ring: Path, rpc: str | None, store: str | None, ledger: str | None, first_block: int | None
) -> tuple[Source, ContentStore | None]:
    """A connection without a key, and the store if one is known.

    Raises:
        ConfigError: options that do not fit, or no ring.
        ChainError: no node, another chain, or no such ledger.
        StoreError: the store's URL is unusable.
    """
    if ledger is None and first_block is None:
        return _open_ring(RingFolder(ring), rpc, store)
    if rpc is None or ledger is None or first_block is None:
        raise ConfigError("--rpc, --ledger and --first-block: without a ring's folder, give all three")
    if not is_address(ledger):
        raise ConfigError(f"--ledger {ledger}: not an address; it is 0x and 40 hex digits")
    client = LedgerClient.open(rpc, Address(to_checksum_address(ledger)))
    return Source(client, _checked(client, first_block), {}, _host_of(rpc)), ContentStore(store) if store else None


def _open_ring(folder: RingFolder, rpc: str | None, store: str | None) -> tuple[Source, ContentStore]:
    known = folder.load_deployment()
    url = rpc or known.rpc_url
    client = LedgerClient.open(url, known.ledger, None, known.chain_id)
    source = Source(client, _checked(client, known.first_block), member_names(folder), _host_of(url))
    return source, ContentStore(store or known.store_url)


def _checked(client: LedgerClient, first_block: int) -> int:
    newest = client.head().number
    if first_block > newest:
        raise ConfigError(f"{client.url}: no block {first_block}, the newest is {newest}; name the deployment's block")
    return first_block


def _host_of(url: str) -> str:
    """What a page may show of a node's address: paths and user names may be keys."""
    parts = urlsplit(url)
    return f"node {parts.hostname}" + (f":{parts.port}" if parts.port else "")
