"""Finding out how a ring is: from its folder, its node, its ledger, its store and its actors, each within a time."""

from __future__ import annotations

import functools
import queue
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TypeVar

from web3 import Web3

from deepring_chain.chain.client import LedgerClient
from deepring_chain.chain.connection import node_errors
from deepring_chain.chain.probe import (
    UNUSABLE,
    CodeFacts,
    NodeFacts,
    find_first_block,
    gas_price,
    look_at_account,
    look_at_code,
    look_at_node,
)
from deepring_chain.errors import ChainError, DeepRingError
from deepring_chain.health.actors import look_at_actors, look_at_host
from deepring_chain.health.ledger import LedgerView, read_view, ring_facts
from deepring_chain.health.races import find_races, read_draws
from deepring_chain.health.snapshot import ActorFacts, RingFacts, Role, Snapshot, StoreFacts, Target, short_address
from deepring_chain.health.store import look_at_store
from deepring_chain.protocol.ledger_state import LedgerState
from deepring_chain.ring.folder import MODEL_FILE, RingFolder, journal_name
from deepring_chain.types import Address, ArrangementId, Digest

ANSWER_SECONDS = 5.0
"""For one answer of a node or an actor."""

READING_SECONDS = 60.0
"""For all of a ledger's events, and for all of a store's blobs."""

Found = TypeVar("Found")


class TookTooLong(DeepRingError):
    """Something did not come to an end in its time."""


def within(seconds: float, what: str, work: Callable[[], Found]) -> Found:
    """What `work` returns or raises. It goes on unseen when it takes longer: a driver that hangs cannot be stopped.

    Raises:
        TookTooLong: not within `seconds`.
    """
    results: queue.SimpleQueue[tuple[Found | None, BaseException | None]] = queue.SimpleQueue()

    def run() -> None:
        try:
            results.put((work(), None))
        except BaseException as error:  # noqa: BLE001 - raised again, in the thread that waits
            results.put((None, error))

    threading.Thread(target=run, daemon=True).start()
    try:
        found, error = results.get(timeout=seconds)
    except queue.Empty:
        raise TookTooLong(f"{what}: not within {seconds:g} s") from None
    if error is not None:
        raise error
    return found  # type: ignore[return-value]  # without an error there is a result


