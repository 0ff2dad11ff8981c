"""`brownie run infer` asks the ring 10 MNIST digits as one query, `brownie run infer main 100` a hundred.

The ring is the one that `brownie run deploy` put on this chain; where there is none, it is deployed first.
"""

import numpy as np
from numpy.typing import NDArray

from deepring_chain.actors.querent import QueryResult
from deepring_chain.cli.clients import open_querent, open_reader
from deepring_chain.cli.console import print_step
from deepring_chain.cli.query import print_progress
from deepring_chain.datasets.samples import load_mnist_samples
from deepring_chain.errors import ConfigError
from deepring_chain.follow.history import read_history
from deepring_chain.protocol.events import query_of
from deepring_chain.ring.folder import Deployment
from deepring_chain.ring.options import ActorOptions
from deepring_chain.runtime.processes import RingProcesses

from .deploy import deployed, errors_told, owned_ring

ANSWER_SECONDS = 60.0


def main(images: str = "10") -> None:
    with errors_told():
        samples, count = load_mnist_samples(), _count(images)
        with owned_ring() as (folder, password, lock):
            deployment = deployed(folder, password)
            with RingProcesses(folder, deployment, password, ActorOptions(), lock=lock) as processes:
                print_step(f"{len(processes.statuses)} processes run: the ouroboros and one worker per layer")
                querent = open_querent(folder, deployment, password)
                query = querent.submit(samples.images[:count])
                result = querent.wait(query, ANSWER_SECONDS, print_progress)
        _print(result, samples.labels[:count], _gas(deployment, result))


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 1000:
        raise ConfigError(f"{text!r} images: say how many, 1 to 1000, as in `brownie run infer main 100`")
    return int(text)


def _gas(deployment: Deployment, result: QueryResult) -> int:
    entries = read_history(open_reader(deployment), deployment.first_block)
    spent = {entry.logged.transaction_hash: entry.gas for entry in entries if query_of(entry.event) == result.query}
    return sum(spent.values())


def _print(result: QueryResult, labels: NDArray[np.uint8], gas: int) -> None:
    right = int((result.predictions == labels).sum())
    print(f"query {result.query}")
    print("predictions:", *result.predictions.tolist())
    print("labels:     ", *labels.tolist())
    print(f"accuracy: {right / len(labels):.1%} ({right} of {len(labels)})")
    print(f"gas: {gas:,}")
