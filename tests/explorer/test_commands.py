"""`deepring explorer` and `deepring report` as they are typed."""

from __future__ import annotations

import http.client
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from deepring_chain.ring.folder import Deployment, RingFolder
from deepring_chain.types import ComplaintKind
from tests.chain.ring_driver import named
from tests.chain.stored_ring import StoredRing, answer_one, open_client
from tests.e2e.command import DEEPRING, Terminal, descendants, environment
from tests.e2e.live_ring import await_ended
from tests.explorer.pages_seen import elements
from tests.waiting import wait_until


def place(stored: StoredRing) -> list[object]:
    """The options that name a ledger without a ring's folder."""
    ledger = stored.ring.ledger
    where = ["--rpc", ledger.url, "--ledger", ledger.address, "--first-block", ledger.first_block]
    return [*where, "--store", stored.folder]


@pytest.fixture
def folder(stored: StoredRing, tmp_path: Path) -> Path:
    """Of a ring that is deployed where `stored` is: addresses and nothing else, no key in it."""
    client, ledger = open_client(stored), stored.ring.ledger
    block_hash = client.block_at(ledger.first_block).block_hash.hex()
    path = tmp_path / "ring"
    path.mkdir()
    chain = client.domain.chain_id
    deployment = Deployment(ledger.url, chain, ledger.address, ledger.first_block, block_hash, str(stored.folder))
    RingFolder(path).save_deployment(deployment)
    return path


# ---------------------------------------------------------------- report


def test_report_is_one_file_that_needs_nothing_else(stored: StoredRing, terminal: Terminal, tmp_path: Path) -> None:
    answer_one(stored)
    path = tmp_path / "one.html"
    assert terminal.said("report", 1, "--out", path, *place(stored)) == f"{path}: query 1, delivered\n"
    page = path.read_text()
    found = elements(page)
    assert not [value for name, value in found.attributes if name in {"src", "href"} and value != "#main"]
    assert {tag for tag, *_ in found.tags} & {"script", "link", "img", "iframe", "object"} == set()
    assert "http-equiv" in page
    for part in ("The audit passed.", "Query 1: delivered", "hop 2", "what an audit without keys cannot check"):
        assert part in found.text
    for name in ("envelope 1/1/2", "answer 1/1", "input 1"):
        assert f"0x{stored.pointers[name].hex()}" in found.text
    assert found.text.count("in the store, and its bytes hash to the pointer") == 7


def test_report_tells_a_dispute_and_what_became_of_it(stored: StoredRing, terminal: Terminal, tmp_path: Path) -> None:
    query = stored.submit().open_route().advance(1)
    query.complain(kind=ComplaintKind.ALTERED)
    query.judge()
    path = tmp_path / "dispute.html"
    terminal.said("report", 1, "--out", path, *place(stored))
    text = elements(path.read_text()).text
    assert "Query 1: interrupted" in text
    assert "something else than what was committed to" in text
    assert "hop 0 is guilty, hop 1 is acquitted" in text


def test_report_of_a_record_that_does_not_hold_is_written_and_fails(
    stored: StoredRing, terminal: Terminal, tmp_path: Path
) -> None:
    answer_one(stored)
    for name in ("route notes 1/1", "envelope 1/1/2"):
        stored.file_of(name).unlink()
    path = tmp_path / "lost.html"
    error = terminal.refusal("report", 1, "--out", path, *place(stored))
    assert "2 faults, the first: query 1: RouteOpened.notes" in error
    text = elements(path.read_text()).text
    assert "The audit failed." in text
    assert "query 1, hop 2: UpdatePosted.signed.update.envelope is wrong" in text
    assert "not in the store" in text


def test_report_from_a_ring_folder_without_any_key(folder: Path, stored: StoredRing, terminal: Terminal) -> None:
    answer_one(stored)
    path = folder / "one.html"
    assert "delivered" in terminal.said("report", 1, "--out", path, "--ring", folder)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"--ledger": None}, "without a ring's folder, give all three"),
        ({"--rpc": None}, "without a ring's folder, give all three"),
        ({"--store": None}, "--store: the audit in a report reads blobs"),
        ({"--ledger": "0x12"}, "--ledger 0x12: not an address"),
        ({"--ledger": f"0x{named('nobody')[:20].hex()}"}, "no contract at"),
        ({"--first-block": 10**9}, "no block 1000000000"),
        ({"--rpc": "http://127.0.0.1:1"}, "no node answers"),
    ],
)
def test_bad_option_is_one_error_line(
    stored: StoredRing, terminal: Terminal, tmp_path: Path, changed: dict[object, object], said: str
) -> None:
    given = place(stored)
    values: dict[object, object] = {**dict(zip(given[::2], given[1::2], strict=True)), **changed}
    options = [part for name, value in values.items() if value is not None for part in (name, value)]
    path = tmp_path / "report.html"
    assert said in terminal.refusal("report", 1, "--out", path, *options)
    assert not path.exists()