class Collector:
    """Puts a snapshot together, step by step; what is not to be had is left out.

    Args:
        target: what to look at.
        answer_seconds: for each answer of a node or an actor.
        reading_seconds: for the events, and for the blobs.
        now: this machine's Unix time.
    """

    def __init__(
        self,
        target: Target,
        answer_seconds: float = ANSWER_SECONDS,
        reading_seconds: float = READING_SECONDS,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._target = target
        self._answer, self._reading, self._now = answer_seconds, reading_seconds, now

    def collect(self) -> Snapshot:
        """The ring as it is now.

        Raises:
            ConfigError: the ring's list of actors is damaged.
        """
        target = self._target
        actors = look_at_actors(target, self._answer)
        node, web3 = self._look_at_node()
        snapshot = Snapshot(target, self._now(), look_at_host(target), node, actors=actors)
        state = None
        if web3 is not None:
            snapshot, state = self._look_at_chain(snapshot, web3)
        return replace(snapshot, store=self._look_at_store(state))

    def _look_at_node(self) -> tuple[NodeFacts | None, Web3 | None]:
        url = self._target.rpc_url
        if url is None:
            return None, None
        try:
            # A node that sends one byte at a time keeps each request alive: all of them together have an end too.
            return within(4 * self._answer, "the node's first answers", lambda: look_at_node(url, self._answer))
        except TookTooLong as error:
            return NodeFacts(url, str(error), is_silent=True), None

    def _look_at_chain(self, snapshot: Snapshot, web3: Web3) -> tuple[Snapshot, LedgerState | None]:
        """What the node tells of ledger and accounts; it may stop answering at any time."""
        try:
            code = self._look_at_code(web3, snapshot.node)
            snapshot = replace(snapshot, code=code)
            if code is None or not code.is_shipped or code.is_same_chain is False:
                # The accounts of another chain are none of the ring's.
                return snapshot, None
            view, ring = within(self._reading, "reading the ledger", lambda: self._read(web3, snapshot))
            snapshot = replace(snapshot, ring=ring, actors=self._with_members(snapshot.actors, view))
            return self._weigh(snapshot, web3, view), view.state
        except DeepRingError as error:
            return replace(snapshot, ring_trouble=str(error)), None
        except UNUSABLE as error:
            return replace(snapshot, ring_trouble=f"unusable answers from the node ({type(error).__name__})"), None

    def _look_at_code(self, web3: Web3, node: NodeFacts | None) -> CodeFacts | None:
        target = self._target
        is_other = target.chain_id is not None and node is not None and node.chain_id != target.chain_id
        if target.ledger is None or is_other:
            return None
        place = (self._url, target.ledger, target.first_block, target.block_hash)
        return within(2 * self._answer, "the ledger's code", lambda: look_at_code(web3, *place))

    def _read(self, web3: Web3, snapshot: Snapshot) -> tuple[LedgerView, RingFacts]:
        target, node = self._target, snapshot.node
        if target.ledger is None or node is None or node.head is None:
            raise ChainError("no ledger to read")
        first = target.first_block
        if first is None:
            first = find_first_block(web3, self._url, target.ledger, node.head)
        client = LedgerClient.over(web3, self._url, target.ledger)
        view = read_view(client, first, node.head)
        draws = self._read_draws()
        layers = {actor.address: actor.layer for actor in snapshot.actors if actor.address and actor.layer}
        time_of = functools.cache(client.block_time)
        deadlines = (client.hop_seconds, client.withdraw_seconds)
        races = find_races(view.arranged, node.head, client.hop_seconds, time_of, draws)
        return view, replace(ring_facts(view, layers, deadlines, time_of), races=races)

    def _read_draws(self) -> dict[ArrangementId, Digest] | None:
        """What the ouroboros's journal has drawn for this very ledger, if that is here."""
        target = self._target
        folder = target.folder if target.ring is None else RingFolder(target.ring).ouroboros
        if folder is None or not (folder / MODEL_FILE).exists():
            return None
        if target.chain_id is None or target.ledger is None or target.block_hash is None:
            return None
        return read_draws(folder / journal_name(target.chain_id, target.ledger, target.block_hash))

    def _with_members(self, actors: tuple[ActorFacts, ...], view: LedgerView) -> tuple[ActorFacts, ...]:
        """The actors with their seats, and those whom only the ledger knows."""
        current = view.state.arrangement
        known = {actor.address for actor in actors}
        strangers = [_stranger(address, view) for address in view.state.sealing_keys if address not in known]
        everyone = sorted([*actors, *strangers], key=lambda actor: list(Role).index(actor.role))
        if current is None:
            return tuple(everyone)
        return tuple(
            replace(actor, seat=current.position_of(actor.address) if actor.address else None) for actor in everyone
        )

    def _weigh(self, snapshot: Snapshot, web3: Web3, view: LedgerView) -> Snapshot:
        """Adds funds, nonces and last activity."""

        def weigh() -> tuple[int, tuple[ActorFacts, ...]]:
            with node_errors(self._url):
                weighed = [_weighed(actor, web3, self._url, view.active) for actor in snapshot.actors]
            return gas_price(web3, self._url), tuple(weighed)

        price, actors = within(self._reading, "looking up the accounts", weigh)
        return replace(snapshot, gas_price=price, actors=actors)

    def _look_at_store(self, state: LedgerState | None) -> StoreFacts | None:
        url = self._target.store_url
        if url is None:
            return None
        try:
            within(2 * self._answer, "the store's first answer", lambda: look_at_store(url, None))
            return within(self._reading, "reading the store", lambda: look_at_store(url, state))
        except TookTooLong as error:
            return StoreFacts(url, str(error))

    @property
    def _url(self) -> str:
        return self._target.rpc_url or ""


def _stranger(address: Address, view: LedgerView) -> ActorFacts:
    role = Role.OUROBOROS if address == view.ouroboros else Role.WORKER
    name = role.value if role is Role.OUROBOROS else short_address(address)
    return ActorFacts(name, role, address)


def _weighed(actor: ActorFacts, web3: Web3, url: str, active: Mapping[Address, int]) -> ActorFacts:
    if actor.address is None:
        return actor
    last = active.get(actor.address)
    when = None if last is None else int(web3.eth.get_block(last)["timestamp"])
    return replace(actor, account=look_at_account(web3, url, actor.address), last_block=last, last_time=when)
