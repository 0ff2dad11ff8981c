"""No test's verdict hangs on how fast the machine is: waits end at an event, and the hang guard is the only clock."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.waiting import FOREVER

ROOT = Path(__file__).resolve().parents[2]
HELD = (ROOT / "tests", ROOT / "assurance")

CLOCKS = {"sleep", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "time", "time_ns", "wait_for"}
"""Of the modules `time` and `asyncio`. Processor time is none: what others do does not count in it."""

WAITS = {"wait", "join", "result", "acquire", "settimeout", "communicate", "await_state", "wait_for"}
"""Methods that take seconds. What must never come may be awaited for an instant: that cannot fail on a busy machine."""

INSTANT = 0.1

STEPPED = {"attacked", "own_ring", "relieved_ring"}
"""Rings of tests/adversary, whose `wait` moves a scripted clock."""

EXPLAINED = {
    "waiting.py": "the helper that everybody else waits with",
    "adversary/__main__.py": "says how long it took",
    "adversary/test_clock_skew.py": "sets an actor's clock wrong",
    "chain/audit_scale.py": "a measurement",
    "chain/test_devnet.py": "the clock that a devnet sees stands still until the test moves it",
    "e2e/clocked_host.py": "an ouroboros's clock, which a test sets forward",
    "e2e/slow_host.py": "a worker looks again whether a test still holds it",
    "e2e/test_answers.py": "prints how long a ring of twenty takes",
    "e2e/test_operations.py": "draws a number",
    "faults/askers.py": "querents of `make faults`, who ask again after a pause",
    "faults/checks.py": "`make faults` on a machine at rest; the tests give it --patience",
    "faults/faulty_store.py": "a slow disk",
    "faults/inject.py": "the clock of the faults",
    "faults/node.py": "a node that may be paused or cut off is given up",
    "faults/proxy.py": "a slow road",
    "faults/run.py": "`make faults` on a machine at rest; the tests give it --patience",
    "faults/soak.py": "samples memory, and says how long it took",
    "faults/stage.py": "ends what outlives a ring",
    "faults/test_proxy.py": "a slow road takes at least its time, on any machine",
    "fuzz/__main__.py": "says how long it took",
    "fuzz/run.py": "watches a fuzzing process, which is given up by the processor's time",
    "invariants/__main__.py": "says how long it took",
    "mutants/__main__.py": "says how long it took",
    "mutants/judge.py": "a mutant that hangs is killed by that",
    "mutants/reach.py": "the quickest tests judge first",
}
"""Files of tests and assurance that may look at a clock, and why that decides no test."""


def clocks_in(source: str) -> Iterator[tuple[int, str]]:
    """Lines that look at a clock or bound a wait, and what they do."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and ast.unparse(node) == "pytest.mark.timeout":
            yield node.lineno, "sets a hang guard of its own"
        if not isinstance(node, ast.Call | ast.Attribute):
            continue
        called = node.func if isinstance(node, ast.Call) else node
        if not isinstance(called, ast.Attribute):
            continue
        if isinstance(called.value, ast.Name) and called.value.id in {"time", "asyncio"} and called.attr in CLOCKS:
            yield node.lineno, f"{called.value.id}.{called.attr}"
        if isinstance(node, ast.Call):
            yield from _bounds(node, called.attr)


def _bounds(call: ast.Call, name: str) -> Iterator[tuple[int, str]]:
    values = [keyword.value for keyword in call.keywords if keyword.arg == "timeout"]
    if name in WAITS and not (isinstance(call.func, ast.Attribute) and ast.unparse(call.func.value) in STEPPED):
        values += call.args[:1]
    for value in values:
        if isinstance(value, ast.Constant) and isinstance(value.value, int | float) and value.value > INSTANT:
            yield call.lineno, f"{name}: a bound of {value.value} s"


@pytest.fixture(scope="module")
def found() -> dict[str, list[tuple[int, str]]]:
    """What there is in each file."""
    paths = [(path, top) for top in HELD for path in sorted(top.rglob("*.py"))]
    return {
        str(path.relative_to(top)): list(clocks_in(path.read_text())) for path, top in paths if path.stem != "__init__"
    }


def test_no_test_looks_at_a_clock(found: dict[str, list[tuple[int, str]]]) -> None:
    others = {name: clocks for name, clocks in found.items() if clocks and name not in EXPLAINED}
    assert others == {}, "wait with tests.waiting.wait_until, or bound a count, bytes or the processor's time"


def test_each_exception_is_needed(found: dict[str, list[tuple[int, str]]]) -> None:
    assert [name for name in EXPLAINED if not found.get(name)] == []


def test_hang_guard_is_the_only_one_and_ends_what_waits_forever(request: pytest.FixtureRequest) -> None:
    assert float(request.config.getini("timeout")) == 1800 < FOREVER


@pytest.mark.parametrize(
    "line",
    [
        "time.sleep(0.5)",
        "deadline = time.monotonic() + 10",
        "assert event.wait(10)",
        "thread.join(5)",
        "future.result(timeout=3)",
        "subprocess.run(command, timeout=60)",
        "requests.get(url, timeout=5)",
        "clock = time.perf_counter",
        "@pytest.mark.timeout(600)\ndef test_it(): pass",
    ],
)
def test_clock_is_found(line: str) -> None:
    assert list(clocks_in(line))


@pytest.mark.parametrize(
    "line",
    ["event.wait()", "event.wait(FOREVER)", "assert not bell.wait(0.01)", '", ".join(names)', "time.process_time()"],
)
def test_wait_for_an_event_is_none(line: str) -> None:
    assert not list(clocks_in(line))
