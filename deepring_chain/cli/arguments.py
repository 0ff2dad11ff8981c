"""Options that several commands share."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from deepring_chain.actors.logs import LogFormat

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


class Settling(str, Enum):
    """How signed updates reach the ledger: each in a transaction of its own, or many together through a relay."""

    UPDATE = "update"
    BATCH = "batch"


class Chain(str, Enum):
    """Local devnets."""

    ANVIL = "anvil"
    GANACHE = "ganache"
