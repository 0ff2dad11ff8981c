"""Echo: a worker commits to the output that is expected of it, and sends something else.

Who: a worker, at any hop. In the paper it would hold itself against eq. 13 and pass.
Wants: a wrong answer that nobody is blamed for.
Stopped by: DR-27 (the recipient's check), DR-51 (the referee repeats it), I-8.
Outcome: recorded, right blame: the sender is convicted, its hop alone is done again.
"""

from __future__ import annotations

import pytest

from assurance.adversary.liars import Echo, once
from assurance.adversary.outcomes import blamed
from assurance.adversary.stepped_ring import LAYERS, SteppedRing, convicted


@blamed
@pytest.mark.parametrize("hop", range(1, LAYERS + 1))
def test_echo_convicts_its_sender_alone_at_every_hop(attacked: SteppedRing, hop: int) -> None:
    with attacked.bribed(f"worker-{hop}", once(Echo)):
        query = attacked.ask()
        attacked.settle()
    attacked.expect_answered(query)
    assert attacked.guilt(query) == convicted(hop)


@blamed
def test_echo_in_every_attempt_ends_with_the_query_and_no_other_worker_is_blamed(
    own_ring: SteppedRing, few_attempts: int
) -> None:
    with own_ring.bribed("worker-2", Echo):
        query = own_ring.ask()
        own_ring.settle()
    assert own_ring.guilt(query) == convicted(*[2] * few_attempts)
    own_ring.expect_well()


@blamed
def test_echo_of_a_first_choice_is_served_by_its_standby(relieved_ring: SteppedRing) -> None:
    with relieved_ring.bribed("worker-3", Echo):
        query = relieved_ring.ask()
        relieved_ring.settle()
        relieved_ring.expect_answered(query)
    assert relieved_ring.guilt(query) == convicted(3)
