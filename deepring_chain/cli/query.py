"""`deepring query` and `deepring answer`."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from deepring_chain.actors.querent import AnswerLate, Querent, QueryFailed, QueryResult
from deepring_chain.cli.arguments import DEFAULT_RING, JsonOption, RingOption, TimeoutOption
from deepring_chain.cli.clients import open_querent
from deepring_chain.cli.console import OUT, print_line, print_step, print_step_with_command
from deepring_chain.cli.password import read_password
from deepring_chain.cli.tables import Sheet, print_sheet
from deepring_chain.datasets.images import read_named
from deepring_chain.errors import DeepRingError
from deepring_chain.model.card import ModelCard
from deepring_chain.protocol.session import Session
from deepring_chain.ring.folder import RingFolder
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
    pictures = read_named(images, card.input_shape)
    asked = querent.submit(pictures.pixels)
    print_step_with_command(f"query {asked} is on the ledger; to read its answer later:", _later(asked, ring))
    print_result(_wait(querent, asked, timeout, ring), card, pictures.names, as_json=as_json)


def answer(
    query: Annotated[int, typer.Argument(min=1, help="Id of a query of one's own.")],
    ring: RingOption = DEFAULT_RING,
    timeout: TimeoutOption = DEFAULT_TIMEOUT,
    as_json: JsonOption = False,
) -> None:
    """Read the answer of an earlier query, waiting for it if it is not there yet."""
    folder = RingFolder(ring)
    querent = open_querent(folder, folder.load_deployment(), read_password())
    card = querent.read_card()
    print_result(_wait(querent, QueryId(query), timeout, ring), card, as_json=as_json)


def _later(query: QueryId, ring: Path) -> str:
    """The command that reads an answer."""
    return f"deepring answer {query}" + ("" if ring == DEFAULT_RING else f" --ring {shlex.quote(str(ring))}")


def _wait(querent: Querent, query: QueryId, timeout: float, ring: Path) -> QueryResult:
    """Wait for an answer. However that ends before it is there: the last step says how to go on waiting."""
    try:
        return querent.wait(query, timeout, print_progress, print_trouble)
    except BaseException as error:
        if not isinstance(error, QueryFailed) or isinstance(error, AnswerLate):
            print_step_with_command(f"query {query} stays on the ledger; to read its answer:", _later(query, ring))
        raise


def print_trouble(error: DeepRingError) -> None:
    """Why the answer is awaited longer."""
    print_step(f"waiting: {error}")


def print_progress(session: Session, mode: RingMode) -> None:
    """One line for each step of the ring."""
    place = f", hop {session.next_hop} of {session.hops - 1} is next" if session.phase.name == "ROUTED" else ""
    print_step(f"query {session.query}: {session.phase.name.lower()}{place} (ring: {mode.name.lower()})")


def print_result(
    result: QueryResult, card: ModelCard, names: Sequence[str] | None = None, *, as_json: bool = False
) -> None:
    """Print the answer as a table, or as JSON with all probabilities.

    Args:
        result: the answer.
        card: the model's.
        names: of the images; only whoever asked knows them.
        as_json: print JSON.
    """
    labels = [card.classes[index] for index in result.predictions]
    if as_json:
        probabilities = [[float(value) for value in row] for row in result.probabilities]
        named = {} if names is None else {"images": list(names)}
        answers = {"query": result.query, **named, "predictions": labels, "probabilities": probabilities}
        OUT.print_json(json.dumps(answers))
        return
    shown = [str(number) for number in range(len(labels))] if names is None else names
    rows = [
        (name, label, f"{row.max():.2%}") for name, label, row in zip(shown, labels, result.probabilities, strict=True)
    ]
    print_sheet(Sheet(("image", "class", "probability"), rows))
    print_line(f"query {result.query}: the answer matches its commitment on the ledger")
