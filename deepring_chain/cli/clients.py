"""Opening what a command needs from a ring's folder."""

from __future__ import annotations

from deepring_chain.actors.querent import Querent
from deepring_chain.chain.client import LedgerClient
from deepring_chain.crypto.keys import load_keys
from deepring_chain.errors import ConfigError
from deepring_chain.follow.follower import LedgerFollower
from deepring_chain.ring.folder import Deployment, RingFolder
from deepring_chain.store.content import ContentStore
from deepring_chain.types import Address


def open_querent(folder: RingFolder, deployment: Deployment, password: str) -> Querent:
    """The ring folder's querent, connected."""
    keys = load_keys(folder.querent, password)
    client = LedgerClient.open(deployment.rpc_url, deployment.ledger, keys.account, deployment.chain_id)
    follower, store = LedgerFollower(client, deployment.first_block), ContentStore(deployment.store_url)
    return Querent(keys, client, follower, store, listens=True)


def open_reader(deployment: Deployment) -> LedgerClient:
    """A connection without an account."""
    return LedgerClient.open(deployment.rpc_url, deployment.ledger, None, deployment.chain_id)


def member_names(folder: RingFolder) -> dict[Address, str]:
    """Names of the ring's members, for people: only the model's owner knows which layer a worker serves."""
    try:
        config = folder.load_config()
    except ConfigError:
        return {}
    return {config.ouroboros: "ouroboros", **{entry.address: entry.name for entry in config.workers}}
