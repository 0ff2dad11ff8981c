"""`deepring tamper`, `perturb` and `kill`: attacks on one's own devnet ring, to see what the protocol makes of them."""

from __future__ import annotations

import os
import random
import secrets
import signal
import time
from bisect import bisect_right
from collections.abc import Callable
from enum import Enum
from itertools import accumulate
from pathlib import Path
from typing import Annotated

import typer

from deepring_chain.attacks.bit_flip import flip_file_bits, tensor_places
from deepring_chain.attacks.orders import (
    DEVNET_CHAINS,
    MEMORY_LIES,
    ORDER_FILE,
    TENSORS_FILE,
    LabOrder,
    Lie,
    give_order,
    order_flips,
    order_tensors,
)
from deepring_chain.attacks.overwrite import add_weight_noise, overwrite_file
from deepring_chain.attacks.weights import BitFlip
from deepring_chain.cli.arguments import DEFAULT_RING, RingOption
from deepring_chain.cli.console import print_line
from deepring_chain.errors import ConfigError
from deepring_chain.model.checkpoint import LAYERS_KIND
from deepring_chain.model.tensor_file import read_tensor_file
from deepring_chain.ring.folder import PARAMS_FILE, RingFolder

ORDER_SECONDS = 5.0

WorkerArgument = Annotated[str, typer.Argument(help="Name of the worker's folder, such as worker-3.")]
ActorArgument = Annotated[str, typer.Argument(help="Name of an actor's folder: worker-3, ouroboros, ...")]


class Where(str, Enum):
    """Where to flip a bit."""

    FILE = "file"
    MEMORY = "memory"


Lies = Enum("Lies", {lie.name: lie.value for lie in Lie if lie not in MEMORY_LIES}, type=str)  # type: ignore[misc]

PERTURBED_INPUT = Lies("perturbed-input")

SeedOption = Annotated[int | None, typer.Option(min=0, help="Of what is drawn; by default another one each time.")]


def tamper(
    worker: WorkerArgument,
    where: Annotated[Where, typer.Option(help="The parameter file, or the memory of the running worker.")] = (
        Where.MEMORY
    ),
    tensor: Annotated[
        str | None, typer.Option(help="Such as layer.3.weight; any by default, its layer's weights for --noise.")
    ] = None,
    bit: Annotated[int | None, typer.Option(min=0, help="Bit of the tensor; a random one by default.")] = None,
    flips: Annotated[int | None, typer.Option(min=1, help="Flip so many random bits.")] = None,
    noise: Annotated[
        float | None, typer.Option(min=0, help="Add Gaussian noise of so many steps to stored weights, -64 to 63.")
    ] = None,
    seed: SeedOption = None,
    ring: RingOption = DEFAULT_RING,
) -> None:
    """Flip a bit of a worker's parameters, or several, or add noise. Devnets only; memory needs a ring with --lab.

    The next query or attestation shows it; `deepring arrange` asks for the latter.
    """
    if sum(given is not None for given in (bit, flips, noise)) > 1:
        raise ConfigError("--bit, --flips and --noise exclude each other")
    folder = _devnet_folder(ring) / worker
    rng = random.Random(seed)  # noqa: S311 - repeatable on purpose
    if noise is not None:
        done = _add_noise(folder, where, tensor, noise, rng.getrandbits(32))
    else:
        done = _flip(folder, where, _choose_bits(folder, tensor, bit, flips, rng))
    if where is Where.MEMORY:
        print_line(f"{worker}: {done} in memory")
        return
    print_line(f"{worker}: {done} in its file")
    print_line(f"{worker} loads the file at its next start: deepring kill {worker}")


def perturb(
    worker: WorkerArgument,
    lie: Annotated[
        Lies, typer.Option(metavar="LIE", help=f"What the worker does, once: {', '.join(lie.value for lie in Lies)}.")
    ] = PERTURBED_INPUT,
    noise: Annotated[
        float, typer.Option(min=0, help="For noisy-input: standard deviation in steps of the input, -128 to 127.")
    ] = 30.0,
    seed: SeedOption = None,
    ring: RingOption = DEFAULT_RING,
) -> None:
    """Make a worker misbehave at its next turn. Devnets only, on a ring started with --lab."""
    drawn = secrets.randbits(32) if seed is None else seed
    order = LabOrder(Lie(lie.value), steps=noise, seed=drawn)
    _order(_devnet_folder(ring) / worker, lambda folder: give_order(folder, order))
    print_line(f"{worker}: will do {lie.value} at its next turn")


