"""A lying node, against an actor: it leaves out, reorders, repeats or makes up what happened.

Who: whoever runs the RPC node that an actor or a querent asks; who stands between them.
Wants: an actor that crashes, or signs what it should not; an honest worker found silent; a false answer believed.
Stopped by: DR-30 (state is a function of the events; a query's entries are a hash chain, and a gap is noticed), DR-23
(what was signed for a false history is refused by the ledger).
Outcome: refused where the chain's own hashes tell; else not stopped: actors believe their node.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from assurance.adversary.lying_node import about_logs, lying
from assurance.adversary.outcomes import not_stopped, refused
from assurance.adversary.stepped_ring import SteppedRing
from deepring_chain.chain.block_place import BlockPlace
from deepring_chain.chain.ports import Ledger
from deepring_chain.crypto.digest import commit_output
from deepring_chain.errors import DeepRingError
from deepring_chain.follow.follower import LedgerFollower
from deepring_chain.protocol.envelope import Answer, answer_context, seal_content
from deepring_chain.protocol.events import AnswerDelivered, LoggedEvent, UpdatePosted
from deepring_chain.protocol.session import FaultKind
from deepring_chain.store.content import ContentStore
from deepring_chain.types import Digest, OutputCommitment, QueryPhase, TensorBytes

Logs = list[dict[str, Any]]


def reversed_order(logs: Logs) -> Logs:
    return logs[::-1]


def twice(logs: Logs) -> Logs:
    return [log for log in logs for _ in range(2)]


TRICKS = [reversed_order, twice]


@refused
@pytest.mark.parametrize("who", ["ouroboros", "worker-2"])
@pytest.mark.parametrize("trick", TRICKS, ids=lambda trick: trick.__name__)
def test_history_that_is_told_in_another_order_or_twice_harms_nobody(
    attacked: SteppedRing, trick: Callable[[Logs], Logs], who: str
) -> None:
    """Order is the blocks' own; what is told twice is read anew when the node tells it once. No restart is needed."""
    query = attacked.ask()
    with lying(attacked.member(who).client, about_logs(trick)):
        attacked.settle()
    attacked.expect_answered(query)
    assert attacked.guilt(query) == []


@refused
@pytest.mark.parametrize("who", ["ouroboros", "worker-3"])
def test_actor_whose_node_hides_an_entry_in_the_middle_reads_anew_at_the_next_one(
    attacked: SteppedRing, who: str
) -> None:
    """Nothing shows that the newest is missing; that one in between is, its successor's trail shows."""
    query = attacked.ask_up_to(1)
    attacked.member(who).follower.refresh()
    attacked.step("worker-1")
    with lying(attacked.member(who).client, about_logs(lambda _logs: [])):
        attacked.member(who).follower.refresh()
    attacked.step("worker-2")
    with pytest.raises(DeepRingError, match="left out"):
        attacked.member(who).follower.refresh()
    attacked.expect_answered(query)
    assert attacked.guilt(query) == []


def newest(attacked: SteppedRing, count: int) -> list[BlockPlace]:
    """What an honest node announced of the last blocks."""
    client = attacked.client()
    head = client.head().number
    return [client.block_at(number) for number in range(head - count + 1, head + 1)]


@refused
def test_logs_of_another_block_are_not_taken_for_those_of_the_announced_one(attacked: SteppedRing) -> None:
    """Mallory's node announces the next block, and tells logs that are not its own."""
    worker = attacked.member("worker-1")
    worker.follower.refresh()
    query = attacked.ask_up_to(1)
    announced, before = newest(attacked, 12), dict(worker.state.sessions)
    moved = [{"blockHash": "0x" + "11" * 32}, {"blockNumber": "0x1"}]
    for change in moved:
        with (
            lying(worker.client, about_logs(lambda logs, change=change: [{**log, **change} for log in logs])),  # type: ignore[misc]
            pytest.raises(DeepRingError, match="tells others"),
        ):
            worker.follower.refresh(announced)
        assert worker.state.sessions == before
    assert worker.follower.refresh(announced)
    attacked.expect_answered(query)
    assert attacked.guilt(query) == []


@refused
def test_announced_block_that_the_chain_does_not_have_is_not_followed(attacked: SteppedRing) -> None:
    """Whoever can speak on the subscription alone makes up a block that follows the last one."""
    worker = attacked.member("worker-2")
    query = attacked.ask_up_to(1)
    worker.follower.refresh()
    head = worker.client.head()
    false = BlockPlace(head.number + 1, Digest(b"\x11" * 32), head.block_hash, 2**40)
    before = dict(worker.state.sessions)
    assert not worker.follower.refresh([head, false])
    assert worker.state.sessions == before
    attacked.expect_answered(query)
    assert attacked.guilt(query) == []


