"""`make false-alarms`: does an honest ring ever accuse an honest worker?

Two honest neighbors compute the same layer: the one that serves it and the one that validates it (eq. 8 and 13). Here
every layer of the shipped network, and of a chain of convolutions and residual blocks, is computed in processes that
differ in all that a real ring may differ in: instruction set (ONEDNN_MAX_CPU_ISA), threads, and how the images are
batched. Each commitment is held against the reference process's; one difference would be a false alarm, ends the run
with exit code 1, and is named.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from typing import Annotated

import numpy as np
import torch
import typer

from deepring_chain.attacks.image_layers import IMAGE_SHAPE, make_image_layers
from deepring_chain.crypto.digest import commit_output
from deepring_chain.errors import DeepRingError, ModelError
from deepring_chain.model.checkpoint import shipped_model
from deepring_chain.model.layer import Layer, run_layer
from deepring_chain.types import Digest, TensorBytes

ISA_LEVELS = ("DEFAULT", "AVX512_CORE", "AVX2", "SSE41")
THREADS = (1, 2)
BATCHES = (1, 2, 3, 7, 16, 33, 64)
KEY = Digest(bytes(range(32)))


def compute(rounds: int, seed: int, part: int) -> Iterator[str]:
    """Commitments to every layer's output, for random batches of each size.

    Args:
        rounds: inputs per batch size.
        seed: of the inputs.
        part: the batch is computed in parts of this many images and put together, as another worker may do.
    """
    model = shipped_model()
    rng = np.random.default_rng(seed)
    image_layers = make_image_layers(rng)
    for _ in range(rounds):
        for size in BATCHES:
            images = rng.integers(0, 256, (size, *model.card.input_shape), dtype=np.uint8)
            yield from _commit(model.layers, model.card.quantise_input(images), part)
            colors = rng.integers(-128, 128, (size, *IMAGE_SHAPE), dtype=np.int8)
            yield from _commit(image_layers, TensorBytes("int8", colors.shape, colors.tobytes()), part)


def _commit(layers: Sequence[Layer], tensor: TensorBytes, part: int) -> Iterator[str]:
    """Commitments to the output of each layer of a chain."""
    device = torch.device("cpu")
    for layer in layers:
        tensor = _join([run_layer(layer, piece, device) for piece in _split(tensor, part)])
        yield commit_output(KEY, tensor).hex()


def _split(tensor: TensorBytes, part: int) -> list[TensorBytes]:
    count = tensor.shape[0]
    item = len(tensor.data) // count
    starts = range(0, count, part)
    return [
        TensorBytes(
            tensor.dtype,
            (min(part, count - start), *tensor.shape[1:]),
            tensor.data[start * item : min(start + part, count) * item],
        )
        for start in starts
    ]


def _join(pieces: list[TensorBytes]) -> TensorBytes:
    count = sum(piece.shape[0] for piece in pieces)
    return TensorBytes(pieces[0].dtype, (count, *pieces[0].shape[1:]), b"".join(piece.data for piece in pieces))


def _run_elsewhere(isa: str, threads: int, part: int, rounds: int, seed: int) -> list[str]:
    """The commitments as another process computes them."""
    request = json.dumps({"threads": threads, "part": part, "rounds": rounds, "seed": seed})
    # Waiting threads that spin make two threads many times slower than one where the cores are busy.
    environment = {**os.environ, "ONEDNN_MAX_CPU_ISA": isa, "OMP_WAIT_POLICY": "PASSIVE"}
    command = [sys.executable, "-m", "deepring_chain.attacks.false_alarms", "--compute", request]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ModelError(f"the process with {isa} and {threads} threads failed: {done.stderr.strip()[-300:]}")
    return done.stdout.split()


def check(rounds: int, seed: int) -> tuple[int, int]:
    """Compares all configurations with the first.

    Returns:
        Layer checks, and configurations.

    Raises:
        ModelError: a false alarm, with its place.
    """
    configurations = [(isa, threads, part) for isa in ISA_LEVELS for threads in THREADS for part in (1, 5, 64)]
    reference: list[str] = []
    checks = 0
    for isa, threads, part in configurations:
        found = _run_elsewhere(isa, threads, part, rounds, seed)
        reference = reference or found
        if len(found) != len(reference):
            raise ModelError(f"{isa}, {threads} threads: {len(found)} commitments, expected {len(reference)}")
        differing = [index for index, pair in enumerate(zip(reference, found, strict=True)) if pair[0] != pair[1]]
        if differing:
            raise ModelError(
                f"{isa}, {threads} threads, parts of {part}: layer check {differing[0]} differs (seed {seed})"
            )
        checks += len(found) if found is not reference else 0
    return checks, len(configurations)


def main(
    rounds: Annotated[int, typer.Option(min=1, help="Inputs per batch size.")] = 20,
    seed: Annotated[int, typer.Option(min=0)] = 1,
    request: Annotated[str | None, typer.Option("--compute", hidden=True)] = None,
) -> None:
    """Checks and prints the count."""
    if request is not None:
        order = json.loads(request)
        torch.set_num_threads(order["threads"])
        print("\n".join(compute(order["rounds"], order["seed"], order["part"])))
        return
    checks, configurations = check(rounds, seed)
    print(f"0 false alarms in {checks:,} layer checks ({configurations} configurations, seed {seed})")


if __name__ == "__main__":
    try:
        typer.run(main)
    except DeepRingError as error:
        sys.exit(f"error: {error}")
