"""Pages as HTML: templates escape everything, and nothing comes from anywhere but this package."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from deepring_chain.audit.auditor import AuditReport
from deepring_chain.explorer import picture
from deepring_chain.explorer.blobs import Blob, BlobLooker
from deepring_chain.explorer.query_view import Moment, QueryLine, QueryView, view_line, view_query
from deepring_chain.explorer.record import Record
from deepring_chain.explorer.ring_view import view_ring
from deepring_chain.explorer.story import Telling, tell
from deepring_chain.explorer.text import Names, clean, short, utc
from deepring_chain.protocol.events import UpdatePosted
from deepring_chain.types import QueryId

QUERIES_ON_A_PAGE = 25
TELLINGS_ON_A_PAGE = 30
CLASSES_SHOWN = 12


def environment() -> Environment:
    """The templates, with everything escaped and every name needed."""
    made = Environment(
        loader=PackageLoader("deepring_chain.explorer"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    made.filters.update(clean=clean, short=short, utc=utc, hex=lambda value: f"0x{value.hex()}")
    made.globals.update(picture=picture)
    return made


def static_text(name: str) -> str:
    """One of the package's own files."""
    return (resources.files("deepring_chain.explorer") / "static" / name).read_text(encoding="utf-8")


def style_hash(css: str) -> str:
    """How a policy names an inline style sheet: the SHA-256 of its text, in Base64 (CSP Level 3, 8.3)."""
    return f"sha256-{base64.b64encode(hashlib.sha256(css.encode()).digest()).decode()}"


@dataclass(frozen=True)
class Model:
    """What the card says of the model: foreign texts, cut and cleaned."""

    name: str
    classes: str
    blob: Blob


@dataclass(frozen=True)
class Context:
    """What all pages show.

    Attributes:
        record, names, blobs: what was read, how members are called, and the look at the store.
        remarks: troubles of reading, in words.
        where: node and store.
        version: of what is shown.
    """

    record: Record
    names: Names
    blobs: BlobLooker
    remarks: Sequence[str] = ()
    where: str = ""
    version: str = ""

    def common(self) -> dict[str, Any]:
        """What every template may use."""
        return {
            "names": self.names,
            "terms": self.record.terms,
            "remarks": self.remarks,
            "failure": clean(str(self.record.failure)) if self.record.failure else "",
            "where": self.where,
            "version": self.version,
            "model": self.model(),
            "events": len(self.record.items),
            "checks": sum(self.record.checks.values()),
            "time": self.record.items[-1].entry.time if self.record.items else 0,
            "block": self.record.items[-1].entry.logged.block_number if self.record.items else 0,
        }

    def model(self) -> Model | None:
        """The model, from its card in the store; None before one is registered."""
        registered = self.record.state.model
        if registered is None:
            return None
        blob = self.blobs.look(registered.card, as_card=True)
        if blob.card is None:
            return Model("", "", blob)
        classes = [clean(label, 24) for label in blob.card.classes[:CLASSES_SHOWN]]
        more = len(blob.card.classes) - len(classes)
        return Model(clean(blob.card.name, 60), ", ".join(classes) + (f" and {more:,} more" if more else ""), blob)


def ring_page(env: Environment, context: Context, before: int | None = None) -> str:
    """The ring, the queries and the story of the ring, newest first.

    Args:
        env: the templates.
        context: what to show.
        before: show queries older than this one; the newest if None.
    """
    record, names = context.record, context.names
    lines = query_lines(record, names, before)
    return env.get_template("ring.html").render(
        **context.common(),
        ring=view_ring(record, names),
        lines=lines,
        older=lines[-1].query if lines and lines[-1].query > 1 else None,
        story=ring_story(record, names),
    )


def query_page(env: Environment, context: Context, query: QueryId) -> str | None:
    """One query; None if nobody asked it."""
    view = view_query(context.record, query, context.names)
    if view is None:
        return None
    ring = view_ring(context.record, context.names, query)
    return env.get_template("query.html").render(
        **context.common(), view=view, ring=ring, blobs=moment_blobs(context.blobs, view.moments)
    )


def report_page(env: Environment, context: Context, view: QueryView, audit: AuditReport) -> str:
    """One query in one file, which needs nothing else; with the audit's verdict."""
    css = static_text("style.css")
    return env.get_template("report.html").render(
        **context.common(),
        view=view,
        audit=audit,
        css=css,
        css_hash=style_hash(css),
        blobs=moment_blobs(context.blobs, view.moments),
        ring=view_ring(context.record, context.names, view.line.query),
    )


def error_page(env: Environment, status: int, text: str) -> str:
    """What cannot be shown, and why."""
    return env.get_template("error.html").render(status=status, text=text)


def query_lines(record: Record, names: Names, before: int | None) -> list[QueryLine]:
    """The newest queries, or those before one."""
    known = [q for q in record.queries if q in record.state.sessions and (before is None or q < before)]
    return [view_line(record, query, names) for query in reversed(known[-QUERIES_ON_A_PAGE:])]


def ring_story(record: Record, names: Names) -> list[Telling]:
    """What happened last, newest first; single hops are told on their query's page."""
    told: list[Telling] = []
    for item in reversed(record.items):
        telling = None if isinstance(item.entry.event, UpdatePosted) else tell(item.entry, names)
        if telling is not None:
            told.append(telling)
        if len(told) == TELLINGS_ON_A_PAGE:
            break
    return told


def moment_blobs(blobs: BlobLooker, moments: Sequence[Moment]) -> list[Blob]:
    """What lies under each moment's pointer."""
    return [blobs.look(moment.pointer) for moment in moments]
