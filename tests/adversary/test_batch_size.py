"""Batch size: two neighbors agree on a batch of another size than was asked, and an honest third is to pay for it.

Who: hops i - 1 and i, who sign that they hold to each other's commitments.
Wants: hop i + 1 with an output that no envelope holds, so that it is timed out as silent; or an answer to fewer items.
Stopped by: DR-39 and I-17 (the first route tells the number of items, and no later one another), DR-23 and I-2 (every
update is signed for it), DR-27 (the recipient counts them), DR-53 and DR-66 (so do the referee and the auditor).
Outcome: recorded, right blame.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from assurance.adversary.liars import colluders, once
from assurance.adversary.outcomes import blamed
from assurance.adversary.stepped_ring import SteppedRing, convicted
from deepring_chain.protocol.session import FaultKind
from deepring_chain.types import TensorBytes

LIMIT = 2**20
"""Bytes that an envelope of the limited ring may have."""

FITTING = 100_000
"""Items of 8 bytes that fit within the limit, while what the last layer makes of them, 16 bytes each, does not."""


def batch(items: int, width: int = 8, dtype: str = "int8") -> TensorBytes:
    """A tensor that the next layer can take, but for the number of its items."""
    return TensorBytes(dtype, (items, width), bytes(items * width * (4 if dtype == "int32" else 1)))


@contextmanager
def limited(ring: SteppedRing) -> Iterator[None]:
    """Every member's store takes 1 MiB at the most; a liar writes into the folder as it likes."""
    stores = [ring.member(name).store for name in ring.names]
    before = [store.max_bytes for store in stores]
    for store in stores:
        store.max_bytes = LIMIT
    try:
        yield
    finally:
        for store, most in zip(stores, before, strict=True):
            store.max_bytes = most


@blamed
@pytest.mark.parametrize("items", [1, 3, FITTING, 2 * FITTING], ids=["fewer", "more", "fitting", "larger than a blob"])
def test_batch_of_another_size_convicts_the_colluder_who_sent_it(attacked: SteppedRing, items: int) -> None:
    """Hops 2 and 3 against hop 4, the honest last one."""
    first, second = colluders(batch(items))
    with limited(attacked), attacked.bribed("worker-2", once(first)), attacked.bribed("worker-3", once(second)):
        query = attacked.ask()
        attacked.settle()
        attacked.wait(2)
        attacked.expect_answered(query)
    assert attacked.guilt(query) == convicted(3)


@blamed
@pytest.mark.parametrize("items", [1, 3, FITTING])
def test_answer_to_another_number_of_items_does_not_reach_the_querent(attacked: SteppedRing, items: int) -> None:
    """Hops 3 and 4 against the querent: the ouroboros takes the last output as every recipient does."""
    first, second = colluders(batch(items, 4, "int32"))
    with attacked.bribed("worker-3", once(first)), attacked.bribed("worker-4", once(second)):
        query = attacked.ask()
        attacked.settle()
        attacked.expect_answered(query)
    assert attacked.guilt(query) == convicted(4)


@blamed
def test_colluders_who_sign_for_another_number_are_timed_out_themselves(own_ring: SteppedRing) -> None:
    """The ledger makes the digest with the query's own number: their signature is nobody's, and the hop stays due."""
    first, second = colluders(batch(3), signed_for=3)
    with own_ring.bribed("worker-2", first), own_ring.bribed("worker-3", second):
        query = own_ring.ask()
        own_ring.settle()
        assert own_ring.session(query).next_hop == 3
        own_ring.wait(own_ring.client().hop_seconds + 1)
        own_ring.settle(until=lambda: bool(own_ring.guilt(query)))
    assert own_ring.guilt(query) == [(3, FaultKind.SILENT)]
