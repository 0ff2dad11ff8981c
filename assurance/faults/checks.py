"""What must hold after a run, whatever went wrong in it."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import requests

from assurance.faults.askers import Question
from assurance.faults.plan import BLOBS, SET_BACK, Kind
from assurance.faults.stage import Stage
from deepring_chain.actors.querent import Querent
from deepring_chain.crypto.keys import ActorKeys
from deepring_chain.errors import DeepRingError
from deepring_chain.follow.follower import LedgerFollower
from deepring_chain.protocol.events import AnswerDelivered, UpdatePosted
from deepring_chain.protocol.session import FaultKind, Session
from deepring_chain.ring.running import RunningActor, run_file
from deepring_chain.types import Digest, Pointer, QueryPhase

NODE_AWAY = frozenset(
    {Kind.KILL_NODE, Kind.RESTART_NODE, Kind.PAUSE_NODE, Kind.CUT_RPC, Kind.HANG_RPC, Kind.SLOW_RPC, Kind.LOSE_ANSWERS}
)
NO_WRITING = frozenset({Kind.FILL_DISK, Kind.FILL_QUOTA, Kind.FAIL_STORE})
LATE = frozenset({Kind.PAUSE_ACTOR, Kind.KILL_ACTOR, Kind.STOP_ACTOR, Kind.DRAIN, Kind.SLOW_BLOCKS, Kind.SLOW_STORE})
MISSING = frozenset({*BLOBS, Kind.HIDE_STORE})
ANY = frozenset(Kind)

EXPLANATIONS: tuple[tuple[str, frozenset[Kind]], ...] = (
    (r"no node answers|what answers there is no Ethereum node|unusable answer", NODE_AWAY),
    (r"the node refused: .*([Ii]nsufficient funds|[Oo]ut of gas|gas required exceeds)", frozenset({Kind.DRAIN})),
    (r"the node refused|was not mined within|failed without a reason", SET_BACK | NODE_AWAY | {Kind.SLOW_BLOCKS}),
    (
        r"cannot (read|write to) the store|nothing (is left in|can be put into) the store",
        NO_WRITING | {Kind.HIDE_STORE},
    ),
    (r"cannot be (read \(|put into the store)", NO_WRITING | {Kind.HIDE_STORE}),
    (r"is not in the store|is damaged|there is no store|complaint posted|hops \d+ and \d+:", MISSING),
    (r"journal failed|unusable journal|cannot be written", NO_WRITING),
    (r"was not posted in time|came to the ledger too late", ANY),
    (r"the ledger refused: ", SET_BACK | NODE_AWAY | {Kind.SLOW_BLOCKS}),
)
"""What an actor may log as an error, and which faults explain it."""

CALM_SECONDS = 20.0


@dataclass(frozen=True)
class Verdicts:
    """What is wrong, and how the queries ended."""

    violations: tuple[str, ...]
    answered: int
    failed: int


def read_answers(stage: Stage, keys: Sequence[ActorKeys], questions: Sequence[Question]) -> Iterator[str]:
    """Every answer on the ledger is the plain integer model's, bit for bit; every query is somebody's and ended."""
    asked = {digest: question for question in questions for digest in question.sent}
    readers = {one.address: _reader(stage, one) for one in keys}
    for session in stage.ring.state().sessions.values():
        question = asked.get(session.sealed_input)
        if question is None:
            yield f"query {session.query}: nobody asked it"
        elif session.is_open:
            yield f"query {session.query}: did not end (phase {session.phase.name}, hop {session.next_hop})"
        elif session.phase is QueryPhase.DELIVERED:
            yield from _hold_against_model(stage, readers[session.querent], session, question)


def _reader(stage: Stage, keys: ActorKeys) -> Querent:
    client = stage.ring.client()
    return Querent(keys, client, LedgerFollower(client, stage.ring.deployment.first_block), stage.ring.store())


def _hold_against_model(stage: Stage, reader: Querent, session: Session, question: Question) -> Iterator[str]:
    expected = stage.ring.plain_output(question.images())
    try:
        if reader.wait(session.query, stage.patience or 5, lambda _session, _mode: None).output != expected:
            yield f"query {session.query}: the answer on the ledger is wrong"
    except DeepRingError as error:
        yield f"query {session.query}: its answer cannot be read: {error}"


def check_questions(stage: Stage, questions: Sequence[Question]) -> Iterator[str]:
    """Each ended with the right answer or a recorded reason, and no querent was given another answer."""
    for question in questions:
        if not question.is_over:
            last = question.troubles[-1:] or ["no word"]
            yield f"question {question.number} (queries {question.queries}): no end; {last[0]}"
        elif question.output is not None and question.output != stage.ring.plain_output(question.images()):
            yield f"question {question.number} (queries {question.queries}): its querent was given a wrong answer"


def check_trail(stage: Stage) -> Iterator[str]:
    """Each hop stands at most once in each attempt, and each query is answered at most once."""
    client = stage.ring.client()
    places: Counter[tuple[object, ...]] = Counter()
    for logged in client.events(stage.ring.deployment.first_block, client.head().number):
        if isinstance(logged.event, UpdatePosted):
            update = logged.event.signed.update
            places[update.query, update.attempt, update.hop] += 1
        elif isinstance(logged.event, AnswerDelivered):
            places[logged.event.query, "answer"] += 1
    for place, count in places.items():
        if count > 1:
            yield f"accepted {count} times: {place}"


def check_blame(stage: Stage, kinds: set[Kind]) -> Iterator[str]:
    """All are honest: without a lost blob nobody is found guilty."""
    if kinds & (BLOBS | {Kind.FILL_DISK, Kind.FILL_QUOTA}):
        return
    for session in stage.ring.state().sessions.values():
        for fault in session.faults:
            if fault.kind is FaultKind.GUILTY:
                yield f"query {session.query}, attempt {fault.attempt}: honest hop {fault.hop} was found guilty"


def check_audit(stage: Stage, damaged: Sequence[Pointer] = ()) -> Iterator[str]:
    """The audit passes; or, while blobs are spoiled, it names one of these."""
    try:
        failure = stage.ring.audit().failure
    except DeepRingError as error:
        yield f"the audit did not run: {error}"
        return
    if failure is not None and not any(digest.hex() in str(failure) for digest in damaged):
        yield f"the audit fails: {failure}"


def check_actors(stage: Stage) -> Iterator[str]:
    """All run and are well again."""
    for name in stage.ring.names:
        complaint = _await_calm(lambda name=name: _trouble(stage, name), stage.patience or CALM_SECONDS)  # type: ignore[misc]
        if complaint:
            yield f"{name}: {complaint}"


def _await_calm(complaint: Callable[[], str], seconds: float) -> str:
    deadline = time.monotonic() + seconds
    while (text := complaint()) and time.monotonic() < deadline:
        time.sleep(0.2)
    return text


def _trouble(stage: Stage, name: str) -> str:
    """What an actor says of itself; "" when nothing is wrong."""
    status = stage.ring.processes.statuses[name]
    if status.state != "ready":
        return f"is {status.state} ({status.error or status.code})"
    running = RunningActor.read(run_file(stage.ring.folder.path, name))
    if running is None:
        return "says nothing of itself"
    try:
        health = requests.get(f"http://{running.host}:{running.port}/health", timeout=5).json()
    except (OSError, ValueError) as error:
        return f"does not answer ({type(error).__name__})"
    return "; ".join(f"{subject}: {text}" for subject, text in health["troubles"].items())


def check_logs(logs: Path, kinds: set[Kind]) -> Iterator[str]:
    """No error that the run's faults do not explain, and no traceback."""
    for path in sorted(logs.glob("*.log")):
        lines = path.read_text(errors="replace").splitlines()
        if any("Traceback" in line for line in lines):
            where = next(number for number, line in enumerate(lines) if "Traceback" in line)
            yield f"{path.stem}: a traceback: {' | '.join(lines[where : where + 40])}"
        for line in lines:
            if " ERROR " in line and not _is_explained(line, kinds):
                yield f"{path.stem}: unexplained: {line}"


def _is_explained(line: str, kinds: set[Kind]) -> bool:
    return any(kinds & by and re.search(pattern, line) for pattern, by in EXPLANATIONS)


def find_spoiled(stage: Stage) -> list[Pointer]:
    """The blobs that were spoiled on purpose and that nobody has put back."""
    store = stage.ring.store()
    spoiled = [Pointer(Digest(bytes.fromhex(path.name))) for path in stage.damaged]
    return [digest for digest in spoiled if not store.has_good(digest)]


def repair(stage: Stage) -> None:
    """Puts spoiled blobs back, as an operator with a copy of the store does."""
    for path, whole in stage.damaged.items():
        path.write_bytes(whole)
