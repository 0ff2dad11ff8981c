"""Strings and stores of people who mean harm: they are shown, or said to be unreadable, and nothing else happens."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from deepring_chain.cli.trail import print_trail
from deepring_chain.errors import StoreError
from deepring_chain.explorer.blobs import LARGEST_BLOB, Blob, BlobLooker, BlobState, read_blob
from deepring_chain.explorer.pages import environment, query_page, ring_page
from deepring_chain.explorer.record import Record
from deepring_chain.explorer.text import clean
from deepring_chain.model.card import ModelCard
from deepring_chain.protocol.events import ModelRegistered
from deepring_chain.store.content import BlobCorrupt, BlobMissing, BlobTooLarge, BlobUnreadable, ContentStore
from deepring_chain.types import Digest, Pointer, QueryId
from tests.explorer.pages_seen import elements, site_of
from tests.explorer.scripted import NAMES, ScriptedTrail, changed, record_of, ring
from tests.waiting import FOREVER, processor_seconds, wait_until

HOSTILE = {
    "script": "<script>window.harmed=1</script>",
    "image": '"><img src=x onerror="window.harmed=1">',
    "attribute": 'x\' onmouseover=\'window.harmed=1\' y=" onfocus="window.harmed=1" autofocus="',
    "end of title": "</title></style></svg></textarea><script>window.harmed=1</script>",
    "comment": "<!-- <b> --><svg/onload=window.harmed=1>",
    "template": "{{ 7 * 7 }}{% raw %}{{ names.__class__ }}",
    "address": "javascript:window.harmed=1",
    "turned around": "\u202egnihtyreve si enif\u202c\u200b\ufeff",
    "controls": "\x00\x08\x1b[31m\r\n\x7f\x85\u2028",
    "surrogate": "\ud800\udfff",
    "entities": "&lt;script&gt;&#60;b&#62;&amp;",
    "long": "<b>" * 100_000,
}


def tampered(changed_text: str) -> ScriptedTrail:
    """A ring whose restored worker reports a text of its own choice; and a query."""
    script = ring()
    script.arrange(tampered=(2,))
    script.attest(0, 1, 2, 3)
    script.order_restore(2)
    script.attest(2)
    script.report_restore(2, changed=changed_text[:80])  # the ledger takes 256 bytes
    script.submit().open_route().post().post().post().post().deliver()
    return script


def looking_at(blob: Blob) -> BlobLooker:
    """A look at the store that finds one and the same under every pointer."""
    return OneBlob(blob)


class OneBlob(BlobLooker):
    """Finds one and the same under every pointer."""

    def __init__(self, blob: Blob) -> None:
        super().__init__(None)
        self.blob = blob

    def look(self, pointer: Pointer | None, *, as_card: bool = False) -> Blob:  # noqa: ARG002
        return self.blob


def pages(text: str, record: Record | None = None) -> list[str]:
    """All pages with one text wherever a stranger can put one."""
    card = ModelCard(text, (4,), 0.5, 0, (text, text), 0.25, 3, {text: text})
    shown = record or record_of(tampered(text))
    names = dict.fromkeys(NAMES, text)
    context = changed(shown, blobs=looking_at(Blob(BlobState.GOOD, 3, card)), names=names, remarks=[clean(text)])
    env = environment()
    query = query_page(env, context, QueryId(1))
    assert query is not None
    return [ring_page(env, context), query]


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_text_adds_no_element_and_no_attribute(text: str) -> None:
    harmless = [elements(page).tags for page in pages("harmless")]
    for page, tags in zip(pages(text), harmless, strict=True):
        assert elements(page).tags == tags
        assert "window.harmed=1</script>" not in page
        assert len(page) < 200_000


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_shown_text_is_one_line_without_hidden_characters(text: str) -> None:
    shown = clean(text)
    assert len(shown) <= 300
    assert not set(shown) & set("\x00\x08\x1b\r\n\x7f\x85\u2028\u202e\u202c\u200b\ufeff\ud800")
    shown.encode()


def test_hostile_text_is_shown_as_what_it_is() -> None:
    for page in pages("<b>bold</b>")[:1]:
        assert "What had changed: <b>bold</b>." in elements(page).text


def test_report_of_a_worker_in_markup_does_not_break_the_trail_command(capsys: pytest.CaptureFixture[str]) -> None:
    record = record_of(tampered("[/red] [link=x]y[/link]"))
    print_trail([item.entry for item in record.items], NAMES)
    assert "had changed: [/red] [link=x]y[/link]" in capsys.readouterr().out


@pytest.mark.parametrize("seconds", [2**64 - 1, 2**62, -(2**40)])
def test_time_that_no_calendar_has_is_shown_as_a_number(seconds: int) -> None:
    record = record_of(tampered("x"))
    for index, item in enumerate(record.items):
        record.items[index] = replace(item, entry=replace(item.entry, time=seconds))
    assert str(seconds) in pages("x", record)[0]


# ---------------------------------------------------------------- stores


class HostileStore(ContentStore):
    """A store that does what a test wants."""

    def __init__(self, behavior: object) -> None:
        super().__init__("memory://hostile")
        self.behavior = behavior

    def get(self, digest: Digest, max_bytes: int | None = None) -> bytes:
        if callable(self.behavior):
            return bytes(self.behavior(digest, max_bytes))
        if isinstance(self.behavior, Exception):
            raise self.behavior
        assert isinstance(self.behavior, bytes)
        return self.behavior


POINTER = Pointer(Digest(bytes([7]) * 32))

FAILURES = [
    (BlobMissing(POINTER, "x"), BlobState.MISSING),
    (BlobCorrupt(POINTER, POINTER, "x"), BlobState.DAMAGED),
    (BlobTooLarge(POINTER, 10**12, 1, "x"), BlobState.LARGE),
    (BlobUnreadable(POINTER, "a directory lies there", "x"), BlobState.OBSTRUCTED),
    (StoreError("no"), BlobState.UNREADABLE),
    (RuntimeError("a driver's own"), BlobState.UNREADABLE),
    (MemoryError(), BlobState.UNREADABLE),
]


@pytest.mark.parametrize(("failure", "state"), FAILURES, ids=lambda value: type(value).__name__)
def test_failing_store_is_said_in_words_and_ends_nothing(failure: Exception, state: BlobState) -> None:
    looker = BlobLooker(HostileStore(failure))
    assert looker.look(POINTER).state is BlobState.WAITING
    looker.wait(FOREVER)
    assert looker.look(POINTER).state is state
    other = Digest(bytes([8]) * 32)
    looker.look(Pointer(other))
    looker.wait(FOREVER)
    assert looker.look(Pointer(other)).state is state


@pytest.fixture
def release() -> Iterator[threading.Event]:
    """Lets a store that hangs go on at the end."""
    event = threading.Event()
    yield event
    event.set()


def test_store_that_never_answers_delays_no_page_and_is_said_to_be_slow(release: threading.Event) -> None:
    looker = BlobLooker(HostileStore(lambda _digest, _max: release.wait() and b""), slow_seconds=0.05)
    script = ring()
    for _ in range(5):
        script.submit().open_route().post().post().post().post().deliver()
    with site_of(record_of(script), looker) as site:
        for query in range(1, 6):
            assert site.get(f"/query/{query}").status == 200
        wait_until(lambda: "the store does not answer" in elements(site.get("/query/1").body).text)
    assert not release.is_set()  # the store still hangs


def test_one_slow_blob_does_not_hide_the_others(release: threading.Event) -> None:
    slow = Digest(bytes([1]) * 32)
    looker = BlobLooker(HostileStore(lambda digest, _max: (release.wait() and b"") if digest == slow else b"x"))
    looker.look(Pointer(slow))
    looker.look(POINTER)
    await_state(looker, BlobState.GOOD)


def test_ever_more_pointers_do_not_pile_up(release: threading.Event) -> None:
    looker = BlobLooker(HostileStore(lambda _digest, _max: release.wait() and b""))
    with processor_seconds(5):
        for number in range(10_000):
            looker.look(Pointer(Digest(number.to_bytes(32, "big"))))
    assert 0 < sum(thread.name == "blobs" for thread in threading.enumerate()) < 60


def test_lost_blob_that_comes_back_is_seen_again() -> None:
    now = [0.0]
    store = HostileStore(BlobMissing(POINTER, "x"))
    looker = BlobLooker(store, clock=lambda: now[0])
    looker.look(POINTER)
    await_state(looker, BlobState.MISSING)
    before = looker.version
    store.behavior = b"back"
    assert looker.look(POINTER).state is BlobState.MISSING
    now[0] = 60.0
    await_state(looker, BlobState.GOOD)
    assert looker.version > before


def await_state(looker: BlobLooker, state: BlobState) -> None:
    wait_until(lambda: looker.look(POINTER).state is state, state.name)


def test_huge_file_and_wrong_bytes_in_a_real_store_are_not_taken_in(tmp_path: Path) -> None:
    store = ContentStore(str(tmp_path))
    good, wrong, huge = (store.put(data) for data in (b"good", b"wrong", b"huge"))
    (tmp_path / wrong.hex()[:2] / wrong.hex()).write_bytes(b"other")
    with (tmp_path / huge.hex()[:2] / huge.hex()).open("wb") as file:
        file.truncate(2**40)  # sparse: a terabyte that takes no room
    assert read_blob(store, good) == Blob(BlobState.GOOD, 4)
    assert read_blob(store, wrong).state is BlobState.DAMAGED
    assert read_blob(store, huge) == Blob(BlobState.LARGE, 2**40)
    assert LARGEST_BLOB < 2**40


@pytest.mark.parametrize(
    "content", [b"", b"\xff" * 100, b"<script>", ModelCard("n", (1,), 0.5, 0, ("a",), 0.5, 1).encode()[:-1]]
)
def test_card_that_is_none_is_said_to_be_unreadable(content: bytes, tmp_path: Path) -> None:
    store = ContentStore(str(tmp_path))
    pointer = store.put(content)
    script = ring()
    record = record_of(script)
    assert isinstance(record.state.model, ModelRegistered)
    record.state.model = replace(record.state.model, card=pointer)
    looker = BlobLooker(store)
    looker.look(pointer, as_card=True)
    looker.wait(FOREVER)
    with site_of(record, looker) as site:
        assert "Model: its card is" in elements(site.get("/").body).text


def test_card_with_a_million_classes_is_cut(tmp_path: Path) -> None:
    card = ModelCard("many", (4,), 0.5, 0, tuple(f"class {number}" for number in range(1_000)), 0.25, 3)
    looker = looking_at(Blob(BlobState.GOOD, 1, card))
    with site_of(record_of(ring()), looker) as site:
        text = elements(site.get("/").body).text
    assert "class 11 and 988 more" in text
    assert "class 12," not in text
