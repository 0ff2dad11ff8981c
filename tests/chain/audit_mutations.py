"""`make audit-mutations`: each field of each event and each region of each blob changed, one at a time.

A scripted ring on a real node makes a trail that holds every kind of event; it is exported, and every log of the ledger
is changed in the file, word by word, every header and transaction, and every blob in the store, region by region. The
audit must fail on each, at the very place. It goes on from its own state before the changed block, so that thousands of
changes take minutes.
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path

import rlp

from deepring_chain.audit.auditor import NO_OPTIONS, Audit, AuditReport
from deepring_chain.audit.chain import LinkedBlocks
from deepring_chain.audit.names import subject_of
from deepring_chain.audit.progress import AuditState
from deepring_chain.chain.client import LedgerClient
from deepring_chain.chain.connection import connect
from deepring_chain.chain.devnet import Devnet
from deepring_chain.chain.raw_block import RawBlock
from deepring_chain.protocol.events import Event, LoggedEvent
from deepring_chain.store.content import ContentStore
from tests.chain.recorded import Blocks, export_of, open_export, read_lines, record_all
from tests.chain.ring_driver import Ledger, ScriptedRing, account_named, fund
from tests.chain.stored_ring import StoredRing

BLOB_REGIONS = 8
WORD = 32


@dataclass(frozen=True)
class Mutation:
    """One change, and where the audit must find it.

    Attributes:
        name: of what was changed.
        event: the event that was changed, or that points to the changed blob.
        block: with the change.
        log_index: of the event; None if the block's bytes no longer tell.
    """

    name: str
    event: str
    subject: str
    block: RawBlock
    log_index: int | None


@dataclass(frozen=True)
class Trail:
    """A recorded trail, and the audit's state before each of its blocks, in bytes."""

    client: LedgerClient
    store: ContentStore
    blocks: Sequence[RawBlock]
    states: Sequence[bytes | None]
    events: Sequence[LoggedEvent]

    def audit_from(self, index: int, block: RawBlock) -> AuditReport:
        """What an audit finds that comes to `block` in the place of block `index`."""
        known = self.states[index]
        state = AuditState.decode(known) if known is not None else None
        rest = Blocks([block, *self.blocks[index + 1 :]])
        first = self.blocks[0].number
        return Audit(self.client, self.store, first, rest, NO_OPTIONS, state).run()

    def index_of(self, logged: LoggedEvent) -> int:
        """Place in `blocks`."""
        return logged.block_number - self.blocks[0].number


def record(folder: Path) -> Path:
    """Makes the trail and exports it; the node is gone afterwards.

    Returns:
        The export. The store is `folder`/store.
    """
    owner, querent = account_named("owner"), account_named("querent")
    workers = tuple(account_named(f"worker {layer}") for layer in (1, 2, 3))
    with Devnet() as devnet:
        web3 = connect(devnet.url)
        fund(web3, [owner, *workers, querent])
        ring = ScriptedRing(Ledger.deploy(web3, devnet.url, owner), owner, workers)
        stored = StoredRing(ring, folder / "store", querent).register().arrange()
        return export_of(record_all(stored), folder / "history.jsonl.gz")


def read_trail(path: Path) -> Trail:
    """Reads an export, audits it block by block, and keeps every state.

    Raises:
        AuditFailure: the trail is not valid as it is.
    """
    client, file = open_export(path)
    store = ContentStore(str(path.parent / "store"))
    blocks = list(file.blocks(0))
    audit = Audit(client, store, blocks[0].number, Blocks(blocks))
    linked = LinkedBlocks(client, Blocks(blocks), blocks[0].number)
    states: list[bytes | None] = []
    events: list[LoggedEvent] = []
    # The storage is asked for out of turn: what it said at any block, it said at the last one.
    file._reads = {name: value for line in read_lines(path) for name, value in line.get("reads", {}).items()}
    audited = audit._blocks.read()
    for block in linked.read():
        states.append(audit.state().encode() if block.header.number > blocks[0].number else None)
        audit.check(next(audited))
        events.extend(linked.events(block))
    return Trail(client, store, blocks, states, events)


