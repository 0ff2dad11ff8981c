"""`deepring train` and `deepring quantise`: from a data set's files to a model that a ring can serve."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from deepring_chain.cli.console import ERR, OUT, print_step
from deepring_chain.model.checkpoint import save_model
from deepring_chain.model.idx import read_mnist
from deepring_chain.model.quantised import QuantisedModel
from deepring_chain.model.train import (
    EpochReport,
    TrainOptions,
    evaluate_float,
    load_float,
    quantise_float,
    save_float,
    train,
)
from deepring_chain.model.zoo import find_entry

DEFAULTS = TrainOptions()
DataOption = Annotated[Path, typer.Option(help="Folder with the data set's IDX files, plain or gzipped.")]


def train_network(
    network: Annotated[str, typer.Argument(help="Network to train: mnist-dense, the paper's dense network.")],
    data: DataOption,
    out: Annotated[Path, typer.Option(help="Float checkpoint to write (safetensors).")],
    epochs: Annotated[int, typer.Option(min=1)] = DEFAULTS.epochs,
    seed: Annotated[int, typer.Option(min=0)] = DEFAULTS.seed,
) -> None:
    """Train a network of the zoo in float32 and save it. `deepring quantise` makes it exact."""
    find_entry(network)
    training, test = read_mnist(data, "train"), read_mnist(data, "t10k")
    layout = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}"))
    with Progress(*layout, TimeRemainingColumn(), console=ERR) as progress:
        task = progress.add_task(network, total=epochs)

        def show(report: EpochReport) -> None:
            progress.update(task, completed=report.epoch, description=f"{network}, loss {report.loss:.4f}")

        model = train(network, training, TrainOptions(seed=seed, epochs=epochs), show)
    save_float(out, network, model)
    OUT.print(f"{out}: {100 * evaluate_float(model, test):.2f} % of {len(test.labels):,} test images", soft_wrap=True)


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
    return quantise_float(name, model, read_mnist(data, "train"), read_mnist(data, "t10k"))
