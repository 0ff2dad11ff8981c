"""`deepring query` and `deepring answer`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from deepring_chain.actors.querent import Querent, QueryResult
from deepring_chain.actors.ring_folder import RingFolder
from deepring_chain.cli.arguments import DEFAULT_RING, JsonOption, RingOption, TimeoutOption
from deepring_chain.cli.clients import open_querent
from deepring_chain.cli.console import OUT, print_step
from deepring_chain.cli.password import read_password
from deepring_chain.model.card import ModelCard
from deepring_chain.model.images import read_images
from deepring_chain.protocol.session import Session
from deepring_chain.types import QueryId, RingMode

DEFAULT_TIMEOUT = 120.0


def query(
    images: Annotated[list[Path], typer.Argument(help="Images: png files, or npy files with one image or a batch.")],
    ring: RingOption = DEFAULT_RING,
    timeout: TimeoutOption = DEFAULT_TIMEOUT,
    as_json: JsonOption = False,
) -> None:
    """Send images through the ring as one encrypted query, and print what the network says of each.

    The answer is checked against the ledger's commitment. A query that is not answered in time stays on the ledger:
    `deepring answer` reads it later.
    """
    folder = RingFolder(ring)
    querent = open_querent(folder, folder.load_deployment(), read_password())
    card = querent.read_card()
    asked = querent.submit(read_images(images, card.input_shape))
    print_step(f"query {asked} is on the ledger")
    print_result(querent.wait(asked, timeout, print_progress), card, as_json=as_json)


def answer(
    query: Annotated[int, typer.Argument(min=1, help="Id of a query of one's own.")],
    ring: RingOption = DEFAULT_RING,
    timeout: TimeoutOption = DEFAULT_TIMEOUT,
    as_json: JsonOption = False,
) -> None:
    """Read the answer of an earlier query, waiting for it if it is not there yet."""
    folder = RingFolder(ring)
    querent: Querent = open_querent(folder, folder.load_deployment(), read_password())
    card = querent.read_card()
    print_result(querent.wait(QueryId(query), timeout, print_progress), card, as_json=as_json)


def print_progress(session: Session, mode: RingMode) -> None:
    """One line for each step of the ring."""
    place = f", hop {session.next_hop} of {session.hops - 1} is next" if session.phase.name == "ROUTED" else ""
    print_step(f"query {session.query}: {session.phase.name.lower()}{place} (ring: {mode.name.lower()})")


def print_result(result: QueryResult, card: ModelCard, *, as_json: bool) -> None:
    """The answer as a table, or as JSON with all probabilities."""
    labels = [card.classes[index] for index in result.predictions]
    if as_json:
        probabilities = [[float(value) for value in row] for row in result.probabilities]
        answers = {"query": result.query, "predictions": labels, "probabilities": probabilities}
        OUT.print_json(json.dumps(answers))
        return
    table = Table("image", "class", "probability", show_edge=False)
    for number, (label, row) in enumerate(zip(labels, result.probabilities, strict=True)):
        table.add_row(str(number), label, f"{row.max():.4f}")
    OUT.print(table)
    OUT.print(f"query {result.query}: the answer matches its commitment on the ledger", soft_wrap=True)
