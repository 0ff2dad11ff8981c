"""One side of `benchmarks.bench_against`: a ring of the checkout that PYTHONPATH names, asked on demand.

It is run by its path, so it may import only what both checkouts have.
"""

from __future__ import annotations

import json
import sys
from statistics import median

import torch

from benchmarks.rings import Asker, bench_ring
from benchmarks.subjects import dense, vgg19

SUBJECTS = {"dense": dense, "vgg19": vgg19}


def main(name: str, batch: int, settle: str) -> None:
    """Serves lines of input: `ask` gives the seconds of a query, and of the median turn of a worker in it."""
    torch.set_num_threads(1)
    subject = SUBJECTS[name]()
    images, last = subject.images(batch), subject.model.card.layers
    with bench_ring(subject.model, 1, settle) as ring:
        asker = Asker(ring)
        _say("ready")
        for _ in sys.stdin:
            total = asker.ask(images)
            turns = [timed.turn.seconds for timed in asker.turns(1) if 0 < timed.turn.hop <= last]
            _say({"query": total, "turn": median(turns)})


def _say(value: object) -> None:
    print(json.dumps(value), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
