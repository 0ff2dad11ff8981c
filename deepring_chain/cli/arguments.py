"""Options that several commands share."""

from __future__ import annotations

import os
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from deepring_chain.chain.nodes import DEVNETS
from deepring_chain.errors import ConfigError
from deepring_chain.telemetry.logs import LogFormat

RingOption = Annotated[
    Path, typer.Option("--ring", envvar="DEEPRING_RING", help="Folder of the ring, as `deepring init` makes it.")
]
TimeoutOption = Annotated[float, typer.Option(min=0.1, max=1e9, help="Seconds to wait for the answer.")]
DeviceOption = Annotated[str, typer.Option(help="Where layers are computed: cpu or cuda.")]
ThreadsOption = Annotated[int, typer.Option(min=1, max=256, help="CPU threads of each actor's kernels.")]
StoreOption = Annotated[
    str | None, typer.Option("--store", help="Ciphertext store (any fsspec URL); by default RING/store.")
]
ArrangeOption = Annotated[int, typer.Option(min=1, help="Seat the ring anew after so many finished queries.")]
ServeOption = Annotated[int, typer.Option(min=1, help="Serve queries of so many MiB at once; others wait.")]
MetricsPortOption = Annotated[
    int,
    typer.Option(
        min=0, max=65000, help="Port of the metrics: the first actor's, and the next ones follow; 0 draws free ones."
    ),
]
MetricsHostOption = Annotated[
    str, typer.Option(help="Interface of the metrics; whoever reaches it can read them, without a password.")
]
LogFormatOption = Annotated[LogFormat, typer.Option(help="Lines for people, or a JSON object per line.")]
RelayOption = Annotated[
    str | None,
    typer.Option(
        "--relay",
        help="The ouroboros's relay, as http://HOST:PORT: it listens there, and settles in batches.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]

DEFAULT_RING = Path("ring")


def check_out_file(path: Path, option: str, *, makes_folder: bool = False) -> None:
    """Check that a file can be written, before the work for it is done.

    Args:
        path: the file; one that is there is replaced.
        option: what it was named with.
        makes_folder: its folder is made if it is not there.

    Raises:
        ConfigError: it is a folder, or its own folder is not there or cannot be written to.
    """
    if path.is_dir():
        raise ConfigError(f"{option} {path}: is a folder; name the file to write")
    check_out_folder(path.parent, option, path, makes_folder=makes_folder)


def check_out_folder(folder: Path, option: str, named: Path, *, makes_folder: bool = False) -> None:
    """Check that files can be written to a folder; `named` is what the user gave."""
    place = folder
    while makes_folder and not place.exists() and place != place.parent:
        place = place.parent
    if not place.exists():
        raise ConfigError(f"{option} {named}: there is no folder {folder}; make it, or choose another place")
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        raise ConfigError(f"{option} {named}: cannot be written; choose a writable place")


class Settling(str, Enum):
    """How signed updates reach the ledger: each in a transaction of its own, or many together through a relay."""

    UPDATE = "update"
    BATCH = "batch"


Chain = Enum("Chain", {name.upper(): name for name in DEVNETS}, type=str)  # type: ignore[misc]

DEFAULT_CHAIN = Chain("anvil")
