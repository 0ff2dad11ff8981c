"""docs/architecture.md tells of each thread, lock, queue and process; decisions hold no callables and do no I/O."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import pytest

from deepring_chain.protocol import decide

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "deepring_chain"
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| `([a-z_/]+\.py)` \| ([A-Za-z_, ]+) \|", re.MULTILINE)

CONCURRENT = {
    "Thread": "threading",
    "Lock": "threading",
    "RLock": "threading",
    "Condition": "threading",
    "Event": "threading asyncio",
    "Semaphore": "threading asyncio",
    "BoundedSemaphore": "threading asyncio",
    "Barrier": "threading",
    "Timer": "threading",
    "local": "threading",
    "ThreadPoolExecutor": "",
    "ProcessPoolExecutor": "",
    "ThreadPool": "",
    "SimpleQueue": "queue",
    "Queue": "queue asyncio multiprocessing",
    "ContextVar": "",
    "Process": "FORK multiprocessing",
    "Popen": "subprocess",
    "Server": "uvicorn",
    "ThreadingMixIn": "",
    "run_in_threadpool": "",
    "to_thread": "asyncio",
    "create_task": "asyncio loop",
    "ensure_future": "asyncio",
    "TaskGroup": "asyncio",
    "run_in_executor": "loop",
}
"""What makes something run beside, or orders what does; and the modules whose attribute it may be, if not by name."""


def concurrency_of(source: str) -> set[str]:
    """Which of these a module makes."""
    return {name for node in ast.walk(ast.parse(source)) if (name := _made(node))}


def _made(node: ast.AST) -> str:
    if isinstance(node, ast.ClassDef):
        bases = [base.attr for base in node.bases if isinstance(base, ast.Attribute)]
        return next((base for base in bases if base in CONCURRENT), "")
    if not isinstance(node, ast.Call):
        return ""
    called = node.func.value if isinstance(node.func, ast.Subscript) else node.func
    if isinstance(called, ast.Name):
        return called.id if called.id in CONCURRENT else ""
    if isinstance(called, ast.Attribute) and called.attr in CONCURRENT:
        return called.attr if ast.unparse(called.value) in CONCURRENT[called.attr].split() else ""
    return ""


def test_page_tells_of_all_that_runs_beside_something_and_of_nothing_else() -> None:
    found = {
        str(path.relative_to(PACKAGE)): made
        for path in sorted(PACKAGE.rglob("*.py"))
        if (made := concurrency_of(path.read_text(encoding="utf-8")))
    }
    told = {file: set(kinds.split(", ")) for file, kinds in ROW.findall(PAGE)}
    assert told == found


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("threading.Thread(target=f).start()", {"Thread"}),
        ("lock = threading.Lock()", {"Lock"}),
        ("pool = ThreadPool(1, 'compute')", {"ThreadPool"}),
        ("with ThreadPoolExecutor(4) as pool: pass", {"ThreadPoolExecutor"}),
        ("self._rings: Any = queue.SimpleQueue()", {"SimpleQueue"}),
        ("x = queue.SimpleQueue[int]()", {"SimpleQueue"}),
        ("FORK.Process(target=f)", {"Process"}),
        ("subprocess.Popen([])", {"Popen"}),
        ("asyncio.create_task(f())", {"create_task"}),
        ("await asyncio.to_thread(f)", {"to_thread"}),
        ("server = uvicorn.Server(config)", {"Server"}),
        ("class A(socketserver.ThreadingMixIn, B): pass", {"ThreadingMixIn"}),
        ("local: ContextVar[int] = ContextVar('x')", {"ContextVar"}),
        ("events.Event()", set()),
        ("def f(lock: threading.Lock) -> None: pass", set()),
    ],
)
def test_what_runs_beside_something_is_found(line: str, expected: set[str]) -> None:
    source = line if not line.startswith("await") else f"async def f():\n    {line}"
    assert concurrency_of(source) == expected


# ---------------------------------------------------------------- decisions

DECISIONS = [
    importlib.import_module(f"{decide.__name__}.{module.name}") for module in pkgutil.iter_modules(decide.__path__)
]
OUTSIDE = {
    "asyncio",
    "logging",
    "os",
    "pathlib",
    "queue",
    "random",
    "secrets",
    "socket",
    "subprocess",
    "threading",
    "time",
}


def _values(module: Any) -> list[type]:
    """The views, questions, deeds and facts of a module of decisions."""
    return [
        kind
        for kind in vars(module).values()
        if isinstance(kind, type) and is_dataclass(kind) and kind.__module__ == module.__name__
    ]


def _parts(hint: Any) -> Iterator[Any]:
    yield hint
    for part in get_args(hint):
        yield from _parts(part)


@pytest.mark.parametrize("module", DECISIONS, ids=lambda module: module.__name__.rpartition(".")[2])
def test_views_and_actions_are_frozen_and_hold_no_callable(module: Any) -> None:
    assert _values(module)
    for kind in _values(module):
        assert kind.__dataclass_params__.frozen, kind  # type: ignore[attr-defined]
        hints = get_type_hints(kind)
        parts = [part for field in fields(kind) for part in _parts(hints[field.name])]
        assert not [part for part in parts if part is Callable or get_origin(part) is Callable], kind
        assert not [part for part in parts if getattr(part, "__name__", "") == "Callable"], kind


@pytest.mark.parametrize("module", DECISIONS, ids=lambda module: module.__name__.rpartition(".")[2])
def test_decisions_read_no_clock_file_or_network(module: Any) -> None:
    tree = ast.parse(Path(module.__file__).read_text(encoding="utf-8"))
    imported = {
        name.partition(".")[0]
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert imported & OUTSIDE == set()
