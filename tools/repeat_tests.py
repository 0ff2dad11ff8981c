"""Runs all tests several times in a row, beside busy loops if asked for, and prints each run's count.

Every run counts: one that fails is not tried again, and makes the whole fail.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

PYTEST = [sys.executable, "-m", "pytest", "-n", "3", "--dist", "loadscope", "--no-loadscope-reorder"]
BUSY = "import os, sys\nwhile os.getppid() == int(sys.argv[1]):\n    for _ in range(1_000_000):\n        pass\n"
"""Ends with its parent, also where that is killed."""


@contextmanager
def busy_loops(count: int) -> Iterator[None]:
    """So many programs that take all of a core, at the tests' own priority, as long as the block lasts."""
    command = [sys.executable, "-c", BUSY, str(os.getpid())]
    loops = [subprocess.Popen(command, stdin=subprocess.DEVNULL) for _ in range(count)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
        for loop in loops:
            loop.wait()


def run(command: list[str]) -> tuple[int, str]:
    """Exit code of a run of the tests, and its count in pytest's words; what it prints goes to the terminal."""
    count = "no count"
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as tests:
        for line in tests.stdout or ():
            sys.stdout.write(line)
            sys.stdout.flush()
            if re.search(r"\d+ (passed|failed|error)", line) and " in " in line:
                count = re.sub(r", \d+ warnings?", "", line.strip(" =\n").rpartition(" in ")[0])
    return tests.returncode, count


def main() -> int:
    """The exit code: 1 if any run failed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--times", type=int, default=3, help="runs")
    parser.add_argument("--busy", type=int, default=0, help="busy loops beside them")
    options, others = parser.parse_known_args()
    told, codes = list[str](), list[int]()
    with busy_loops(options.busy):
        for number in range(1, options.times + 1):
            began = time.monotonic()
            code, count = run([*PYTEST, *others])
            codes.append(code)
            told.append(f"run {number} of {options.times}: {count} in {time.monotonic() - began:.0f} s")
            print(told[-1], flush=True)
    if options.times > 1:
        print("\n".join(told))
    return int(any(codes))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