# ---------------------------------------------------------------------- logs
def log_mutations(trail: Trail) -> Iterator[Mutation]:
    """Every topic and every word of data of every log of the ledger, in three ways; and logs that are left out."""
    ledger = bytes.fromhex(trail.client.domain.ledger[2:])
    for raw in trail.blocks:
        firsts = {logged.log_index: logged for logged in reversed(trail.events) if logged.block_number == raw.number}
        indexes = iter(sorted(firsts))
        for receipt_index, receipt in enumerate(raw.receipts or ()):
            typed, parts = receipt[:1], rlp.decode(receipt[1:])
            for index, log in enumerate(parts[3]):
                if log[0] != ledger:
                    continue
                logged = firsts[next(indexes)]
                for name, changed in _changed_logs(log):
                    logs = [*parts[3][:index], *changed, *parts[3][index + 1 :]]
                    body = typed + rlp.encode([*parts[:3], logs])
                    receipts = (*raw.receipts[:receipt_index], body, *raw.receipts[receipt_index + 1 :])  # type: ignore[index]
                    yield _mutation(logged, name, replace(raw, receipts=receipts), is_kept=bool(changed))


def _changed_logs(log: Sequence[bytes | list[bytes]]) -> Iterator[tuple[str, list[list[bytes | list[bytes]]]]]:
    address, topics, data = log
    assert isinstance(topics, list)
    assert isinstance(data, bytes)
    for place, topic in enumerate(topics):
        for how, changed in _changed_words(topic):
            yield f"topic {place} {how}", [[address, [*topics[:place], changed, *topics[place + 1 :]], data]]
    for start in range(0, len(data), WORD):
        for how, changed in _changed_words(data[start : start + WORD]):
            yield f"word {start // WORD} {how}", [[address, topics, data[:start] + changed + data[start + WORD :]]]
    if data:
        yield "cut by a word", [[address, topics, data[:-WORD]]]
    yield "left out", []


def _changed_words(word: bytes) -> Iterator[tuple[str, bytes]]:
    yield "with its first bit flipped", bytes([word[0] ^ 0x80]) + word[1:]
    yield "with its last bit flipped", word[:-1] + bytes([word[-1] ^ 1])
    if any(word):
        yield "zero", bytes(len(word))


def _mutation(logged: LoggedEvent, name: str, block: RawBlock, *, is_kept: bool) -> Mutation:
    kind, subject = type(logged.event).__name__, subject_of(logged.event)
    return Mutation(f"{kind}: {name}", kind, subject, block, logged.log_index if is_kept else None)


def check_log(trail: Trail, mutation: Mutation) -> str | None:
    """What is wrong with the audit of a changed log: None if it fails at the very place."""
    failure = trail.audit_from(mutation.block.number - trail.blocks[0].number, mutation.block).failure
    if failure is None:
        return "passed"
    is_same_block = failure.place.block_number == mutation.block.number
    is_root = "Root of block" in failure.field
    if not is_same_block:
        return f"found at {failure.place}: {failure}"
    if is_root or mutation.log_index is None:
        # Nothing contradicts the new value but what was mined: the block's events are named.
        return None if mutation.log_index is None or mutation.event in failure.field else f"named wrongly: {failure}"
    named = failure.place.log_index == mutation.log_index
    return None if named else f"named wrongly: {failure}"


# ---------------------------------------------------------------------- headers and transactions
def block_mutations(trail: Trail) -> Iterator[tuple[str, int, RawBlock]]:
    """Every field of every header, every transaction, and every claimed hash."""
    for index, raw in enumerate(trail.blocks):
        parts = rlp.decode(raw.header)
        for place, value in enumerate(parts):
            changed = value[:-1] + bytes([value[-1] ^ 1]) if value else b"\x01"
            header = rlp.encode([*parts[:place], changed, *parts[place + 1 :]])
            yield f"header field {place}", index, replace(raw, header=header)
        for place, encoded in enumerate(raw.transactions or ()):
            assert raw.transactions is not None
            flipped = encoded[:-1] + bytes([encoded[-1] ^ 1])
            transactions = (*raw.transactions[:place], flipped, *raw.transactions[place + 1 :])
            yield f"transaction {place}", index, replace(raw, transactions=transactions)


