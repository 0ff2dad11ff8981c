"""`deepring train` and `deepring quantise`: from a data set's files to a model that a ring can serve."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from deepring_chain.cli.console import ERR, OUT, print_step
from deepring_chain.errors import ConfigError
from deepring_chain.model.checkpoint import save_model
from deepring_chain.model.datasets import read_dataset
from deepring_chain.model.evaluate import evaluate_float, load_float, quantise_float, save_float
from deepring_chain.model.quantised import QuantisedModel
from deepring_chain.model.train import PRECISIONS, TrainOptions, TrainReport, train
from deepring_chain.model.zoo import ZOO, find_entry

DEFAULTS = TrainOptions()
DataOption = Annotated[Path, typer.Option(help="Folder with the data set's files as they are published.")]


def train_network(
    network: Annotated[str, typer.Argument(help=f"Network to train: {', '.join(ZOO)}.")],
    data: DataOption,
    out: Annotated[Path, typer.Option(help="Float checkpoint to write (safetensors).")],
    epochs: Annotated[int | None, typer.Option(min=1, help="By default the recipe's.")] = None,
    seed: Annotated[int, typer.Option(min=0)] = DEFAULTS.seed,
    precision: Annotated[str, typer.Option(help="float32, or bfloat16 products.")] = DEFAULTS.precision,
    device: Annotated[str, typer.Option(help="cpu or cuda; by default cuda where there is one.")] = "",
) -> None:
    """Train a network of the zoo and save it. `deepring quantise` makes it exact.

    After each epoch the state is kept beside the checkpoint, as OUT.state; the same command goes on from it.
    """
    entry = find_entry(network)
    if precision not in PRECISIONS:
        raise ConfigError(f"--precision {precision}: known are {', '.join(PRECISIONS)}")
    training, test = (read_dataset(entry.dataset.name, data, part) for part in ("train", "test"))
    state = out.with_name(f"{out.name}.state")
    options = TrainOptions(seed, epochs, precision, _find_device(device), state)
    layout = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}"))
    with Progress(*layout, TimeRemainingColumn(), console=ERR) as progress:
        task = progress.add_task(network)

        def show(report: TrainReport) -> None:
            text = f"{network}, epoch {report.epoch}/{report.epochs}, loss {report.loss:.4f}"
            progress.update(task, completed=report.step, total=report.steps, description=text)

        model = train(network, training, options, show)
    save_float(out, network, model)
    state.unlink(missing_ok=True)
    OUT.print(f"{out}: {100 * evaluate_float(model, test):.2f} % of {len(test.labels):,} test images", soft_wrap=True)


def _find_device(name: str) -> torch.device:
    if name not in ("", "cpu", "cuda"):
        raise ConfigError(f"--device {name}: known are cpu and cuda")
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError("--device cuda: torch finds no CUDA device here; leave it out or say cpu")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def quantise_network(
    network: Annotated[Path, typer.Argument(help="Float checkpoint, as `deepring train` writes it.")],
    data: DataOption,
    out: Annotated[Path, typer.Option(help="Quantised model to write (safetensors).")],
) -> None:
    """Turn a float checkpoint into the exact integer model that a ring serves, and measure both."""
    print_step("calibrating and measuring")
    quantised = quantise_checkpoint(network, data)
    save_model(out, quantised)
    for figure, value in quantised.card.figures.items():
        OUT.print(f"{figure}: {value}", soft_wrap=True)


def quantise_checkpoint(network: Path, data: Path) -> QuantisedModel:
    """Quantises a float checkpoint with a data set's files."""
    name, model = load_float(network)
    dataset = find_entry(name).dataset.name
    return quantise_float(name, model, read_dataset(dataset, data, "train"), read_dataset(dataset, data, "test"))
