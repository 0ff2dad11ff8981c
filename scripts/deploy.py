"""`brownie run deploy`: puts contracts/Ledger.sol on the chain, and the ring in $DEEPRING_RING (./ring) on it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from brownie import Ledger, accounts, web3
from brownie._config import CONFIG
from brownie.exceptions import VirtualMachineError

from deepring_chain.chain.deployment import Deadlines
from deepring_chain.cli.console import errors_as_one_line, print_step
from deepring_chain.cli.password import read_password
from deepring_chain.crypto.keys import load_keys
from deepring_chain.errors import ChainError
from deepring_chain.ring.create import init_ring
from deepring_chain.ring.deploy import find_deployment, fund_actors, register_ring, ring_accounts
from deepring_chain.ring.folder import Deployment, RingFolder
from deepring_chain.ring.folder_lock import FolderLock
from deepring_chain.runtime.processes import owning


def main() -> None:
    with errors_told(), owned_ring() as (folder, password, _):
        deployment = deploy(folder, password)
        print(f"ring in {folder.path}: ledger {deployment.ledger} on {deployment.rpc_url}")


@contextmanager
def errors_told() -> Iterator[None]:
    """Tells an error in one line. It ends `brownie run` with exit code 1, and leaves `brownie console` open."""
    try:
        with errors_as_one_line():
            yield
    except SystemExit:
        if CONFIG.argv["cli"] != "console":
            raise


def ring_folder() -> RingFolder:
    return RingFolder(Path(os.environ.get("DEEPRING_RING", "ring")))


def open_ring() -> tuple[RingFolder, str]:
    """The ring's folder, made from the shipped model if there is none, and its password."""
    folder, password = ring_folder(), read_password(may_ask=False)
    if not folder.is_initialized:
        # It imports torch, which takes a second, and only a new ring needs it.
        from deepring_chain.model.checkpoint import shipped_model  # noqa: PLC0415

        init_ring(folder.path, shipped_model(), password, print_step)
    return folder, password


@contextmanager
def owned_ring() -> Iterator[tuple[RingFolder, str, FolderLock]]:
    """The ring's folder, its password, and its lock: no other process runs the ring meanwhile."""
    folder, password = open_ring()
    with owning(folder) as lock:
        yield folder, password, lock


def deploy(folder: RingFolder, password: str) -> Deployment:
    """Deploys a ledger from brownie's first account; the ring's members are then registered with it."""
    owner, url, limits = load_keys(folder.ouroboros, password), web3.provider.endpoint_uri, Deadlines()
    if not accounts:
        raise ChainError(f"{url}: brownie has no account there; add one with `brownie accounts`")
    try:
        ledger = Ledger.deploy(owner.address, limits.hop, limits.withdraw, {"from": accounts[0]})
    except (VirtualMachineError, ValueError) as error:
        raise ChainError(f"{url}: the ledger could not be deployed from {accounts[0]}: {error}") from None
    fund_actors(web3, url, ring_accounts(folder))
    return register_ring(folder, url, ledger.address, ledger.tx.block_number, owner, None, print_step)


def deployed(folder: RingFolder, password: str) -> Deployment:
    """The ring's deployment on this chain, made if there is none, as on a node that brownie has just started."""
    return find_deployment(folder, web3.provider.endpoint_uri) or deploy(folder, password)
