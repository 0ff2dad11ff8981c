"""A sample of what `make audit-mutations` changes in a recorded trail: every one is found at its place."""

from __future__ import annotations

import pytest

from deepring_chain.protocol.events import Event
from tests.chain.audit_mutations import (
    Trail,
    blob_mutations,
    block_mutations,
    log_mutations,
    read_trail,
    record,
    run_all,
)

KINDS = {kind.__name__ for kind in Event.__args__}
SAMPLE = 41
"""Of so many changes one is made; a prime, so that no word is always left out."""


@pytest.fixture(scope="module")
def trail(tmp_path_factory: pytest.TempPathFactory) -> Trail:
    """Recorded on a node of its own, which is gone when it is audited."""
    return read_trail(record(tmp_path_factory.mktemp("recorded")))


def test_trail_holds_every_kind_of_event_and_hundreds_of_changes(trail: Trail) -> None:
    assert {type(logged.event).__name__ for logged in trail.events} == KINDS
    assert {mutation.event for mutation in log_mutations(trail)} == KINDS
    made = [sum(1 for _ in changes(trail)) for changes in (log_mutations, block_mutations, blob_mutations)]
    assert min(made) > 400


def test_untouched_trail_passes_from_every_block_on(trail: Trail) -> None:
    for index in range(1, len(trail.blocks), 9):
        assert trail.audit_from(index, trail.blocks[index]).passed


def test_every_change_of_a_sample_is_found_at_its_place(trail: Trail) -> None:
    tally = run_all(trail, every=SAMPLE)
    assert tally.missed == []
    assert sum(tally.found.values()) > 100
