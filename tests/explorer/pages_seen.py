"""Pages as tests look at them: their elements, the server around a scripted record, and raw requests."""

from __future__ import annotations

import http.client
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from html.parser import HTMLParser
from types import SimpleNamespace

from deepring_chain.explorer.blobs import BlobLooker
from deepring_chain.explorer.record import Record
from deepring_chain.explorer.server import HOST, serving
from deepring_chain.explorer.text import Names
from tests.explorer.scripted import NAMES

VOID = {"meta", "link", "br", "img", "input"}


@dataclass
class Elements(HTMLParser):
    """What a browser would make of a page: its elements with their attributes' names, and its text."""

    tags: list[tuple[str, ...]] = field(default_factory=list)
    attributes: list[tuple[str, str]] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    open: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, *(name for name, _ in attrs)))
        self.attributes.extend((name, value or "") for name, value in attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, *(name for name, _ in attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag, f"</{tag}> closes something else"

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        """All text, with single spaces."""
        return " ".join(" ".join(self.words).split())


def elements(page: str) -> Elements:
    """A page, taken apart; every element must be closed where it should be."""
    found = Elements()
    found.feed(page)
    found.close()
    assert found.open == []
    return found


class ScriptedWatcher:
    """Stands for a `Watcher` over a record that a test has written."""

    def __init__(self, record: Record, blobs: BlobLooker | None = None, names: Names | None = None) -> None:
        self.record, self.blobs = record, blobs or BlobLooker(None)
        self.source = SimpleNamespace(names=NAMES if names is None else names, where="node 127.0.0.1:8545")
        self.remarks: Sequence[str] = ()
        self.version = "1"

    def start(self) -> None:
        """Nothing to read."""

    def stop(self) -> None:
        """Nothing to end."""

    @contextmanager
    def reading(self) -> Iterator[tuple[Record, Sequence[str]]]:
        """The record."""
        yield self.record, self.remarks


@dataclass
class Answer:
    """What the server said."""

    status: int
    headers: dict[str, str]
    body: str


@dataclass
class Site:
    """A server that runs."""

    address: str
    watcher: ScriptedWatcher

    @property
    def port(self) -> int:
        """Its port."""
        return int(self.address.rsplit(":", 1)[1].strip("/"))

    def get(self, path: str, method: str = "GET", **headers: str) -> Answer:
        """One request, to the byte as a hostile client would send it."""
        connection = http.client.HTTPConnection(HOST, self.port)
        try:
            connection.putrequest(method, path, skip_host="Host" in headers)
            for name, value in headers.items():
                connection.putheader(name.replace("_", "-"), value)
            connection.endheaders()
            response = connection.getresponse()
            found = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, found, response.read().decode())
        finally:
            connection.close()


@contextmanager
def site_of(record: Record, blobs: BlobLooker | None = None, names: Names | None = None) -> Iterator[Site]:
    """A server over a scripted record."""
    watcher = ScriptedWatcher(record, blobs, names)
    with serving(watcher, 0) as address:  # type: ignore[arg-type]
        yield Site(address, watcher)
