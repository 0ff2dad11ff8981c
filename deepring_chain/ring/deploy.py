"""Bringing a ring onto a chain: funds, ledger, model, members."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from web3 import Web3

from deepring_chain.chain.client import LedgerClient
from deepring_chain.chain.connection import connect, node_errors
from deepring_chain.chain.deployment import Deadlines, deploy_ledger
from deepring_chain.chain.errors import NodeUnreachable, TransactionFailed
from deepring_chain.crypto.keys import ActorKeys, load_keys, read_address
from deepring_chain.errors import ChainError
from deepring_chain.ring.folder import MODEL_FILE, Deployment, RingFolder
from deepring_chain.store.content import ContentStore
from deepring_chain.types import Address

DEV_FUNDS = Web3.to_wei(100, "ether")
"""What each actor gets on a node with unlocked accounts, which is play money."""

MINIMUM_FUNDS = Web3.to_wei(1, "ether")
"""Below this an actor is topped up on a devnet."""


def fund_actors(web3: Web3, url: str, addresses: Sequence[Address]) -> None:
    """Tops up accounts from the node's unlocked accounts, as devnets have them.

    Raises:
        TransactionFailed: an account has nothing and the node has no unlocked account to pay from.
    """
    with node_errors(url):
        poor = [address for address in addresses if _balance(web3, address) < MINIMUM_FUNDS]
        unlocked = web3.eth.accounts if poor else []
        for address in poor:
            if unlocked:
                sent = web3.eth.send_transaction({"from": unlocked[0], "to": address, "value": DEV_FUNDS})
                web3.eth.wait_for_transaction_receipt(sent, 60, 0.005)
            elif _balance(web3, address) == 0:
                raise TransactionFailed(f"{url}: account {address} has no funds; send it some and try again")


def ring_accounts(folder: RingFolder) -> list[Address]:
    """Everyone in the ring who pays for transactions: the ouroboros, the workers, the querent."""
    config = folder.load_config()
    return [config.ouroboros, *(entry.address for entry in config.workers), read_address(folder.querent)]


def find_deployment(folder: RingFolder, url: str) -> Deployment | None:
    """The ring's deployment on the node at `url`, if it is there (a fresh devnet has none).

    A deployment that was made under another address of the same chain is written down anew with this one.

    Raises:
        ConfigError: deployment.toml is damaged.
        NodeUnreachable: nothing answers at `url`.
    """
    if not folder.is_deployed:
        return None
    known = folder.load_deployment()
    try:
        client = LedgerClient.open(url, known.ledger, None, known.chain_id)
        if client.block_at(known.first_block).block_hash.hex() != known.block_hash:
            return None
    except NodeUnreachable:
        raise
    except ChainError:
        return None
    if known.rpc_url != url:
        known = replace(known, rpc_url=url, is_own_devnet=False)
        folder.save_deployment(known)
    return known


def check_ring(folder: RingFolder, password: str, store_url: str | None) -> None:
    """Check what a deployment needs, before a node is started or gas is spent.

    Raises:
        ConfigError: the ring's list or a key file is missing or damaged, or the password is wrong.
        StoreError: the store cannot be used.
    """
    ring_accounts(folder)
    load_keys(folder.ouroboros, password)
    ContentStore(store_url or folder.default_store).check_writable()


def deploy_ring(
    folder: RingFolder,
    url: str,
    password: str,
    store_url: str | None,
    on_step: Callable[[str], None],
    deadlines: Deadlines | None = None,
    *,
    is_own_devnet: bool = False,
) -> Deployment:
    """Deploys a ledger for the ring in `folder`, registers its model and members, and writes deployment.toml.

    Args:
        folder: the ring.
        url: the node.
        password: of the owner's keys.
        store_url: ciphertext store; the one in the ring's folder by default.
        on_step: told what is done, for progress.
        deadlines: of the ledger; those of `Deadlines` if None.
        is_own_devnet: whether the node was started for this ring, and ends with it.
    """
    ContentStore(store_url or folder.default_store).check_writable()  # before any gas is spent
    owner = load_keys(folder.ouroboros, password)
    web3 = connect(url)
    fund_actors(web3, url, ring_accounts(folder))
    on_step("accounts are funded")
    ledger, first_block = deploy_ledger(web3, url, owner.account, owner.address, deadlines)
    on_step(f"ledger deployed at {ledger}")
    return register_ring(folder, url, ledger, first_block, owner, store_url, on_step, is_own_devnet=is_own_devnet)


def register_ring(
    folder: RingFolder,
    url: str,
    ledger: Address,
    first_block: int,
    owner: ActorKeys,
    store_url: str | None,
    on_step: Callable[[str], None],
    *,
    is_own_devnet: bool = False,
) -> Deployment:
    """Registers the ring's model and members with a ledger that is deployed, and writes deployment.toml."""
    # It imports torch, which takes a second, and who finds a ring where it is has no need of it.
    from deepring_chain.model.checkpoint import load_model  # noqa: PLC0415

    config = folder.load_config()
    client = LedgerClient.open(url, ledger, owner.account)
    store = ContentStore(store_url or folder.default_store)
    store.check_writable()
    card = load_model(folder.ouroboros / MODEL_FILE).card
    client.register_model(config.model_root, store.put(card.encode()), card.layers)
    on_step(f"model {config.model_name} registered")
    addresses = [config.ouroboros, *(entry.address for entry in config.workers)]
    keys = [config.ouroboros_key, *(entry.sealing_key for entry in config.workers)]
    client.admit_workers(addresses, keys)
    on_step(f"{len(config.workers)} workers admitted")
    block_hash = client.block_at(first_block).block_hash.hex()
    deployment = Deployment(
        url,
        client.domain.chain_id,
        ledger,
        first_block,
        block_hash,
        store_url or folder.default_store,
        is_own_devnet,
    )
    folder.save_deployment(deployment)
    return deployment


def _balance(web3: Web3, address: Address) -> int:
    return web3.eth.get_balance(address)  # type: ignore[arg-type]
