"""`deepring explorer`: a local web page that follows the ledger."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from deepring_chain.cli.arguments import DEFAULT_RING, RingOption
from deepring_chain.cli.console import print_line
from deepring_chain.cli.explorer_demo import running_demo
from deepring_chain.cli.sources import FirstBlockOption, LedgerOption, ReadStoreOption, RpcOption, open_source
from deepring_chain.cli.up import stopped_by_signals
from deepring_chain.errors import ConfigError
from deepring_chain.explorer.blobs import BlobLooker
from deepring_chain.explorer.server import serving
from deepring_chain.explorer.watcher import Source, Watcher
from deepring_chain.store.content import ContentStore

PORT = 8620


def explorer(
    ring: RingOption = DEFAULT_RING,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Loopback port of the page; 0 for a free one.")] = PORT,
    rpc: RpcOption = None,
    store: ReadStoreOption = None,
    ledger: LedgerOption = None,
    first_block: FirstBlockOption = None,
    demo: Annotated[
        bool, typer.Option("--demo", help="Make a ring of one's own, in slow motion, and attack it again and again.")
    ] = False,
) -> None:
    """Show the ring live in a browser on this machine: blocks, queries hop by hop, disputes, restores.

    Reads the chain and the store alone, with no key, and serves on 127.0.0.1 only, until Ctrl-C.
    """
    with stopped_by_signals("explorer is down"):
        if not demo:
            _serve(*open_source(ring, rpc, store, ledger, first_block), port)
        elif rpc or store or ledger or first_block is not None:
            raise ConfigError("--demo makes its own ring; leave out --rpc, --store, --ledger and --first-block")
        else:
            with running_demo() as folder:
                _serve(*open_source(folder, None, None, None, None), port)


def _serve(source: Source, store: ContentStore | None, port: int) -> None:
    with serving(Watcher(source, BlobLooker(store)), port) as address:
        print_line(f"explorer is up: {address}; Ctrl-C stops it")
        while True:
            time.sleep(1.0)
