"""`deepring arrange`, `withdraw` and `fund`: what the owner and the querent can ask for."""

from __future__ import annotations

from typing import Annotated

import typer

from deepring_chain.actors.ouroboros.arranger import request_arrangement
from deepring_chain.actors.querent import withdraw_session
from deepring_chain.chain.client import LedgerClient
from deepring_chain.chain.connection import connect
from deepring_chain.cli.arguments import DEFAULT_RING, RingOption
from deepring_chain.cli.console import print_line
from deepring_chain.cli.password import read_password
from deepring_chain.crypto.keys import load_keys
from deepring_chain.errors import ConfigError
from deepring_chain.follow.follower import read_session
from deepring_chain.ring.deploy import fund_actors, ring_accounts
from deepring_chain.ring.folder import RingFolder
from deepring_chain.types import QueryId


def arrange(ring: RingOption = DEFAULT_RING) -> None:
    """Have the ouroboros seat the ring anew as soon as no query runs: every block attests under a fresh challenge."""
    folder = RingFolder(ring)
    folder.load_deployment()
    request_arrangement(folder.ouroboros)
    print_line("asked for a new arrangement; `deepring trail` shows it")


def withdraw(
    query: Annotated[int, typer.Argument(min=1, help="Id of a query of one's own.")], ring: RingOption = DEFAULT_RING
) -> None:
    """Give up a query that was not answered within the ledger's long deadline."""
    folder = RingFolder(ring)
    deployment = folder.load_deployment()
    keys = load_keys(folder.querent, read_password())
    client = LedgerClient.open(deployment.rpc_url, deployment.ledger, keys.account, deployment.chain_id)
    session = read_session(client, deployment.first_block, QueryId(query))
    if session.querent != keys.address:
        raise ConfigError(f"query {query}: another account asked it, {session.querent}; only that one can give it up")
    withdraw_session(client, session)
    print_line(f"query {query}: withdrawn")


def fund(ring: RingOption = DEFAULT_RING) -> None:
    """Top up the ring's accounts from the unlocked account of its devnet; other chains' ether must be sent."""
    folder = RingFolder(ring)
    deployment = folder.load_deployment()
    web3 = connect(deployment.rpc_url, deployment.chain_id)
    fund_actors(web3, deployment.rpc_url, ring_accounts(folder))
    print_line("the ring's accounts have funds")
