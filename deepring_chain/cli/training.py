"""`deepring train` and `deepring quantise`: from a data set's files to a model that a ring can serve."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from torch import nn

from deepring_chain.cli.arguments import check_out_file
from deepring_chain.cli.console import ERR, print_line, print_step
from deepring_chain.datasets.by_name import read_dataset
from deepring_chain.datasets.idx import LabeledImages
from deepring_chain.errors import ConfigError
from deepring_chain.model.checkpoint import save_model
from deepring_chain.model.quantised import QuantisedModel
from deepring_chain.training.evaluate import evaluate_float, load_float, quantise_float, save_float
from deepring_chain.training.train import PRECISIONS, TrainOptions, TrainReport, check_data, train
from deepring_chain.training.zoo import ZOO, find_entry

DEFAULTS = TrainOptions()
MAX_SEED = 2**63 - 1
INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""

DataOption = Annotated[
    Path,
    typer.Option(help="Folder with the data sets' files as they are published (MNIST/raw, cifar-10-python.tar.gz)."),
]


def _check_seed(seed: int) -> int:
    if seed > MAX_SEED:
        raise typer.BadParameter(f"{seed} is more than {MAX_SEED}")
    return seed


def train_network(
    network: Annotated[str, typer.Argument(help=f"Network to train: {', '.join(ZOO)}.")],
    data: DataOption,
    out: Annotated[Path, typer.Option(help="Float checkpoint to write (safetensors).")],
    epochs: Annotated[int | None, typer.Option(min=1, help="By default the recipe's.")] = None,
    seed: Annotated[
        int, typer.Option(min=0, callback=_check_seed, help="Of all that is drawn; at most 2**63 - 1.")
    ] = DEFAULTS.seed,
    precision: Annotated[
        str | None, typer.Option(help="Of the products: float32 or bfloat16; by default the recipe's.")
    ] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda; by default cuda where there is one.")] = "",
    start_from: Annotated[
        Path | None, typer.Option(help="Float checkpoint of another network: take over the tensors that fit.")
    ] = None,
) -> None:
    """Train a network of the zoo and save it. `deepring quantise` makes it exact.

    After each epoch the state is kept beside the checkpoint, as OUT.state; the same command goes on from it.
    """
    entry = find_entry(network)
    if precision not in (None, *PRECISIONS):
        raise ConfigError(f"--precision {precision}: known are {', '.join(PRECISIONS)}")
    check_out_file(out, "--out", makes_folder=True)
    state = out.with_name(f"{out.name}.state")
    start = load_float(start_from)[1].state_dict() if start_from else None
    options = TrainOptions(seed, epochs, precision, _find_device(device), state, start)
    training, test = (read_dataset(entry.dataset.name, data, part) for part in ("train", "test"))
    check_data(entry, test)
    started = time.monotonic()
    model = _train(network, training, options, state)
    minutes = (time.monotonic() - started) / 60
    save_float(out, network, model)
    state.unlink(missing_ok=True)
    accuracy = f"{100 * evaluate_float(model, test):.2f} % of {len(test.labels):,} test images"
    print_line(f"{out}: {accuracy}; trained for {minutes:.1f} minutes")


def _train(network: str, training: LabeledImages, options: TrainOptions, state: Path) -> nn.Sequential:
    if state.exists():
        print_step(f"going on from {state}")
    layout = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}"))
    try:
        with Progress(*layout, TimeRemainingColumn(), console=ERR, disable=not ERR.is_terminal) as progress:
            return train(network, training, options, _Display(network, progress).show)
    except KeyboardInterrupt:
        kept = f"the same command goes on from {state}" if state.exists() else "no epoch was done"
        print_step(f"interrupted; {kept}")
        raise typer.Exit(INTERRUPTED) from None


class _Display:
    """A bar on a terminal; elsewhere a line for each epoch."""

    def __init__(self, network: str, progress: Progress) -> None:
        self._network, self._progress = network, progress
        self._task = progress.add_task(network)

    def show(self, report: TrainReport) -> None:
        text = f"{self._network}, epoch {report.epoch}/{report.epochs}, loss {report.loss:.4f}"
        self._progress.update(self._task, completed=report.step, total=report.steps, description=text)
        if report.ends_epoch and self._progress.disable:
            print_step(text)


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
    check_out_file(out, "--out", makes_folder=True)
    print_step("calibrating and measuring")
    quantised = quantise_checkpoint(network, data)
    save_model(out, quantised)
    for figure, value in quantised.card.figures.items():
        print_line(f"{figure}: {shown_figure(value)}")


def shown_figure(value: str | float) -> str:
    """A measured share in percent, rounded; a text as it is."""
    return f"{value:.2%}" if isinstance(value, float) else value


def quantise_checkpoint(network: Path, data: Path) -> QuantisedModel:
    """Quantises a float checkpoint with a data set's files."""
    name, model = load_float(network)
    dataset = find_entry(name).dataset.name
    return quantise_float(name, model, read_dataset(dataset, data, "train"), read_dataset(dataset, data, "test"))
