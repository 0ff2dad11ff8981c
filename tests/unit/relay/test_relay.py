"""The relay: takes what continues a query, survives a restart, and passes on everything in order."""

from __future__ import annotations

import queue
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import requests

from deepring_chain.actors.journal import Journal
from deepring_chain.actors.relay import client as relay_client
from deepring_chain.actors.relay import server as relay_server
from deepring_chain.actors.relay.client import RelayClient
from deepring_chain.actors.relay.relay import LARGEST_UPDATE, MOST_AT_ONCE, Relay, decode_news, encode_news
from deepring_chain.actors.relay.server import RelayServer, _bind
from deepring_chain.errors import ConfigError, ProtocolError
from deepring_chain.host_header import REFUSAL
from deepring_chain.protocol import relayed as relayed_module
from deepring_chain.protocol.ledger_state import LedgerState
from deepring_chain.protocol.relayed import RelayedHops
from deepring_chain.protocol.session import Session
from deepring_chain.protocol.update import encode_signed_update
from deepring_chain.ring.options import free_relay_address, relay_place
from deepring_chain.types import Address, QueryPhase, SignedUpdate
from tests.unit.relay.relay_script import DOMAIN, HOPS, address, digest, relayed, routed, signed_for, state_of
from tests.waiting import FOREVER


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """No request is given up, and no reader without news is sent away."""
    for module, name in (
        (relay_client, "SEND_SECONDS"),
        (relay_client, "LONGEST_WAIT"),
        (relay_server, "LONGEST_WAIT"),
    ):
        monkeypatch.setattr(module, name, FOREVER)


class Owner:
    """The ouroboros's side: a ledger that is set by hand, and a relay over one journal file."""

    def __init__(self, path: Path, *sessions: Session) -> None:
        self.state = state_of(*sessions)
        self.hops = RelayedHops(DOMAIN)
        self.relay = Relay(self.hops, lambda: self.state, Journal(path / "journal.sqlite"))

    def end(self, session: Session) -> LedgerState:
        self.state.sessions[session.query] = replace(session, phase=QueryPhase.DELIVERED)
        return self.state


def honest(session: Session, count: int) -> list[SignedUpdate]:
    hops = RelayedHops(DOMAIN)
    relayed(session, hops, count)
    return list(hops.pending(session))


def news(relay: Relay, epoch: bytes, after: int) -> tuple[int, list[SignedUpdate]]:
    data = relay.read(epoch, after)
    assert data is not None
    _, count, updates = decode_news(data)
    return count, updates


def test_updates_are_passed_on_in_order_and_once(tmp_path: Path) -> None:
    session = routed()
    owner, updates = Owner(tmp_path, session), honest(session, 3)
    for signed in updates[:2]:
        owner.relay.take(signed)
    assert news(owner.relay, b"", 0) == (2, updates[:2])
    epoch = owner.relay.epoch
    assert owner.relay.read(epoch, 2) is None
    owner.relay.take(updates[2])
    assert news(owner.relay, epoch, 2) == (3, updates[2:])