@refused
@pytest.mark.parametrize("answer", [None, {}, "text", 5, [{}], {"number": None}], ids=str)
@pytest.mark.parametrize("method", ["eth_getLogs", "eth_getBlockByNumber"])
def test_node_that_talks_nonsense_is_named_and_crashes_nobody(attacked: SteppedRing, method: str, answer: Any) -> None:
    client = attacked.member("worker-1").client
    follower = LedgerFollower(client, attacked.deployment.first_block)

    def nonsense(asked: str, _params: Any, result: Any) -> Any:
        return answer if asked == method else result

    with lying(client, nonsense), pytest.raises(DeepRingError):
        follower.refresh()
    assert follower.refresh()


@refused
def test_block_that_never_was_has_the_actor_read_anew_and_changes_nothing(attacked: SteppedRing) -> None:
    """Another hash for the newest block each time: to the actor it is one reorganization after the other."""
    query = attacked.ask()
    count = iter(range(10**6))

    def other_hash(method: str, _params: Any, result: Any) -> Any:
        if method != "eth_getBlockByNumber":
            return result
        return {**result, "hash": "0x" + f"{next(count):064x}"}

    with lying(attacked.member("worker-2").client, other_hash):
        attacked.settle(until=lambda: attacked.session(query).phase is QueryPhase.DELIVERED)
    attacked.expect_answered(query)
    assert attacked.guilt(query) == []


@not_stopped("Nodes.")
def test_not_stopped_worker_whose_node_hides_the_newest_events_is_found_silent(own_ring: SteppedRing) -> None:
    query = own_ring.ask_up_to(2)
    with lying(own_ring.member("worker-2").client, about_logs(lambda _logs: [])):
        own_ring.settle()
        own_ring.wait(own_ring.client().hop_seconds + 1)
        own_ring.settle(until=lambda: bool(own_ring.guilt(query)))
    assert own_ring.guilt(query) == [(2, FaultKind.SILENT)]


def forging(client: Ledger, forge: Callable[[LoggedEvent], LoggedEvent]) -> None:
    """From now on this client's node makes up events."""
    true: Any = type(client).events
    vars(client)["events"] = lambda first, last: [forge(logged) for logged in true(client, first, last)]


@not_stopped("Nodes.")
def test_not_stopped_worker_whose_node_forges_an_entry_convicts_itself(own_ring: SteppedRing) -> None:
    """Shown another commitment of the hop before, it complains of a good envelope, in good faith and under its name."""
    query = own_ring.ask_up_to(3)
    lost = Digest(bytes(31) + b"\1")

    def forge(logged: LoggedEvent) -> LoggedEvent:
        if not isinstance(logged.event, UpdatePosted) or logged.event.signed.update.hop != 2:
            return logged
        signed = logged.event.signed
        forged = replace(signed, update=replace(signed.update, output=OutputCommitment(lost)))
        return replace(logged, event=replace(logged.event, signed=forged))

    forging(own_ring.member("worker-3").client, forge)
    own_ring.member("worker-3").follower._stream.rewind()
    own_ring.settle(until=lambda: bool(own_ring.guilt(query)))
    assert own_ring.guilt(query) == [(3, FaultKind.GUILTY)]


@not_stopped("Nodes.")
def test_not_stopped_querent_whose_node_forges_the_delivery_reads_a_false_answer(own_ring: SteppedRing) -> None:
    """The liar needs nothing but what is public; the audit, through another node, shows another delivery."""
    query = own_ring.ask()
    own_ring.settle()
    session, querent = own_ring.session(query), own_ring.querent()
    false = TensorBytes("int32", (2, 4), bytes(range(32)))
    place = answer_context(querent._client.domain, query, session.sealing_key)
    key = Digest(bytes(32))
    blob = ContentStore(own_ring.deployment.store_url).put(
        seal_content(session.sealing_key, Answer(false, key).encode(), place)
    )

    def forge(logged: LoggedEvent) -> LoggedEvent:
        if not isinstance(logged.event, AnswerDelivered):
            return logged
        return replace(logged, event=replace(logged.event, answer=blob, output=commit_output(key, false)))

    forging(querent._client, forge)
    assert querent.wait(query, 0.0, lambda _session, _mode: None).output == false != own_ring.plain()
    assert own_ring.answer(query) == own_ring.plain()
