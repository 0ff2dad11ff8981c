"""The server: who may ask, what it answers, and what a browser may do with that."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from contextlib import suppress

import pytest

from deepring_chain.errors import ConfigError
from deepring_chain.explorer.server import HOST, bind
from deepring_chain.types import Digest, OutputCommitment
from tests.explorer.pages_seen import Site, elements, site_of
from tests.explorer.scripted import full_trail, record_of, ring


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """A ring with a delivered, a disputed and a running query."""
    script = ring()
    script.submit().open_route().post().post().post().post().deliver()
    script.submit().open_route().post().post().contradict(OutputCommitment(Digest(bytes(range(32)))))
    script.submit().open_route().post()
    with site_of(record_of(script)) as running:
        yield running


PATHS = ["/", "/?before=2", "/query/1", "/query/2", "/query/3", "/static/live.js", "/static/style.css", "/nowhere"]


@pytest.mark.parametrize("path", PATHS)
def test_every_answer_forbids_foreign_content_and_framing(site: Site, path: str) -> None:
    headers = site.get(path).headers
    policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert {policy[name] for name in ("script-src", "style-src", "connect-src", "img-src")} == {"'self'"}
    assert {policy[name] for name in ("base-uri", "form-action", "frame-ancestors")} == {"'none'"}
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert "access-control-allow-origin" not in headers
    assert "server" not in headers


@pytest.mark.parametrize("path", ["/", "/query/1", "/query/2", "/nowhere"])
def test_pages_have_no_inline_script_or_style_and_name_no_other_place(site: Site, path: str) -> None:
    page = site.get(path).body
    found = elements(page)
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|javascript:|https?:", page)
    assert not [name for name, _ in found.attributes if name.startswith("on") or name == "style"]
    linked = [value for name, value in found.attributes if name in {"src", "href"}]
    assert all(value.startswith(("/", "#main")) and not value.startswith("//") for value in linked)


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8620", "127.0.0.1.evil.example", "", "[::1]", "10.0.0.1"]
)
def test_foreign_host_name_gets_nothing(site: Site, host: str) -> None:
    answer = site.get("/", Host=host)
    assert answer.status == 400
    assert "Ring" not in answer.body
    assert "ouroboros" not in answer.body


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "localhost:1234"])
def test_own_names_are_served(site: Site, host: str) -> None:
    assert site.get("/", Host=host).status == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_nothing_can_be_changed(site: Site, method: str) -> None:
    assert site.get("/", method).status == 405


@pytest.mark.parametrize("name", ["0", "-1", "4", "x", "1.5", "9" * 30, "9" * 6000, "%00", "1%2f..", "\N{DIGIT ONE}x"])
def test_query_that_is_not_there_is_a_plain_page(site: Site, name: str) -> None:
    answer = site.get(f"/query/{name}")
    assert answer.status == 404
    assert "Traceback" not in answer.body
    elements(answer.body)


@pytest.mark.parametrize(
    "name", ["server.py", "..%2fserver.py", "%2e%2e/server.py", "../server.py", "%2fetc%2fpasswd", ""]
)
def test_no_file_but_its_own_is_served(site: Site, name: str) -> None:
    assert site.get(f"/static/{name}").status == 404


@pytest.mark.parametrize("before", ["", "x", "-1", "0", "9" * 40, "1e9"])
def test_bad_page_number_shows_the_ring_all_the_same(site: Site, before: str) -> None:
    assert site.get(f"/?before={before}").status == 200


def test_page_that_did_not_change_is_answered_without_a_body(site: Site) -> None:
    version = site.get("/").headers["etag"]
    same = site.get("/", If_None_Match=version)
    assert (same.status, same.body) == (304, "")
    site.watcher.version = "2"
    assert site.get("/", If_None_Match=version).status == 200


def test_oversized_request_is_refused_and_the_next_one_is_served(site: Site) -> None:
    with suppress(ConnectionError):  # it may hang up before all of it is sent
        assert site.get("/", Cookie="x" * 4_000_000).status == 400
    assert site.get("/").status == 200


def test_clients_that_say_nothing_do_not_keep_others_from_their_pages(site: Site) -> None:
    silent = [socket.create_connection((HOST, site.port)) for _ in range(30)]
    try:
        assert site.get("/").status == 200
    finally:
        for connection in silent:
            connection.close()


def test_it_listens_on_the_loopback_interface_only() -> None:
    with bind(0) as listener:
        assert listener.getsockname()[0] == "127.0.0.1"


def test_port_that_is_taken_is_one_clear_line(site: Site) -> None:
    with socket.create_server((HOST, 0)) as taken, pytest.raises(ConfigError, match=r"^port \d+: .*; name another"):
        bind(taken.getsockname()[1])


def test_ring_page_shows_lamp_seats_queries_and_their_phases(site: Site) -> None:
    text = elements(site.get("/").body).text
    for part in (
        "Authenticity ON: every block proved that its parameters are unchanged.",
        "Query 2: Hops 1 and 2 are in dispute: the ouroboros must judge.",
        "query 1 delivered",
        "query 2 disputed",
        "query 3 routed Hop 1 of 3 runs, signer not yet known.",
        "The output of hop 2 is not what hop 1 said it must be (eq. 13)",
        "worker-3",
    ):
        assert part in text


def test_query_page_shows_each_hop_with_signer_digests_gas_and_checks(site: Site) -> None:
    record = site.watcher.record
    text = elements(site.get("/query/1").body).text
    for part in (
        "hop 2 worker-2 done",
        "gas 70,000",
        "signatures (1)",
        "expected outputs (eq. 13) (1)",
        "Its output is what hop 1",
    ):
        assert part in text
    for item in record.of_query(record.queries[0])[1:]:
        assert f"0x{item.entry.logged.transaction_hash.hex()}" in text


def test_troubles_of_reading_stand_on_every_page(site: Site) -> None:
    site.watcher.remarks = ["http://node: no node answers"]
    try:
        for path in ("/", "/query/1"):
            assert "no node answers" in elements(site.get(path).body).text
    finally:
        site.watcher.remarks = ()


def test_broken_record_is_said_on_every_page_and_at_the_wrong_entry() -> None:
    script = ring()
    script.submit().open_route().post().post()
    sent, event = script.calls.pop(-2)
    script.calls.append((sent, event))
    with site_of(record_of(script)) as site:
        for path in ("/", "/query/1"):
            assert (
                "The record breaks the protocol; nothing after this was checked:" in elements(site.get(path).body).text
            )
        assert "The record is wrong here:" in elements(site.get("/query/1").body).text


def test_every_query_of_a_full_trail_has_a_page() -> None:
    record = record_of(full_trail())
    with site_of(record) as site:
        for query in record.queries:
            answer = site.get(f"/query/{query}")
            assert answer.status == 200
            elements(answer.body)
        elements(site.get("/").body)


def test_explorer_without_a_store_says_so(site: Site) -> None:
    assert "its card is not looked at: no store was named" in elements(site.get("/").body).text
    assert "not looked at: no store was named" in elements(site.get("/query/1").body).text


def test_empty_ledger_has_a_page() -> None:
    with site_of(record_of([])) as site:
        text = elements(site.get("/").body).text
    assert "The ring is not seated yet." in text
    assert "Nobody has asked anything yet." in text


def test_many_queries_are_listed_page_by_page() -> None:
    script = ring()
    for _ in range(60):
        script.submit()
    with site_of(record_of(script)) as site:
        path, seen = "/", []
        while path:
            page = site.get(path).body
            seen += [int(number) for number in re.findall(r"<b>query (\d+)</b>", page)]
            older = re.search(r'href="(/\?before=\d+)"', page)
            path = older.group(1) if older else ""
    assert seen == list(range(60, 0, -1))