def test_update_that_the_relay_has_no_room_for_is_refused_and_goes_to_the_ledger(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Said to be taken, it would be handed in again and again, and be seen by nobody."""
    monkeypatch.setattr(relayed_module, "MOST_QUERIES", 1)
    sessions = [routed(1), routed(2)]
    owner = Owner(tmp_path, *sessions)
    (first,), (second,) = (honest(session, 1) for session in sessions)
    owner.relay.take(first)
    with pytest.raises(ProtocolError, match="no room"):
        owner.relay.take(second)
    assert news(owner.relay, b"", 0) == (1, [first])


def test_update_taken_twice_is_no_error_and_passed_on_once(tmp_path: Path) -> None:
    session = routed()
    owner, (signed,) = Owner(tmp_path, session), honest(session, 1)
    owner.relay.take(signed)
    owner.relay.take(signed)
    assert news(owner.relay, b"", 0) == (1, [signed])


def test_second_update_of_a_worker_for_the_same_place_is_refused(tmp_path: Path) -> None:
    session = routed()
    owner, (signed,) = Owner(tmp_path, session), honest(session, 1)
    owner.relay.take(signed)
    with pytest.raises(ProtocolError, match="hop 1 of attempt 1 is due"):
        owner.relay.take(signed_for(session, envelope=digest(5)))
    assert news(owner.relay, b"", 0) == (1, [signed])


@pytest.mark.parametrize("skipped", [1, 2])
def test_update_out_of_turn_is_refused_and_not_kept(tmp_path: Path, skipped: int) -> None:
    session = routed()
    owner, updates = Owner(tmp_path, session), honest(session, 3)
    with pytest.raises(ProtocolError, match="hop 0 of attempt 1 is due"):
        owner.relay.take(updates[skipped])
    assert owner.hops.queries() == []


def test_update_of_an_unknown_query_is_refused(tmp_path: Path) -> None:
    owner, (signed,) = Owner(tmp_path), honest(routed(), 1)
    with pytest.raises(ProtocolError, match="no such query"):
        owner.relay.take(signed)


def test_violation_of_eq_13_is_refused_since_only_the_ledger_records_it(tmp_path: Path) -> None:
    session = routed()
    owner, (first,) = Owner(tmp_path, session), honest(session, 1)
    owner.relay.take(first)
    with pytest.raises(ProtocolError, match=r"eq\. 13"):
        owner.relay.take(signed_for(owner.hops.view(session), output=digest(5)))


def test_what_was_taken_survives_a_restart_under_another_epoch(tmp_path: Path) -> None:
    session = routed()
    before, updates = Owner(tmp_path, session), honest(session, HOPS)
    for signed in updates:
        before.relay.take(signed)
    after = Owner(tmp_path, session)
    assert after.relay.epoch != before.relay.epoch
    assert after.hops.view(session).phase is QueryPhase.COMPUTED
    assert news(after.relay, before.relay.epoch, 3) == (HOPS, updates)


def test_ended_queries_leave_neither_log_nor_journal(tmp_path: Path) -> None:
    first, second = routed(1), routed(2)
    owner = Owner(tmp_path, first, second)
    for signed in [*honest(first, 2), *honest(second, 1)]:
        owner.relay.take(signed)
    epoch = owner.relay.epoch
    owner.relay.forget_ended(owner.end(first))
    assert news(owner.relay, b"", 0) == (3, honest(second, 1))
    assert owner.relay.read(epoch, 3) is None
    assert Owner(tmp_path, first, second).hops.queries() == [second.query]


def test_query_that_was_dropped_by_the_next_arrangement_leaves_nothing_either(tmp_path: Path) -> None:
    """One that stayed at the front would keep the log of all later ones."""
    first, second = routed(1), routed(2)
    owner = Owner(tmp_path, first, second)
    for signed in [*honest(first, 2), *honest(second, 1)]:
        owner.relay.take(signed)
    del owner.state.sessions[first.query]
    owner.relay.forget_ended(owner.state)
    assert len(news(owner.relay, b"", 0)[1]) == 3
    owner.state.newest = 2
    owner.relay.forget_ended(owner.state)
    assert news(owner.relay, b"", 0) == (3, honest(second, 1))


def test_query_that_ends_behind_an_open_one_keeps_places_in_the_log(tmp_path: Path) -> None:
    first, second = routed(1), routed(2)
    owner = Owner(tmp_path, first, second)
    for signed in [*honest(first, 1), *honest(second, 1)]:
        owner.relay.take(signed)
    owner.relay.forget_ended(owner.end(second))
    more = honest(first, 2)[1]
    owner.relay.take(more)
    assert news(owner.relay, owner.relay.epoch, 2) == (3, [more])


def test_long_news_come_in_parts(tmp_path: Path) -> None:
    sessions = [routed(query) for query in range(1, MOST_AT_ONCE + 3)]
    owner = Owner(tmp_path, *sessions)
    for session in sessions:
        owner.relay.take(honest(session, 1)[0])
    count, updates = news(owner.relay, b"", 0)
    assert (count, len(updates)) == (MOST_AT_ONCE, MOST_AT_ONCE)
    count, updates = news(owner.relay, owner.relay.epoch, count)
    assert (count, len(updates)) == (MOST_AT_ONCE + 2, 2)


@pytest.mark.parametrize("data", [b"", b"\x00", encode_news(b"e", 1, [b"x"]), encode_news(b"e", 1, [bytes(4000)])])
def test_malformed_news_are_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode_news(data)


# ---------------------------------------------------------------------- over HTTP


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Owner, str, Session]]:
    session = routed()
    owner, url = Owner(tmp_path, session), free_relay_address()
    with RelayServer(owner.relay, url, address(0x99)).opened(lambda: None):
        yield owner, url, session


def test_worker_hears_at_once_what_another_hands_in(served: tuple[Owner, str, Session]) -> None:
    _, url, session = served
    sender, listener = RelayClient(url, RelayedHops(DOMAIN), address(2)), RelayedHops(DOMAIN)
    heard = threading.Semaphore(0)
    with RelayClient(url, listener, address(2)).opened(heard.release):
        for number, signed in enumerate(honest(session, 3), 1):
            assert sender.send(signed) == ""
            assert heard.acquire()
            assert listener.view(session).next_hop == number


def test_ouroboros_is_woken_and_holds_what_was_handed_in(tmp_path: Path) -> None:
    session, woken = routed(), threading.Semaphore(0)
    owner, url = Owner(tmp_path, session), free_relay_address()
    with RelayServer(owner.relay, url, address(0x99)).opened(woken.release):
        assert RelayClient(url, RelayedHops(DOMAIN), address(2)).send(honest(session, 1)[0]) == ""
        assert woken.acquire()
    assert owner.hops.view(session).next_hop == 1


class Scheduled(Owner):
    """A relay that knows whose turn it is: the signer of hop i is account i + 1, and the ouroboros account 1."""

    def __init__(self, path: Path, *sessions: Session) -> None:
        super().__init__(path, *sessions)
        self.relay = Relay(self.hops, lambda: self.state, Journal(path / "turns.sqlite"), self.turn)

    def turn(self, session: Session) -> Address:
        return address(1 if session.phase is QueryPhase.COMPUTED else session.next_hop + 1)


class Heard:
    """A reader who notes at each news which hop is next."""

    def __init__(self, session: Session) -> None:
        self.hops, self.told = RelayedHops(DOMAIN), queue.SimpleQueue[int]()
        self._session = session

    def note(self) -> None:
        self.told.put(self.hops.view(self._session).next_hop)


def told_in_vain(relay: Relay, monkeypatch: pytest.MonkeyPatch) -> threading.Semaphore:
    """Released for each reader who was given no news; it stands in the server's list by then."""
    read, vain = relay.read, threading.Semaphore(0)

    def noted(epoch: bytes, after: int) -> bytes | None:
        found = read(epoch, after)
        if found is None:
            vain.release()
        return found

    monkeypatch.setattr(relay, "read", noted)
    return vain


@pytest.mark.parametrize("seconds", [0.01, FOREVER])
def test_news_reach_whose_turn_it_is_at_once_and_others_a_little_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    monkeypatch.setattr(relay_server, "LATER_SECONDS", seconds)
    session, url = routed(), free_relay_address()
    owner, due, later, asleep = Scheduled(tmp_path, session), threading.Event(), Heard(session), threading.Event()
    listening = told_in_vain(owner.relay, monkeypatch)
    with (
        RelayServer(owner.relay, url, address(1)).opened(asleep.set),
        RelayClient(url, RelayedHops(DOMAIN), address(2)).opened(due.set),
        RelayClient(url, later.hops, address(3)).opened(later.note),
    ):
        for _ in range(2):
            listening.acquire()
        first, second = honest(session, 2)
        owner.relay.take(first)
        assert due.wait(FOREVER)
        if seconds != FOREVER:
            assert later.told.get() == 1
        owner.relay.take(second)
        assert later.told.get() == 2
        assert not asleep.is_set()


def test_ouroboros_is_woken_when_all_hops_are_in(tmp_path: Path) -> None:
    session, url = routed(), free_relay_address()
    owner, woken = Scheduled(tmp_path, session), threading.Event()
    with RelayServer(owner.relay, url, address(1)).opened(woken.set):
        for signed in honest(session, HOPS)[:-1]:
            owner.relay.take(signed)
        assert not woken.is_set()
        owner.relay.take(honest(session, HOPS)[-1])
        assert woken.wait(FOREVER)


def test_refusal_comes_back_in_words(served: tuple[Owner, str, Session]) -> None:
    _, url, session = served
    assert "hop 0 of attempt 1 is due" in RelayClient(url, RelayedHops(DOMAIN), address(2)).send(honest(session, 2)[1])


def test_relay_that_is_away_is_a_refusal_and_no_error(tmp_path: Path) -> None:
    del tmp_path
    assert "ConnectionError" in RelayClient(free_relay_address(), RelayedHops(DOMAIN), address(2)).send(
        honest(routed(), 1)[0]
    )


def test_worker_catches_up_after_the_relay_was_started_again(tmp_path: Path) -> None:
    session, url = routed(), free_relay_address()
    updates, listener, heard = honest(session, 2), RelayedHops(DOMAIN), threading.Semaphore(0)
    with RelayClient(url, listener, address(2)).opened(heard.release):
        for number, signed in enumerate(updates, 1):
            owner = Owner(tmp_path, session)
            with RelayServer(owner.relay, url, address(0x99)).opened(lambda: None):
                owner.relay.take(signed)
                assert heard.acquire()
                assert listener.view(session).next_hop == number


@pytest.mark.parametrize("data", [b"", b"nonsense", bytes(300)])
def test_nonsense_is_refused_with_one_line(served: tuple[Owner, str, Session], data: bytes) -> None:
    answer = requests.post(f"{served[1]}/updates", data=data, timeout=FOREVER)
    assert answer.status_code == 409
    assert len(answer.text.splitlines()) == 1


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", ""])
def test_page_elsewhere_whose_name_points_here_gets_nothing(served: tuple[Owner, str, Session], host: str) -> None:
    owner, url, session = served
    data = encode_signed_update(honest(session, 1)[0])
    assert requests.post(f"{url}/updates", data=data, headers={"Host": host}, timeout=FOREVER).status_code == 400
    asked = requests.get(f"{url}/updates?epoch=00&after=0", headers={"Host": host}, timeout=FOREVER)
    assert (asked.status_code, asked.content) == (400, REFUSAL)
    assert owner.relay.read(owner.relay.epoch, 0) is None
    assert requests.post(f"{url}/updates", data=data, headers={"Host": "localhost"}, timeout=FOREVER).status_code == 204


def test_large_body_is_refused(served: tuple[Owner, str, Session]) -> None:
    answer = requests.post(f"{served[1]}/updates", data=bytes(LARGEST_UPDATE + 1), timeout=FOREVER)
    assert answer.status_code == 413


@pytest.mark.parametrize("query", ["", "?epoch=zz&after=0", "?epoch=&after=x", "?epoch="])
def test_malformed_question_is_refused(served: tuple[Owner, str, Session], query: str) -> None:
    assert requests.get(f"{served[1]}/updates{query}", timeout=FOREVER).status_code == 400


def test_forged_news_do_not_move_a_worker(served: tuple[Owner, str, Session]) -> None:
    """A relay that makes updates up: their signers open no link of the route."""
    owner, url, session = served
    forged = signed_for(session, signer=7)
    owner.relay._log.append((session.query, encode_signed_update(forged)))
    listener, heard = RelayedHops(DOMAIN), threading.Semaphore(0)
    with RelayClient(url, listener, address(2)).opened(heard.release):
        assert heard.acquire()
        assert listener.view(session) is session


def test_taken_port_is_one_line(served: tuple[Owner, str, Session]) -> None:
    owner, url, _ = served
    with pytest.raises(ConfigError, match="--relay"), RelayServer(owner.relay, url, address(0x99)).opened(lambda: None):
        raise AssertionError("two servers at one port")


@pytest.mark.parametrize("text", ["", "127.0.0.1:1", "https://127.0.0.1:1", "http://127.0.0.1", "http://x:99999"])
def test_address_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="http://"):
        relay_place(text)


def test_answer_of_the_relay_is_sent_at_once_and_not_held_back_for_an_acknowledgment() -> None:
    """Each hop waited 40 ms for its news: asyncio turns Nagle's algorithm off where the socket names its protocol."""
    with _bind(free_relay_address()) as listener, socket.create_connection(listener.getsockname()):
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.proto == socket.IPPROTO_TCP