# ---------------------------------------------------------------------- blobs
def blob_mutations(trail: Trail) -> Iterator[tuple[str, LoggedEvent, Path, bytes | None]]:
    """Every region of every blob changed, and the blob cut, lengthened and deleted, at its first event."""
    files = {path.name: path for path in Path(trail.store.url).rglob("*") if path.is_file()}
    pointers: dict[str, LoggedEvent] = {}
    for logged in trail.events:
        for name in files:
            if name not in pointers and bytes.fromhex(name) in _digests(logged.event):
                pointers[name] = logged
    for name, logged in pointers.items():
        data = files[name].read_bytes()
        step = max(1, len(data) // BLOB_REGIONS)
        for start in range(0, len(data), step):
            yield f"byte {start}", logged, files[name], data[:start] + bytes([data[start] ^ 1]) + data[start + 1 :]
        yield "cut", logged, files[name], data[:-1]
        yield "longer", logged, files[name], data + b"\0"
        yield "deleted", logged, files[name], None


def _digests(event: Event) -> set[bytes]:
    found: set[bytes] = set()
    for item in fields(event):
        value = getattr(event, item.name)
        if is_dataclass(value):
            found |= _digests(value)  # type: ignore[arg-type]
        elif isinstance(value, bytes) and len(value) == WORD:
            found.add(value)
    return found


def check_blob(trail: Trail, logged: LoggedEvent, path: Path, changed: bytes | None) -> str | None:
    """How the audit of a changed blob named the event that points to it; None if it did not."""
    original, index = path.read_bytes(), trail.index_of(logged)
    try:
        path.unlink()
        if changed is not None:
            path.write_bytes(changed)
        report = trail.audit_from(index, trail.blocks[index])
    finally:
        path.write_bytes(original)
    failure = report.failure
    if failure is not None:
        is_right = failure.subject == subject_of(logged.event) and path.name in str(failure)
        return "blobs" if is_right else None
    # What the trail itself disputes, or what nobody accepted, is a remark: the ring has dealt with it.
    is_remarked = any(path.name in remark for remark in report.remarks)
    return "blobs that the ring refused itself: named in a remark" if is_remarked else None


# ---------------------------------------------------------------------- all of it
@dataclass
class Tally:
    """How many changes of each kind were found, and those that were not."""

    found: Counter[str]
    missed: list[str]

    def take(self, kind: str, name: str, wrong: str | None) -> None:
        """Counts one change."""
        if wrong is None:
            self.found[kind] += 1
        else:
            self.missed.append(f"{name}: {wrong}")


def run_all(trail: Trail, every: int = 1, tell: Callable[[str], object] = lambda _line: None) -> Tally:
    """Makes every change, or one of `every`."""
    tally = Tally(Counter(), [])
    for number, mutation in enumerate(log_mutations(trail)):
        if number % every == 0:
            tally.take(mutation.event, f"{mutation.name} of {mutation.subject}", check_log(trail, mutation))
    tell(f"{sum(tally.found.values())} changes of events found")
    for number, (name, index, block) in enumerate(block_mutations(trail)):
        if number % every == 0:
            failure = trail.audit_from(index, block).failure
            at_block = failure is not None and failure.place.block_number == block.number
            tally.take(
                "headers and transactions", f"{name} of block {block.number}", None if at_block else str(failure)
            )
    for number, (name, logged, path, changed) in enumerate(blob_mutations(trail)):
        if number % every == 0:
            how = check_blob(trail, logged, path, changed)
            what = f"{name} of {subject_of(logged.event)}'s blob"
            tally.take(how or "", what, None if how else "passed, or named wrongly")
    return tally


def main() -> int:
    """Records a trail, changes all of it, prints what was found; exit code 1 if anything was not."""
    with tempfile.TemporaryDirectory() as folder:
        trail = read_trail(record(Path(folder)))
        kinds = Counter(type(logged.event).__name__ for logged in trail.events)
        print(
            f"the untouched trail passes: {len(trail.blocks)} blocks, {len(trail.events)} events of {len(kinds)} kinds"
        )
        tally = run_all(trail)
    for kind, number in sorted(tally.found.items()):
        print(f"  {number:6} changes found: {kind}")
    for line in tally.missed:
        print(f"  NOT FOUND at its place: {line}")
    print(f"{sum(tally.found.values())} of {sum(tally.found.values()) + len(tally.missed)} changes found and named")
    return 1 if tally.missed else 0


if __name__ == "__main__":
    sys.exit(main())