def test_report_of_an_unknown_query_is_refused(stored: StoredRing, terminal: Terminal, tmp_path: Path) -> None:
    assert "has no such query" in terminal.refusal("report", 9, "--out", tmp_path / "x.html", *place(stored))


def test_report_and_export_to_a_folder_that_is_not_there_are_refused_before_the_node_is_asked(
    terminal: Terminal, tmp_path: Path
) -> None:
    nowhere = ["--rpc", "http://127.0.0.1:1", "--ledger", "0x" + "11" * 20, "--first-block", 1]
    absent = tmp_path / "absent" / "file"
    for command in (["report", 1, "--out", absent, "--store", tmp_path], ["export", absent]):
        assert f"there is no folder {absent.parent}; make it" in terminal.refusal(*command, *nowhere)
    for command in (["report", 1, "--out", tmp_path, "--store", tmp_path], ["export", tmp_path]):
        assert f"{tmp_path}: is a folder; name the file to write" in terminal.refusal(*command, *nowhere)
    assert list(tmp_path.iterdir()) == []


def test_report_to_a_place_that_cannot_be_written_is_refused(stored: StoredRing, terminal: Terminal) -> None:
    answer_one(stored)
    assert "cannot be written" in terminal.refusal("report", 1, "--out", "/dev/null/report.html", *place(stored))


# ---------------------------------------------------------------- explorer


@contextmanager
def explorer_up(*arguments: object) -> Iterator[str]:
    """The command in a process of its own until Ctrl-C, after which nothing of it is left; yields its address."""
    process = subprocess.Popen(
        [str(part) for part in (DEEPRING, "explorer", "--port", 0, *arguments)],
        env=environment(DEEPRING_PASSWORD=None),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("explorer is up: http://127.0.0.1:"), process.communicate()
        family = descendants(process.pid)
        yield line.split(": ", 1)[1].split(";")[0]
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate()
        assert (process.returncode, output) == (0, "explorer is down\n"), errors
        assert "Traceback" not in errors
        await_ended(family)
    finally:
        process.kill()
        process.wait()


def text_at(address: str) -> str:
    """What the page at an address says."""
    connection = http.client.HTTPConnection(address.removeprefix("http://").strip("/"))
    connection.request("GET", "/")
    response = connection.getresponse()
    assert response.status == 200
    text = elements(response.read().decode()).text
    connection.close()
    return text


def await_text(address: str, part: str) -> None:
    """Waits until the page says something."""
    wait_until(lambda: part in text_at(address), part)


def test_explorer_needs_addresses_alone_and_ends_at_ctrl_c(stored: StoredRing) -> None:
    answer_one(stored)
    with explorer_up(*place(stored)) as address:
        await_text(address, "query 1 delivered")


def test_demo_makes_its_own_ring_asks_it_and_leaves_nothing_behind() -> None:
    with explorer_up("--demo") as address:
        await_text(address, "query 1 delivered")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--ring", "/nowhere"), "/nowhere"),
        (("--demo", "--rpc", "http://127.0.0.1:1"), "--demo makes its own ring"),
        (("--rpc", "http://127.0.0.1:1", "--ledger", "0x12", "--first-block", "0"), "not an address"),
        (("--rpc", "file:///etc/passwd", "--ledger", f"0x{'00' * 20}", "--first-block", "0"), "not an http"),
    ],
)
def test_explorer_of_nothing_is_one_error_line(terminal: Terminal, arguments: tuple[str, ...], said: str) -> None:
    assert said in terminal.refusal("explorer", *arguments)


def test_port_that_is_taken_is_one_error_line(stored: StoredRing, terminal: Terminal) -> None:
    port = stored.ring.ledger.url.rsplit(":", 1)[1]
    assert f"port {port}: " in terminal.refusal("explorer", "--port", port, *place(stored))
