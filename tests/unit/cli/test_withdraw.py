"""`deepring withdraw`: the querent's own query after the long deadline; anything else is one line."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from deepring_chain.cli import control
from deepring_chain.ring.folder import Deployment, RingFolder
from deepring_chain.types import Pointer, QueryPhase
from tests.e2e.command import Terminal
from tests.unit.actors.fake_client import FakeClient
from tests.unit.actors.fake_ledger import DOMAIN, FakeLedger
from tests.unit.actors.fake_ring import make_keys

OWNER, QUERENT, OTHER = (make_keys(number) for number in (1, 50, 51))


@pytest.fixture
def ledger() -> FakeLedger:
    """Two queries: the querent's and another one's."""
    found = FakeLedger(OWNER.address)
    for keys in (QUERENT, OTHER):
        FakeClient(found, keys.address).submit_query(Pointer(keys.sealing_public), keys.sealing_public)
    return found


@pytest.fixture
def folder(ledger: FakeLedger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A ring's folder, whose node is `ledger`."""
    deployment = Deployment("http://127.0.0.1:1", DOMAIN.chain_id, DOMAIN.ledger, 1, "00" * 32, str(tmp_path / "store"))
    RingFolder(tmp_path).save_deployment(deployment)
    opened = SimpleNamespace(open=lambda *_: FakeClient(ledger, QUERENT.address))
    monkeypatch.setattr(control, "LedgerClient", opened)
    monkeypatch.setattr(control, "load_keys", lambda *_: QUERENT)
    monkeypatch.setattr(control, "read_password", lambda: "password")
    return tmp_path


def test_own_query_is_withdrawn_after_the_long_deadline(folder: Path, ledger: FakeLedger, terminal: Terminal) -> None:
    assert "DeadlineAhead" in terminal.refusal("withdraw", 1, "--ring", folder)
    ledger.now += 10_000
    assert terminal.said("withdraw", 1, "--ring", folder) == "query 1: withdrawn\n"
    assert [session.phase for session in ledger.state.sessions.values()] == [
        QueryPhase.WITHDRAWN,
        QueryPhase.SUBMITTED,
    ]


def test_query_that_was_withdrawn_is_not_withdrawn_again(folder: Path, ledger: FakeLedger, terminal: Terminal) -> None:
    ledger.now += 10_000
    terminal.said("withdraw", 1, "--ring", folder)
    assert "QueryNotOpen" in terminal.refusal("withdraw", 1, "--ring", folder)


def test_unknown_query_is_one_line(folder: Path, terminal: Terminal) -> None:
    assert "query 3: the ledger has no such query" in terminal.refusal("withdraw", 3, "--ring", folder)


def test_query_of_another_account_is_one_line_that_names_it(
    folder: Path, ledger: FakeLedger, terminal: Terminal
) -> None:
    ledger.now += 10_000
    told = terminal.refusal("withdraw", 2, "--ring", folder)
    assert f"query 2: another account asked it, {OTHER.address}; only that one can give it up" in told
