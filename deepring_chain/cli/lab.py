"""`deepring tamper`, `perturb` and `kill`: attacks on one's own devnet ring, to see what the protocol makes of them."""

from __future__ import annotations

import os
import secrets
import signal
import time
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from deepring_chain.actors.ring_folder import PARAMS_FILE, RingFolder
from deepring_chain.attacks.bit_flip import flip_file_bit, tensor_places
from deepring_chain.attacks.orders import DEVNET_CHAINS, ORDER_FILE, LabOrder, Lie, give_order
from deepring_chain.cli.arguments import DEFAULT_RING, RingOption
from deepring_chain.cli.console import OUT
from deepring_chain.errors import ConfigError

ORDER_SECONDS = 5.0

WorkerArgument = Annotated[str, typer.Argument(help="Name of the worker's folder, such as worker-3.")]
ActorArgument = Annotated[str, typer.Argument(help="Name of an actor's folder: worker-3, ouroboros, ...")]


class Where(str, Enum):
    """Where to flip a bit."""

    FILE = "file"
    MEMORY = "memory"


Lies = Enum("Lies", {lie.name: lie.value for lie in Lie if lie is not Lie.FLIP_MEMORY_BIT}, type=str)  # type: ignore[misc]

PERTURBED_INPUT = Lies("perturbed-input")


def tamper(
    worker: WorkerArgument,
    where: Annotated[Where, typer.Option(help="The parameter file, or the memory of the running worker.")] = (
        Where.MEMORY
    ),
    tensor: Annotated[str | None, typer.Option(help="Such as layer.3.weight; a random one by default.")] = None,
    bit: Annotated[int | None, typer.Option(min=0, help="Bit of the tensor; a random one by default.")] = None,
    ring: RingOption = DEFAULT_RING,
) -> None:
    """Flip one bit of a worker's parameters. Devnets only; --where memory needs a ring started with --lab.

    The next attestation shows it: after the next query, or at once with `deepring arrange`.
    """
    folder = _devnet_folder(ring) / worker
    chosen, position = _choose_bit(folder, tensor, bit)
    if where is Where.MEMORY:
        _order(folder, LabOrder(Lie.FLIP_MEMORY_BIT, chosen, position))
        OUT.print(f"{worker}: bit {position} of {chosen} flipped in memory", soft_wrap=True)
        return
    flip_file_bit(folder / PARAMS_FILE, chosen, position)
    OUT.print(f"{worker}: bit {position} of {chosen} flipped in its file", soft_wrap=True)
    OUT.print(f"{worker} loads the file at its next start: deepring kill {worker}", soft_wrap=True)


def perturb(
    worker: WorkerArgument,
    lie: Annotated[Lies, typer.Option(help="What the worker does, once.")] = PERTURBED_INPUT,
    ring: RingOption = DEFAULT_RING,
) -> None:
    """Make a worker misbehave at its next turn. Devnets only, on a ring started with --lab."""
    _order(_devnet_folder(ring) / worker, LabOrder(Lie(lie.value)))
    OUT.print(f"{worker}: will do {lie.value} at its next turn", soft_wrap=True)


def kill(actor: ActorArgument, ring: RingOption = DEFAULT_RING) -> None:
    """Kill an actor's process (kill -9). Devnets only; `deepring up` starts it again."""
    path = _devnet_folder(ring) / "logs" / f"{actor}.pid"
    try:
        pid = int(path.read_text())
        os.kill(pid, signal.SIGKILL)
    except (OSError, ValueError):
        raise ConfigError(f"{actor}: no such process runs; the ring's actors have their ids in {path.parent}") from None
    OUT.print(f"{actor}: process {pid} killed")


def _devnet_folder(ring: Path) -> Path:
    chain = RingFolder(ring).load_deployment().chain_id
    if chain not in DEVNET_CHAINS:
        raise ConfigError(f"{ring}: runs on chain {chain}; attacks are for devnets ({sorted(DEVNET_CHAINS)}) only")
    return ring


def _choose_bit(folder: Path, tensor: str | None, bit: int | None) -> tuple[str, int]:
    try:
        places = tensor_places((folder / PARAMS_FILE).read_bytes())
    except (OSError, ValueError):
        raise ConfigError(f"{folder}: no worker with readable parameters here") from None
    chosen = tensor or secrets.choice(sorted(places))
    if chosen not in places:
        raise ConfigError(f"{folder}: no tensor {chosen}; there are {', '.join(sorted(places))}")
    start, end = places[chosen]
    return chosen, secrets.randbelow(8 * (end - start)) if bit is None else bit


def _order(folder: Path, order: LabOrder) -> None:
    if not folder.is_dir():
        raise ConfigError(f"{folder}: no such worker")
    give_order(folder, order)
    deadline = time.monotonic() + ORDER_SECONDS
    while (folder / ORDER_FILE).exists():
        if time.monotonic() > deadline:
            (folder / ORDER_FILE).unlink(missing_ok=True)
            raise ConfigError(f"{folder.name} takes no orders; start the ring with `deepring up --lab`")
        time.sleep(0.02)
