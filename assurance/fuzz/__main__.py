"""`python -m assurance.fuzz`: fuzz all parsers, repeat one input, or make the committed corpus anew."""

from __future__ import annotations

import argparse
import sys
import time
from importlib import import_module
from pathlib import Path

from assurance.fuzz.engine import ENGINES, import_targets
from assurance.fuzz.registry import GROUPS, all_targets, find_target
from assurance.fuzz.run import WORK, Result, describe, fuzz, plan
from assurance.fuzz.target import Violation, examine


def main() -> int:
    """Runs a command; 1 after a violation."""
    parser = argparse.ArgumentParser(prog="python -m assurance.fuzz")
    commands = parser.add_subparsers(dest="command", required=True)
    running = commands.add_parser("run", help="fuzz")
    running.add_argument("--runs", type=int, default=1_000_000)
    running.add_argument("--seed", type=int, default=1)
    running.add_argument("--target", action="append", default=[])
    running.add_argument("--engine", choices=("auto", *ENGINES), default="auto")
    repeating = commands.add_parser("repeat", help="examine one file")
    repeating.add_argument("target")
    repeating.add_argument("file", type=Path)
    making = commands.add_parser("corpus", help="make the committed corpus anew, minimized")
    making.add_argument("--target", action="append", default=[])
    commands.add_parser("list", help="name the targets")
    options = parser.parse_args()
    return {"run": _run, "repeat": _repeat, "corpus": _corpus, "list": _list}[options.command](options)


def _run(options: argparse.Namespace) -> int:
    engine = _engine(options.engine)
    import_targets(engine, GROUPS)
    jobs = plan(options.target, options.runs)
    if not jobs:
        print(f"fuzz: no such target; there are {', '.join(target.name for target in all_targets())}")
        return 1
    print(f"engine {engine}, seed {options.seed}, {sum(runs for _, runs in jobs):,} inputs over {len(jobs)} targets")
    began, results = time.monotonic(), list[Result]()
    for target, runs in jobs:
        result = fuzz(target, runs, options.seed, engine)
        results.append(result)
        print(f"  {result.name:24} {result.tried:9,} inputs, {result.tried / result.seconds:8,.0f}/s", flush=True)
        if result.violation:
            return _report(result, options.seed)
        (WORK / "figures.md").write_text(describe(results) + "\n")
    whole, seconds = sum(result.tried for result in results), time.monotonic() - began
    print(f"\n{describe(results)}\n\n{whole:,} inputs in {seconds:,.0f} s, seed {options.seed}, no violation")
    return 0


def _report(result: Result, seed: int) -> int:
    print(f"{result.name}: {result.violation}")
    print(f"seed {seed}; repeat it: {sys.executable} -m assurance.fuzz repeat {result.name} {result.file}")
    return 1


def _engine(wanted: str) -> str:
    sys.path.insert(0, str(WORK / "atheris"))
    if wanted != "auto":
        return wanted
    try:
        import_module("atheris")
    except ImportError:
        print("fuzz: no atheris for this Python here; going on with the project's own loop over executed lines")
        return "lines"
    return "atheris"


def _repeat(options: argparse.Namespace) -> int:
    try:
        outcome = examine(find_target(options.target), options.file.read_bytes(), measured=True)
    except Violation as violation:
        print(f"{options.target}: {violation}")
        if violation.__cause__ is not None:
            raise violation.__cause__ from None
        return 1
    print(f"{options.target}: {outcome.name.lower()}, no violation")
    return 0


def _corpus(options: argparse.Namespace) -> int:
    from assurance.fuzz.minimize import write_corpus  # noqa: PLC0415 - traces all that is imported before

    for target in all_targets():
        if not options.target or target.name in options.target:
            count, size = write_corpus(target)
            print(f"  {target.name:24} {count:4} inputs, {size:7,} bytes", flush=True)
    return 0


def _list(_options: argparse.Namespace) -> int:
    print("\n".join(f"{target.name:24} share {target.share}" for target in all_targets()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
