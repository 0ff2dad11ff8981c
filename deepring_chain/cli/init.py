"""`deepring init`: a model and keys for everyone, in a new ring folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from deepring_chain.cli.arguments import DEFAULT_RING, RingOption
from deepring_chain.cli.console import print_line, print_step
from deepring_chain.cli.password import read_password
from deepring_chain.cli.training import quantise_checkpoint, shown_figure
from deepring_chain.datasets.samples import shipped_model_path
from deepring_chain.errors import ConfigError
from deepring_chain.importing.calibration import quantise_onnx
from deepring_chain.model.checkpoint import load_model
from deepring_chain.model.quantised import QuantisedModel
from deepring_chain.ring.create import init_ring, new_folder


def init(
    ring: RingOption = DEFAULT_RING,
    model: Annotated[
        Path | None, typer.Option(help="Quantised model, as `deepring quantise` writes it; by default the shipped one.")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="--model is a float checkpoint of `deepring train`: quantise it with these files."),
    ] = None,
    onnx: Annotated[
        Path | None, typer.Option(help="Make the model of this ONNX file, which takes pixels / 255; needs --calibrate.")
    ] = None,
    calibrate: Annotated[
        Path | None,
        typer.Option(help="Images for --onnx, some hundreds: a folder of png or npy files, one such file, or an npz."),
    ] = None,
    standbys: Annotated[int, typer.Option(min=0, max=9, help="Further workers for each layer, to take over.")] = 0,
) -> None:
    """Make a ring: split a quantised model into layers, one worker each, and make everyone's keys.

    The folder then holds one folder per actor, complete by itself: a worker's has its keys, its layer and the next.
    The password for the key files is read from the file that DEEPRING_PASSWORD_FILE names, from DEEPRING_PASSWORD, or
    from the terminal.
    """
    _check_options(model, data, onnx, calibrate)
    with new_folder(ring):
        password = read_password(confirm=True)
        committed = _load(model, data) if onnx is None or calibrate is None else _import(onnx, calibrate)
        config = init_ring(ring, committed, password, print_step, standbys)
    print_line(f"ring of {len(config.workers)} workers for {config.model_name} in {ring}")
    for name, value in committed.card.figures.items():
        print_line(f"  {name}: {shown_figure(value)}")
    print_line(f"model root 0x{config.model_root.hex()}")
    print_line(f"next: deepring up --ring {ring}")


def _check_options(model: Path | None, data: Path | None, onnx: Path | None, calibrate: Path | None) -> None:
    if onnx is None and calibrate is not None:
        raise ConfigError("--calibrate: images for a network from elsewhere; name it with --onnx")
    if onnx is not None and calibrate is None:
        raise ConfigError("--onnx: needs images to set the ranges of its activations; name them with --calibrate")
    if onnx is not None and (model or data):
        raise ConfigError("--onnx: is the model; leave --model and --data out")


def _import(onnx: Path, calibrate: Path) -> QuantisedModel:
    print_step("reading, quantising and measuring")
    return quantise_onnx(onnx, calibrate)


def _load(model: Path | None, data: Path | None) -> QuantisedModel:
    if data is None:
        return load_model(model or shipped_model_path())
    if model is None:
        raise ConfigError("--data: quantises a float checkpoint; name it with --model")
    print_step("quantising and measuring")
    return quantise_checkpoint(model, data)
