"""`make faults SEED=1 RUNS=24`: rings on which things go wrong while queries run; the first violation ends it with 1.

Each run has a ring and a chain of its own. What goes wrong is drawn from the run's seed alone and printed, and
`make faults SEED=<seed> RUNS=1` draws it again; when it hits is counted in events on the ledger.
"""

from __future__ import annotations

import argparse
import queue
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

from assurance.faults import checks
from assurance.faults.askers import Question, open_askers
from assurance.faults.disk import enter_namespace
from assurance.faults.inject import Injector
from assurance.faults.plan import Fault, Kind, Plan, draw_plan
from assurance.faults.stage import QUERENTS, SETTLE, Stage, staged
from assurance.faults.watch import Watch
from deepring_chain.chain.connection import connect
from deepring_chain.crypto.keys import ActorKeys, create_keys
from deepring_chain.ring.deploy import fund_actors
from tests.e2e.live_ring import PASSWORD, tiny_model

ACTORS = ("ouroboros", "worker-1", "worker-2", "worker-3")
IN_FLIGHT = 3
STALL_SECONDS = 2.5
"""A fault comes after so long even if nothing happens on the ledger: what went wrong before may have stopped it."""

END_SECONDS = 150.0
LOOK_SECONDS = 0.05


@dataclass
class Tally:
    """What happened in all runs so far."""

    runs: int = 0
    done: Counter[Kind] = field(default_factory=Counter)
    in_vain: Counter[Kind] = field(default_factory=Counter)
    answered: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    asked_again: int = 0
    put_back: int = 0

    def table(self) -> str:
        """All of it."""
        rows = [f"{kind.value:45} {self.done[kind]:5} {self.in_vain[kind]:5}" for kind in Kind]
        ends = [f"{self.runs} runs, {self.answered} queries answered right, {sum(self.failed.values())} failed:"]
        ends += [f"  {count} x {reason}" for reason, count in self.failed.items()]
        ends += [f"asked again after the chain lost them: {self.asked_again}"]
        ends += [f"spoiled blobs that an operator put back: {self.put_back}"]
        return "\n".join([f"{'fault':45} {'done':>5} {'vain':>5}", *rows, *ends])


class Conductor:
    """One run: queries, faults, and the wait for the end.

    Args:
        stage: the ring.
        plan: what goes wrong.
        keys: of the querents.
        say: told what happens.
        stall: seconds after which a fault comes even if nothing happens on the ledger.
        on_look: called again and again.
    """

    def __init__(
        self,
        stage: Stage,
        plan: Plan,
        keys: dict[str, ActorKeys],
        say: Callable[[str], None],
        *,
        stall: float = STALL_SECONDS,
        on_look: Callable[[], None] = lambda: None,
    ) -> None:
        self._stage, self._plan = stage, plan
        self._say, self._on_look = say, on_look
        self.injector = Injector(stage, say)
        self.questions = [Question(number, count) for number, count in enumerate(plan.queries)]
        self._waiting: queue.SimpleQueue[Question] = queue.SimpleQueue()
        for question in self.questions:
            self._waiting.put(question)
        self._askers, self._stopping = open_askers(stage, keys, IN_FLIGHT, self._waiting)
        self.watch = Watch(stage.ring.deployment.first_block)
        self._eye = stage.ring.quick_client()
        self._stall = stall

    def conduct(self) -> None:
        """From the first query to the last one's end, or to the time when it should have come."""
        for asker in self._askers:
            asker.start()
        for fault in self._plan.faults:
            self._pass_until(self._is_next_due(fault))
            if self.is_asked:
                break
            self.injector.begin(fault)
        self._pass_until(lambda: self.injector.is_calm)
        self.injector.end_all()
        self._say("all faults are over")
        deadline = time.monotonic() + (self._stage.patience or END_SECONDS)
        self._pass_until(lambda: self._is_over() or time.monotonic() > deadline)
        self._stopping.set()
        for asker in self._askers:
            asker.join(30)

    def cut_short(self) -> int:
        """Asks nothing more; returns how many questions are left out."""
        left = []
        with suppress(queue.Empty):
            while True:
                left.append(self._waiting.get_nowait())
        self.questions = [question for question in self.questions if question not in left]
        return len(left)

    def crashes(self) -> list[str]:
        """What no querent should meet."""
        broken = [asker.crash for asker in self._askers if asker.crash is not None]
        return ["a querent's program broke: " + "".join(traceback.format_exception(crash)) for crash in broken]

    @property
    def is_asked(self) -> bool:
        """Whether every question is over."""
        return all(question.is_over for question in self.questions)

    def _is_next_due(self, fault: Fault) -> Callable[[], bool]:
        events, since = self.watch.events + fault.after, time.monotonic()
        return lambda: self.is_asked or self.watch.events >= events or time.monotonic() - since > self._stall

    def _pass_until(self, reached: Callable[[], bool]) -> None:
        while not reached() and not self.crashes():
            self.injector.end_due()
            self.watch.look(self._eye)
            self._on_look()
            time.sleep(LOOK_SECONDS)

    def _is_over(self) -> bool:
        return self.is_asked and not self._stage.ring.state().open_sessions()


