"""A query's number belongs to one question, until the chain is set back and another one gets it."""

from __future__ import annotations

import numpy as np
import pytest

from deepring_chain.actors.querent import QueryFailed
from tests.unit.actors.fake_ring import IMAGES, FakeRing, make_querent

QUERENT = 50
"""Number of the ring's own querent."""


def test_answer_to_a_question_that_took_over_the_number_is_not_given_out(ring: FakeRing) -> None:
    """Both are the same person's, who asked twice; the first question was lost with its block."""
    ring.settle()
    before = ring.ledger.height
    first = ring.querent
    query = first.submit(IMAGES)
    ring.ledger.set_back(before)
    other = make_querent(ring.ledger, ring.store, QUERENT)
    assert other.submit(np.flip(IMAGES)) == query
    ring.settle()
    with pytest.raises(QueryFailed, match=f"query {query}: a reorganization gave its number to another question"):
        first.wait(query, 0, lambda _session, _mode: None)
    assert other.wait(query, 0, lambda _session, _mode: None).query == query
