"""Queries and hops of this checkout against those of another commit, in turns: `make bench-against COMMIT=...`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from benchmarks.harness import ROOT, Page, fail, median_ratio, ms, pick, say
from benchmarks.rings import SETTLE

WORK = ROOT / "build" / "bench" / "against"
CASES = (("dense", 1), ("dense", 64))


class Side:
    """A ring of one checkout, in a process of its own.

    Args:
        checkout: whose code it runs.
        arguments: of `against_child`.
    """

    def __init__(self, checkout: Path, *arguments: str) -> None:
        command = [sys.executable, str(ROOT / "benchmarks" / "against_child.py"), *arguments]
        environment = {**os.environ, "PYTHONPATH": str(checkout), "PYTHONSAFEPATH": "1"}
        self._process = subprocess.Popen(
            command, cwd=checkout, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        if self._read() != "ready":
            fail(f"{checkout}: the ring did not start")

    def ask(self) -> dict[str, float]:
        """Seconds of one query, and of the median turn of a worker in it."""
        if self._process.stdin is None:
            raise RuntimeError("no pipe")
        self._process.stdin.write("ask\n")
        self._process.stdin.flush()
        measured: dict[str, float] = self._read()
        return measured

    def stop(self) -> None:
        """Ends the ring."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait()

    def _read(self) -> Any:
        line = self._process.stdout.readline() if self._process.stdout else ""
        if not line:
            fail("a side of the comparison ended; see above")
        return json.loads(line)


@contextmanager
def checkout_of(commit: str) -> Iterator[Path]:
    """A work tree of another commit, with what is installed here."""
    folder = WORK / "tree"
    _git("worktree", "remove", "--force", str(folder), check=False)
    _git("worktree", "add", "--force", "--detach", str(folder), commit)
    (folder / "node_modules").symlink_to(ROOT / "node_modules")
    try:
        yield folder
    finally:
        _git("worktree", "remove", "--force", str(folder))


def main(commit: str) -> None:
    """Measures both sides of each case in turns, and writes the ratios."""
    page = Page("against", f"How long do queries and hops take, against commit {commit}?")
    with checkout_of(commit) as other:
        rows = [_compare(other, name, batch, settle) for settle in SETTLE for name, batch in CASES]
    head = ("network, batch, settled by", "query, ms", "before, ms", "ratio", "turn, ms", "before, ms", "ratio")
    page.table(head, rows)
    page.text("Two rings on one machine take turns, query by query; ratios are medians of the rounds' ratios.")
    page.write()


def _compare(other: Path, name: str, batch: int, settle: str) -> tuple[str, ...]:
    say(f"{name}, batch {batch}, settled by {settle}")
    arguments = (name, str(batch), settle)
    with ExitStack() as stack:
        sides = {}
        for side, checkout in (("now", ROOT), ("before", other)):
            sides[side] = Side(checkout, *arguments)
            stack.callback(sides[side].stop)
        found = _take_turns(sides, pick(60, 4))
    cells = []
    for what in ("query", "turn"):
        now, before = ([each[what] for each in found[side]] for side in ("now", "before"))
        middle = [ms(sorted(times)[len(times) // 2]) for times in (now, before)]
        cells += [*middle, f"{median_ratio(now, before):.3f}"]
    return (f"{name}, {batch}, {settle}", *cells)


def _take_turns(sides: dict[str, Side], rounds: int) -> dict[str, list[dict[str, float]]]:
    """The first two rounds warm up; who begins changes from round to round."""
    found: dict[str, list[dict[str, float]]] = {side: [] for side in sides}
    for number in range(rounds + 2):
        for side in sorted(sides, reverse=bool(number % 2)):
            measured = sides[side].ask()
            if number >= 2:
                found[side].append(measured)
    return found


def _git(*arguments: str, check: bool = True) -> None:
    git = shutil.which("git") or fail("git is not on PATH; it brings the other commit")
    subprocess.run([git, *arguments], cwd=ROOT, check=check, capture_output=True)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        fail("say which commit: make bench-against COMMIT=HEAD~1")
    main(sys.argv[1])