def make_querents(stage: Stage, folder: Path) -> dict[str, ActorKeys]:
    """Accounts with funds."""
    keys = {name: create_keys(folder / name, PASSWORD) for name in QUERENTS}
    url = stage.node.devnet.url
    fund_actors(connect(url), url, [each.address for each in keys.values()])
    stage.accounts.update({name: each.address for name, each in keys.items()})
    stage.node.floor = stage.node.height()
    return keys


def examine(stage: Stage, conductor: Conductor, keys: dict[str, ActorKeys], kinds: set[Kind]) -> list[str]:
    """All checks; what is wrong."""
    spoiled = checks.find_spoiled(stage)
    found = [*conductor.crashes(), *checks.check_questions(stage, conductor.questions)]
    found += checks.check_audit(stage, spoiled)
    checks.repair(stage)
    found += checks.read_answers(stage, list(keys.values()), conductor.questions)
    found += [f"two signatures of one place: {place}" for place in conductor.watch.double_signed()]
    found += [*checks.check_trail(stage), *checks.check_blame(stage, kinds), *checks.check_actors(stage)]
    found += [*checks.check_audit(stage), *checks.check_logs(stage.ring.folder.logs, kinds)]
    return found


def run_once(seed: int, options: argparse.Namespace, tally: Tally, say: Callable[[str], None]) -> list[str]:
    """One run, settled in the one way or the other in turn; returns what is wrong."""
    plan, settle = draw_plan(seed, ACTORS, QUERENTS, options.queries, options.faults), SETTLE[1 - seed % 2]
    say(f"seed {seed}: {options.queries} queries, settled by {settle}; " + "; ".join(map(str, plan.faults)))
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="deepring-faults-"))
        stage = stack.enter_context(staged(Path(folder), tiny_model(3), settle=settle))
        stage.patience = options.patience
        keys = make_querents(stage, Path(folder))
        conductor = Conductor(stage, plan, keys, say)
        conductor.conduct()
        tally.put_back += len(checks.find_spoiled(stage))
        found = examine(stage, conductor, keys, plan.kinds())
        count(tally, conductor)
        if found:
            keep(stage, seed)
    return found


def keep(stage: Stage, seed: int) -> None:
    """Copies the logs of a run that went wrong to where they stay."""
    target = Path("build/faults") / f"seed-{seed}"
    target.mkdir(parents=True, exist_ok=True)
    for log in stage.ring.folder.logs.glob("*.log"):
        (target / log.name).write_bytes(log.read_bytes())
    sys.stdout.write(f"the actors' logs are in {target}\n")


def count(tally: Tally, conductor: Conductor) -> None:
    """Adds a run to the tally."""
    tally.runs += 1
    tally.done.update(conductor.injector.done)
    tally.in_vain.update(conductor.injector.in_vain)
    for question in conductor.questions:
        tally.answered += question.output is not None or question.unread
        tally.asked_again += max(0, len(question.queries) - 1)
        if question.failure:
            tally.failed[question.failure.split(": ", 1)[-1]] += 1


def parse(arguments: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="make faults", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--runs", type=int, default=24)
    parser.add_argument("--queries", type=int, default=8)
    parser.add_argument("--faults", type=int, default=6)
    parser.add_argument("--patience", type=float, help="seconds for the end, and until all are well again")
    return parser.parse_args(arguments)


def main() -> int:
    """Runs all; 1 at the first violation."""
    enter_namespace("assurance.faults.run")
    options, tally, started = parse(sys.argv[1:]), Tally(), time.monotonic()

    def say(line: str) -> None:
        sys.stdout.write(f"{time.monotonic() - started:7.1f} s  {line}\n")
        sys.stdout.flush()

    for seed in range(options.seed, options.seed + options.runs):
        violations = run_once(seed, options, tally, say)
        if violations:
            say("\n".join([f"VIOLATION with seed {seed}:", *violations, f"again: make faults SEED={seed} RUNS=1"]))
            return 1
        say(f"seed {seed}: all checks hold")
    sys.stdout.write(f"{tally.table()}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
