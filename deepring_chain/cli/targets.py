"""What `deepring status` and `deepring doctor` are to look at: a ring's folder, an actor's, or only addresses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from eth_utils import is_address, to_checksum_address

from deepring_chain.errors import ConfigError
from deepring_chain.health.actors import deployment_file
from deepring_chain.health.snapshot import Target
from deepring_chain.ring.folder import RingFolder, load_deployment
from deepring_chain.types import Address

ActorOption = Annotated[
    Path | None, typer.Option("--actor", help="Look at this actor's folder alone, such as RING/worker-3.")
]
DeploymentOption = Annotated[
    Path | None, typer.Option("--deployment", help="The ring's deployment.toml; by default the one beside the folder.")
]
RpcOption = Annotated[str | None, typer.Option("--rpc", help="Ask the node at this http(s) address.")]
LedgerOption = Annotated[str | None, typer.Option("--ledger", help="Look at this ledger, without a ring's folder.")]
StorePlaceOption = Annotated[str | None, typer.Option("--store", help="Look into this store (any fsspec URL).")]
FirstBlockOption = Annotated[
    int | None, typer.Option("--first-block", min=0, help="The block that the ledger was deployed in; found by itself.")
]
AnswerOption = Annotated[float, typer.Option("--timeout", min=0.1, max=3600, help="Seconds to wait for each answer.")]


def find_target(
    ring: Path,
    actor: Path | None,
    deployment: Path | None,
    rpc: str | None,
    ledger: str | None,
    store: str | None,
    first_block: int | None,
) -> Target:
    """What the options name. An option takes the place of what a file says.

    Raises:
        ConfigError: they name nothing, or something unusable.
    """
    target = _with_deployment(_find_folder(ring, actor, deployment, rpc, ledger, store))
    if rpc is not None and not rpc.startswith(("http://", "https://")):
        raise ConfigError(f"--rpc {rpc}: not an http:// or https:// address of a node")
    return replace(
        target,
        rpc_url=rpc or target.rpc_url,
        is_own_devnet=target.is_own_devnet and rpc is None,
        ledger=_address(ledger) or target.ledger,
        first_block=target.first_block if first_block is None else first_block,
        store_url=store or target.store_url,
    )


def _find_folder(
    ring: Path, actor: Path | None, deployment: Path | None, rpc: str | None, ledger: str | None, store: str | None
) -> Target:
    if actor is not None:
        if not actor.is_dir():
            raise ConfigError(f"--actor {actor}: no such folder; name an actor's, such as ring/worker-3")
        return Target(folder=actor, deployment=deployment)
    if ledger is not None:
        return Target(deployment=deployment)
    folder = RingFolder(ring)
    if folder.is_initialized:
        return Target(ring=ring, deployment=deployment)
    if deployment is None and rpc is None and store is None:
        folder.load_config()  # says what is missing
    return Target(deployment=deployment)


def _with_deployment(target: Target) -> Target:
    """Adds what the deployment file says, if there is one."""
    path = deployment_file(target)
    if path is None or (target.deployment is None and not path.exists()):
        return target
    known = load_deployment(path)
    return replace(
        target,
        deployment=path,
        rpc_url=known.rpc_url,
        chain_id=known.chain_id,
        ledger=known.ledger,
        first_block=known.first_block,
        block_hash=known.block_hash,
        store_url=known.store_url,
        is_own_devnet=known.is_own_devnet,
    )


def _address(ledger: str | None) -> Address | None:
    if ledger is None:
        return None
    if not is_address(ledger):
        raise ConfigError(f"--ledger {ledger}: not an address; it is 0x and 40 hex digits")
    return Address(to_checksum_address(ledger))
