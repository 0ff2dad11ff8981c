"""`make hostile-calls`: what members do to end the audit, at random; then honest queries, and an audit to the end.

A scripted ring on a real node. Querents, seated workers, a standby and a stranger call the ledger by themselves,
through a contract, and through accounts that run code (EIP-7702). They point to nothing, to garbage and to folders, lay
values out as no program does, hide calls in calls, and damage blobs. The audit must read to the newest block, find the
trail's logic right, and name those faults, and no others, that were planted.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass, field
from pathlib import Path

from eth_account.signers.local import LocalAccount
from eth_utils import function_signature_to_4byte_selector

from deepring_chain.audit.auditor import AuditReport
from deepring_chain.audit.inputs import DEEPEST
from deepring_chain.chain.client import LedgerClient
from deepring_chain.chain.connection import connect
from deepring_chain.chain.devnet import Devnet
from deepring_chain.chain.settlement import LedgerCall
from deepring_chain.crypto.signing import sign_message
from deepring_chain.protocol.trail import start_trail
from deepring_chain.types import ZERO, Address, ComplaintKind, Digest, Pointer, QueryPhase, Question, RejectReason
from tests.chain.clock import Clock
from tests.chain.indirect import calling_code, delegate, deploy_forwarder, encode_forward, redirect, send_raw
from tests.chain.ring_driver import Ledger, ScriptedRing, account_named, address_of, fund, named, sealing_key_of
from tests.chain.stored_ring import StoredQuery, StoredRing, audit_of, envelope_of

CONTENT = (ComplaintKind.UNREADABLE, ComplaintKind.ALTERED)
REPORT = "reportRestore(uint16,string)"
LATER = 3
"""So many honest queries come last."""

ENVELOPE = "UpdatePosted.signed.update.envelope"
EVIDENCE = "EnvelopeDisputed.complaint.evidence"


@dataclass
class HostileRing:
    """A ring among members who do what they like.

    Attributes:
        stored: the ring and its store.
        random: chooses.
        outsiders: a standby, querents and a stranger; none has a seat.
        contract: a `Forwarder`.
        delegated: accounts that run its code.
        planted: the faults that the audit must name: subject and field.
        delivered: how many queries were answered.
        made: how often each kind of act was made.
    """

    stored: StoredRing
    random: random.Random
    outsiders: tuple[LocalAccount, ...]
    contract: Address
    delegated: frozenset[str]
    planted: set[tuple[str, str]] = field(default_factory=set)
    delivered: int = 0
    made: Counter[str] = field(default_factory=Counter)
    sound: dict[str, tuple[str, str]] = field(default_factory=dict)

    @classmethod
    def build(cls, stored: StoredRing, outsiders: tuple[LocalAccount, ...], seed: int) -> HostileRing:
        """Delegates every other account, the owner's too."""
        web3, ring = stored.ring.ledger.web3, stored.ring
        contract = deploy_forwarder(web3)
        ring.owner_client.admit_workers([address_of(outsiders[0])], [sealing_key_of(outsiders[0])])
        chosen = [ring.owner, *ring.workers[:2], *outsiders[::2]]
        for account in chosen:
            delegate(web3, account, outsiders[1], contract)
        return cls(stored, random.Random(seed), outsiders, contract, frozenset(a.address for a in chosen))  # noqa: S311

    # ------------------------------------------------------------------ who, and how

    @property
    def ledger(self) -> Ledger:
        """The ledger."""
        return self.stored.ring.ledger

    @property
    def anybody(self) -> LocalAccount:
        """Any member, the owner apart."""
        return self.random.choice([*self.stored.ring.workers, *self.outsiders])

    def way_of(self, account: LocalAccount, *, as_itself: bool) -> Address | None:
        """What a call goes through: nothing, code of its own, or (not `as_itself`) a contract."""
        ways: list[Address | None] = [None]
        if account.address in self.delegated:
            ways.append(address_of(account))
        return self.random.choice(ways if as_itself else [*ways, self.contract])

    @contextmanager
    def calling(self, account: LocalAccount, *, as_itself: bool) -> Iterator[tuple[LedgerClient, Address]]:
        """A client on some way, and whom the ledger sees."""
        client, via = self.ledger.by(account), self.way_of(account, as_itself=as_itself)
        redirect(client, via)
        try:
            yield client, self.contract if via == self.contract else address_of(account)
        finally:
            redirect(client, None)

    def pointer(self) -> tuple[Digest, ComplaintKind]:
        """A pointer to no envelope, and what a recipient complains of that finds it."""
        digest = Digest(self.random.randbytes(32))
        match self.random.choice(["nothing", "garbage", "folder", "damaged", "card"]):
            case "garbage":
                return self.stored.store.put(self.random.randbytes(64)), ComplaintKind.UNREADABLE
            case "card":
                return self.stored.pointers["card"], ComplaintKind.UNREADABLE
            case "folder":
                self._path_of(digest).mkdir(parents=True)
            case "damaged":
                self._path_of(digest).parent.mkdir(parents=True, exist_ok=True)
                self._path_of(digest).write_bytes(b"damaged")
        return digest, ComplaintKind.MISSING

    def _path_of(self, digest: Digest) -> Path:
        return self.stored.folder / digest.hex()[:2] / digest.hex()

    # ------------------------------------------------------------------ honest queries

    def submit(self, pointer: Pointer) -> StoredQuery:
        """A question of anybody's, on any way."""
        account = self.anybody
        with self.calling(account, as_itself=False) as (client, sender):
            query, receipt = client.submit_query(pointer, named("key"))
        question = Question(pointer, named("key"), self.ledger.time_of(receipt))
        trail = start_trail(query, sender, question)
        return StoredQuery(self.stored.ring, query, trail, account, stored=self.stored)

    def route(self, hop: int) -> StoredQuery:
        """A good query that has come to `hop`."""
        query = self.stored.submit()
        with self.calling(self.stored.ring.owner, as_itself=True):
            query.open_route()
        self.advance(query, hop)
        return query

    def advance(self, query: StoredQuery, hop: int) -> None:
        """Posts honest updates, each brought by anybody."""
        while query.hop < hop:
            carrier = self.anybody
            with self.calling(carrier, as_itself=False):
                query.post(carrier)

    def finish(self, query: StoredQuery) -> None:
        """Brings the attempt to its end; the owner's signed delivery may be brought by anybody."""
        self.advance(query, len(query.signers))
        state, delivery, signature = query.sign_answer()
        with self.calling(self.anybody, as_itself=False) as (client, _):
            client.deliver(state, delivery, signature)
        self.delivered += 1

    def answer(self) -> None:
        """One honest query; its blobs may be damaged later."""
        query = self.route(0)
        self.finish(query)
        number = query.query
        self.sound |= {
            f"input {number}": (f"query {number}", "QuerySubmitted.sealed_input"),
            f"route notes {number}/1": (f"query {number}", "RouteOpened.notes"),
            f"answer {number}/1": (f"query {number}, delivery", "AnswerDelivered.answer"),
            **{f"envelope {number}/1/{hop}": (f"query {number}, hop {hop}", ENVELOPE) for hop in range(4)},
        }

    def judge(self, query: StoredQuery, *, sender: bool, receiver: bool) -> None:
        """The owner's verdict, brought by anybody."""
        verdict = query.verdict(sender_guilty=sender, receiver_guilty=receiver)
        signature = sign_message(self.stored.ring.owner, query.domain, verdict)
        with self.calling(self.anybody, as_itself=False) as (client, _):
            client.judge(query.state, verdict, signature)
        query._extend(verdict, self.stored.ring.owner)

    def complain(self, query: StoredQuery, kind: ComplaintKind, evidence: Pointer) -> None:
        """The complaint of whose turn it is, brought by anybody."""
        complaint, signer = query.complaint(kind=kind, evidence=evidence), query.signer
        signature = sign_message(signer, query.domain, complaint)
        with self.calling(self.anybody, as_itself=False) as (client, _):
            client.complain(query.state, complaint, *query.opening, signature)
        query._extend(complaint, signer)

    def go_on(self, query: StoredQuery) -> None:
        """The next attempt, to the answer."""
        with self.calling(self.stored.ring.owner, as_itself=True):
            query.reopen()
        self.finish(query)

    # ------------------------------------------------------------------ hostile acts

    def ask_for_nothing(self) -> None:
        """A question whose input is none; the owner turns it down or has not seen it."""
        query = self.submit(Pointer(self.pointer()[0]))
        if self.random.random() < 0.5:
            with self.calling(self.stored.ring.owner, as_itself=True):
                query.reject(RejectReason.BLOB_UNAVAILABLE)

    def complain_for_nothing(self) -> None:
        """A worker's complaint of a good envelope, whose evidence is none."""
        hop, kind = self.random.randint(1, 3), self.random.choice(list(ComplaintKind))
        query = self.route(hop)
        self.complain(query, kind, Pointer(self.pointer()[0]))
        match self.random.choice(["verdict", "verdict", "withdrawal", "nothing"]):
            case "verdict":
                self.judge(query, sender=False, receiver=kind in CONTENT)
                self.go_on(query)
            case "withdrawal":
                query.wait_and_withdraw()
            case "nothing" if kind in CONTENT:
                self.planted.add((f"query {query.query}, hop {hop}", EVIDENCE))

    def send_nothing(self) -> None:
        """A worker's envelope that is none: its recipient disputes it, or is an accomplice, or the querent gives up."""
        hop = self.random.randint(1, 2)
        query = self.route(hop)
        pointer, kind = self.pointer()
        query.post(envelope=pointer)
        match self.random.choice(["dispute", "other dispute", "accomplice", "withdrawal"]):
            case "dispute":
                self.complain(query, kind, self.stored.put(f"key {query.query}", envelope_of("a key")))
                self.judge(query, sender=kind is ComplaintKind.UNREADABLE, receiver=False)
                self.go_on(query)
            case "other dispute":  # the sender let its recipient see something else
                self.complain(query, ComplaintKind.ALTERED, self.stored.put(f"key {query.query}", envelope_of("a key")))
                self.judge(query, sender=False, receiver=False)
                self.go_on(query)
            case "accomplice":
                self.finish(query)
                self.planted.add((f"query {query.query}, hop {hop}", ENVELOPE))
            case "withdrawal":
                query.wait_and_withdraw()
                self.planted.add((f"query {query.query}, hop {hop}", ENVELOPE))

    def report_oddly(self) -> None:
        """A worker is restored, and reports any bytes, in any layout, on any way."""
        position = self.random.randint(1, 3)
        self.stored.arrange(tampered=(position,))
        with self.calling(self.stored.ring.owner, as_itself=True):
            self.stored.order_restore(position)
        self.stored.ring.attest(position)
        worker = self.stored.ring.seats[position]
        words = self.random.randbytes(self.random.randint(0, 256))
        offset, tail = self.random.choice([(64, len(words).to_bytes(32, "big") + words), (0, b"")])
        data = _call(REPORT, position, offset) + tail
        via = self.way_of(worker, as_itself=True)
        if via is not None:
            data = encode_forward(self.ledger.address, data)
        receipt = send_raw(self.ledger.web3, worker, via or self.ledger.address, data)
        assert receipt["status"] == 1

    def withdraw_oddly(self) -> None:
        """A querent gives up, and its list of entries is a word of the head that is zero: an empty list."""
        stranger = self.outsiders[-1]
        query = StoredRing.submit_pointer(_of(self.stored, stranger), Pointer(self.pointer()[0]))
        Clock(self.ledger.web3).advance(self.ledger.read("withdrawSeconds") + 1)
        shown, asked = query.state.as_struct(), astuple(query.question)
        usual = self.ledger.encode(LedgerCall("withdrawQuery", (query.query, shown, asked, [])))
        head = usual[4:-64]  # but for the offset of the list, which is empty
        offset = next(at for at in range(0, len(head), 32) if head[at : at + 32] == ZERO)
        data = usual[:-64] + offset.to_bytes(32, "big")
        assert send_raw(self.ledger.web3, stranger, self.ledger.address, data)["status"] == 1

    def hide_a_question(self) -> None:
        """A question in more calls than anybody makes, beside one that is seen."""
        shown, hidden = (LedgerCall("submitQuery", (self.pointer()[0], named("key"))) for _ in range(2))
        for _ in range(DEEPEST + 1):
            hidden = LedgerCall("multicall", ([self.ledger.encode(hidden)],))
        self.ledger.send(self.anybody, *self.random.sample([shown, hidden], 2))

    def ask_while_being_made(self) -> None:
        """A question of a contract's constructor, or of an account in the transaction that gives it its code."""
        web3, contract = self.ledger.web3, self.contract
        data = self.ledger.encode(LedgerCall("submitQuery", (self.pointer()[0], named("key"))))
        account, carrier = self.random.sample(self.outsiders, 2)
        if self.random.random() < 0.5:
            receipt = send_raw(web3, carrier, None, calling_code(self.ledger.address, data))
        else:
            receipt = delegate(web3, account, carrier, contract, encode_forward(self.ledger.address, data))
        assert receipt["status"] == 1

    def make_noise(self) -> None:
        """Calls that the ledger refuses, by itself or through a contract, are mined as well."""
        data = self.random.choice([b"", _call(REPORT, 1, 0), _call("judge(uint64)", 1)]) + self.random.randbytes(99)
        if self.random.random() < 0.5:
            send_raw(self.ledger.web3, self.anybody, self.ledger.address, data)
        else:
            send_raw(self.ledger.web3, self.anybody, self.contract, encode_forward(self.ledger.address, data))

    def damage(self) -> None:
        """Whoever can write to the store damages a blob of a query that was answered."""
        if not self.sound:
            return self.answer()
        name = self.random.choice(sorted(self.sound))
        path = self.stored.file_of(name)
        path.unlink()
        match self.random.choice(["deleted", "garbled", "folder"]):
            case "garbled":
                path.write_bytes(b"garbled")
            case "folder":
                path.mkdir()
        return self.planted.add(self.sound.pop(name))

    def play(self, calls: int) -> None:
        """Random acts, and then honest queries."""
        acts = [
            *(self.ask_for_nothing, self.complain_for_nothing, self.send_nothing, self.report_oddly),
            *(
                self.withdraw_oddly,
                self.hide_a_question,
                self.ask_while_being_made,
                self.make_noise,
                self.damage,
                self.answer,
            ),
        ]
        # Each once before any comes again, so that also a small run has all of them.
        drawn: list[int] = []
        for _ in range(calls):
            drawn = drawn or self.random.sample(range(len(acts)), len(acts))
            act = acts[drawn.pop()]
            act()
            self.made[act.__name__] += 1
        for _ in range(LATER):
            self.answer()

    def check(self, report: AuditReport) -> None:
        """The audit came to the end, and names what was planted."""
        assert report.stopped is None, str(report.stopped)
        head = self.ledger.by(self.stored.ring.owner).head()
        assert report.last_block == head, f"the audit ended at {report.last_block}, the chain at {head}"
        assert report.trail.ended[QueryPhase.DELIVERED] == self.delivered
        named_faults = [(fault.subject, fault.field) for fault in report.faults]
        assert sorted(named_faults) == sorted(self.planted), set(named_faults) ^ self.planted
        assert not report.more_faults


