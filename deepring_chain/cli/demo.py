"""`deepring demo`: the whole system once, on real digits, with nothing to prepare."""

from __future__ import annotations

import secrets
import tempfile
import time
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from deepring_chain.actors.querent import QueryResult
from deepring_chain.chain.devnet import Devnet
from deepring_chain.cli.arguments import DEFAULT_CHAIN, Chain, check_out_folder
from deepring_chain.cli.clients import member_names, open_querent, open_reader
from deepring_chain.cli.console import OUT, print_line, print_rule, print_step
from deepring_chain.cli.pictures import CELL, save_sheet, terminal_row
from deepring_chain.cli.query import print_progress
from deepring_chain.cli.trail import print_trail
from deepring_chain.datasets.idx import LabeledImages
from deepring_chain.datasets.samples import load_mnist_samples
from deepring_chain.errors import ChainError, ProtocolError
from deepring_chain.follow.follower import LedgerFollower
from deepring_chain.follow.history import read_history
from deepring_chain.model.checkpoint import shipped_model
from deepring_chain.model.quantised import QuantisedModel
from deepring_chain.ring.create import init_ring
from deepring_chain.ring.deploy import deploy_ring
from deepring_chain.ring.folder import Deployment, RingFolder
from deepring_chain.ring.options import ActorOptions
from deepring_chain.runtime.processes import RingProcesses

ANSWER_SECONDS = 60.0
ROW_COLUMNS = 120


def demo(
    images: Annotated[int, typer.Option(min=1, max=1000, help="How many MNIST test images to ask.")] = 100,
    chain: Annotated[Chain, typer.Option(help="Devnet to run on.")] = DEFAULT_CHAIN,
    out: Annotated[Path, typer.Option(help="Folder for the picture of the answers.")] = Path("out/demo"),
) -> None:
    """Show it all: MNIST digits go encrypted through five worker processes on a local chain; the trail is printed."""
    check_out_folder(out, "--out", out, makes_folder=True)
    started = time.monotonic()
    samples = load_mnist_samples()
    asked = LabeledImages(samples.images[:images], samples.labels[:images])
    model = shipped_model()
    with tempfile.TemporaryDirectory(prefix="deepring-demo-") as scratch:
        folder = RingFolder(Path(scratch) / "ring")
        result = _run(folder, model, asked, chain)
    _print_answers(asked, result, model, out)
    _check_equal(asked, result, model)
    print_line(f"wall time {time.monotonic() - started:.1f} s")


def _run(folder: RingFolder, model: QuantisedModel, asked: LabeledImages, chain: Chain) -> QueryResult:
    password = secrets.token_urlsafe(32)
    config = init_ring(folder.path, model, password, lambda _: None)
    print_step(f"{model.card.name} split into {len(config.workers)} blocks, keys made")
    with Devnet(kind=chain.value) as devnet:
        print_step(f"{chain.value} runs at {devnet.url}")
        deployment = deploy_ring(folder, devnet.url, password, None, print_step, is_own_devnet=True)
        with RingProcesses(folder, deployment, password, ActorOptions()) as processes:
            pids = [status.pid for status in processes.statuses.values()]
            print_step(f"ouroboros and {len(pids) - 1} workers run as processes {pids}")
            result = _ask(folder, deployment, password, asked)
            _await_new_arrangement(deployment)
        _print_ledger(folder, deployment)
    return result


def _ask(folder: RingFolder, deployment: Deployment, password: str, asked: LabeledImages) -> QueryResult:
    querent = open_querent(folder, deployment, password)
    query = querent.submit(asked.images)
    print_step(f"query {query}: {len(asked.images)} images, encrypted to the ouroboros, are on the ledger")
    return querent.wait(query, ANSWER_SECONDS, print_progress)


def _await_new_arrangement(deployment: Deployment) -> None:
    """After a query the ring is seated anew (paper 3.4.3): the trail shall show that too."""
    client = open_reader(deployment)
    follower = LedgerFollower(client, deployment.first_block)
    deadline = time.monotonic() + ANSWER_SECONDS
    while time.monotonic() < deadline:
        follower.refresh()
        current = follower.state.arrangement
        if current is not None and current.arranged.arrangement > 1 and current.is_authentic:
            return
        time.sleep(0.05)
    raise ChainError("the ring was not seated anew after the query; see the trail")


def _print_ledger(folder: RingFolder, deployment: Deployment) -> None:
    client = open_reader(deployment)
    entries = read_history(client, deployment.first_block)
    print_rule("the public trail, as anyone reads it")
    print_trail(entries, member_names(folder))


def _print_answers(asked: LabeledImages, result: QueryResult, model: QuantisedModel, out: Path) -> None:
    labels = [model.card.classes[index] for index in result.predictions]
    truth = [model.card.classes[index] for index in asked.labels]
    wrong = [label != true for label, true in zip(labels, truth, strict=True)]
    print_rule("the answers, as the querent reads them")
    shown = max(1, min(min(OUT.width, ROW_COLUMNS) // (CELL + 2), len(labels)))
    if OUT.color_system is not None:
        OUT.print(terminal_row(asked.images[:shown], [f"says {label}" for label in labels[:shown]]))
    captions = [f"{label} not {true}" if no else label for label, true, no in zip(labels, truth, wrong, strict=True)]
    save_sheet(out / "answers.png", asked.images, captions, wrong)
    print_line(f"all answers with their images: {out / 'answers.png'}")
    right = len(labels) - sum(wrong)
    print_line(f"accuracy on these {len(labels)} MNIST test images: {right / len(labels):.1%} ({right} right)")


def _check_equal(asked: LabeledImages, result: QueryResult, model: QuantisedModel) -> None:
    """Holds the ring's answer against the same model run in one piece, without ring and chain."""
    plain = model.run(model.card.quantise_input(asked.images))
    if plain != result.output:
        differing = int(np.count_nonzero(np.frombuffer(plain.data, "<i4") != np.frombuffer(result.output.data, "<i4")))
        raise ProtocolError(f"the ring's answer differs from the plain integer model in {differing} logits")
    print_line("equal to the plain integer model, bit for bit")