def kill(actor: ActorArgument, ring: RingOption = DEFAULT_RING) -> None:
    """Kill an actor's process (kill -9). Devnets only; `deepring up` starts it again."""
    path = _devnet_folder(ring) / "logs" / f"{actor}.pid"
    try:
        pid = int(path.read_text())
        os.kill(pid, signal.SIGKILL)
    except (OSError, ValueError):
        raise ConfigError(f"{actor}: no such process runs; the ring's actors have their ids in {path.parent}") from None
    print_line(f"{actor}: process {pid} killed")


def _devnet_folder(ring: Path) -> Path:
    chain = RingFolder(ring).load_deployment().chain_id
    if chain not in DEVNET_CHAINS:
        raise ConfigError(f"{ring}: runs on chain {chain}; attacks are for devnets ({sorted(DEVNET_CHAINS)}) only")
    return ring


def _choose_bits(
    folder: Path, tensor: str | None, bit: int | None, flips: int | None, rng: random.Random
) -> tuple[tuple[str, int], ...]:
    """Distinct bits: the one asked for, or a random one of a random tensor, or several out of all bits."""
    sizes = {name: 8 * (end - start) for name, (start, end) in sorted(_tensor_places(folder, tensor).items())}
    if flips is None:
        chosen = rng.choice(list(sizes))
        if bit is not None and bit >= sizes[chosen]:
            raise ConfigError(f"tensor {chosen}: no bit {bit}, it has {sizes[chosen]}")
        return ((chosen, rng.randrange(sizes[chosen]) if bit is None else bit),)
    if flips > sum(sizes.values()):
        raise ConfigError(f"--flips {flips}: there are {sum(sizes.values())} bits")
    return tuple(_locate(sizes, number) for number in rng.sample(range(sum(sizes.values())), flips))


def _locate(sizes: dict[str, int], number: int) -> tuple[str, int]:
    """The tensor and the bit in it of one of all bits."""
    ends = list(accumulate(sizes.values()))
    index = bisect_right(ends, number)
    return list(sizes)[index], number - ([0, *ends][index])


def _tensor_places(folder: Path, tensor: str | None) -> dict[str, tuple[int, int]]:
    try:
        places = tensor_places((folder / PARAMS_FILE).read_bytes())
    except (OSError, ValueError):
        raise ConfigError(f"{folder}: no worker with readable parameters here") from None
    if tensor is not None and tensor not in places:
        raise ConfigError(f"{folder}: no tensor {tensor}; there are {', '.join(sorted(places))}")
    return places if tensor is None else {tensor: places[tensor]}


def _flip(folder: Path, where: Where, flips: tuple[tuple[str, int], ...]) -> str:
    if where is Where.MEMORY:
        _order(folder, lambda to: order_flips(to, [BitFlip(*flip) for flip in flips]))
    else:
        flip_file_bits(folder / PARAMS_FILE, flips)
    return f"bit {flips[0][1]} of {flips[0][0]} flipped" if len(flips) == 1 else f"{len(flips)} bits flipped"


def _add_noise(folder: Path, where: Where, tensor: str | None, steps: float, seed: int) -> str:
    """Noise on a weight tensor, or on all of the worker's own layer: of its two the one with the smaller index."""
    names = [name for name in _tensor_places(folder, tensor) if name.endswith(".weight")]
    if not names:
        raise ConfigError(f"--noise is for weights, such as layer.3.weight; {tensor} is none")
    own = min(int(name.split(".")[1]) for name in names)
    _, stored = read_tensor_file(folder / PARAMS_FILE, LAYERS_KIND)
    chosen = sorted(name for name in names if int(name.split(".")[1]) == own)
    noisy = {name: add_weight_noise(stored[name], steps, seed + place) for place, name in enumerate(chosen)}
    if where is Where.MEMORY:
        _order(folder, lambda to: order_tensors(to, noisy))
    else:
        overwrite_file(folder / PARAMS_FILE, noisy)
    return f"noise of {steps:g} steps added to {', '.join(chosen)}"


def _order(folder: Path, give: Callable[[Path], None]) -> None:
    if not folder.is_dir():
        raise ConfigError(f"{folder}: no such worker")
    give(folder)
    deadline = time.monotonic() + ORDER_SECONDS
    while (folder / ORDER_FILE).exists():
        if time.monotonic() > deadline:
            (folder / ORDER_FILE).unlink(missing_ok=True)
            (folder / TENSORS_FILE).unlink(missing_ok=True)
            raise ConfigError(f"{folder.name} takes no orders; start the ring with `deepring up --lab`")
        time.sleep(0.02)