def _call(function: str, *words: int | bytes) -> bytes:
    """A call of these words."""
    values = (word if isinstance(word, bytes) else int(word).to_bytes(32, "big") for word in words)
    return function_signature_to_4byte_selector(function) + b"".join(values)


def _of(stored: StoredRing, querent: LocalAccount) -> StoredRing:
    return StoredRing(stored.ring, stored.folder, querent, stored.pointers)


def main() -> int:
    """Plays and audits; exit code 1 and the seed at the first thing that is not as it must be."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--calls", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    owner, workers = account_named("owner"), tuple(account_named(f"worker {layer}") for layer in (1, 2, 3))
    outsiders = tuple(account_named(name) for name in ("standby", "querent", "stranger", "mallory"))
    with tempfile.TemporaryDirectory() as folder, Devnet() as devnet:
        web3 = connect(devnet.url)
        fund(web3, [owner, *workers, *outsiders])
        ring = ScriptedRing(Ledger.deploy(web3, devnet.url, owner), owner, workers)
        stored = StoredRing(ring, Path(folder) / "store", outsiders[1]).register().arrange()
        return run(HostileRing.build(stored, outsiders, given.seed), given.calls, given.seed)


def run(hostile: HostileRing, calls: int, seed: int) -> int:
    """Plays, audits and prints; the exit code."""
    hostile.play(calls)
    for name, number in sorted(hostile.made.items()):
        print(f"  {number:6} {name.replace('_', ' ')}")
    report = audit_of(hostile.stored)
    try:
        hostile.check(report)
    except AssertionError as error:
        print(f"not as it must be, with seed {seed}: {error}", file=sys.stderr)
        return 1
    print(
        f"{calls} acts (seed {seed}): {report.blocks} blocks read to the end, {hostile.delivered} answers, "
        f"{len(report.faults)} faults, all planted; {report.counts.indirect_calls} calls not in sight"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
