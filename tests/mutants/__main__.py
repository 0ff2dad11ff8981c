"""Take each check out in turn and see that a test fails: `python -m tests.mutants`, or `make mutants`."""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
os.environ.setdefault("SOLCX_BINARY_PATH", str(ROOT / "tools" / "solcx"))  # solcx reads it when it is imported
os.environ.setdefault("OMP_NUM_THREADS", "1")

from deepring_chain.chain.artifact import load_artifact  # noqa: E402
from tests.mutants.explained import PAGE, read_explained  # noqa: E402
from tests.mutants.judge import ALL_ARTIFACTS, Judgement, judge, make_scratch, run_tests  # noqa: E402
from tests.mutants.mutant import Mutant  # noqa: E402
from tests.mutants.schema import TEST, Schema, make_schema  # noqa: E402
from tests.mutants.targets import all_mutants  # noqa: E402

NEAREST = 4
"""So many test files are run for a survivor of the contracts that is explained; for all others all that there are."""
PRELOADED = ("pytest", "hypothesis", "numpy", "web3", "eth_account", "cryptography", "solcx", "torch", "xdist")
"""Imported once, before the forks; none of it belongs to the product."""
_scratch: list[Path] = []
"""The scratch copy of a process of the pool."""
_schemas: list[Schema] = []
"""The compiled ledger with its mutants; made before the pool, which inherits it."""
_explained: set[str] = set()
"""Names of the survivors that are explained; likewise."""


def main(arguments: list[str] | None = None) -> int:
    """Judge the mutants; 1 when one survives unexplained, or an explanation fits none."""
    options = _parse(arguments)
    mutants = all_mutants(ROOT)
    chosen = [mutant for mutant in mutants if options.only in mutant.name]
    if options.sample:
        chosen = random.Random(options.seed).sample(chosen, options.sample)  # noqa: S311  (a sample, not a secret)
    if options.list:
        print(*(mutant.name for mutant in chosen), sep="\n")
        return 0
    explained = read_explained(PAGE)
    unknown = [name for name in explained if name not in {mutant.name for mutant in mutants}]
    judgements = list(_judge_all(chosen, options.jobs, explained, baseline=options.baseline))
    return _summarize(judgements, explained, unknown)


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", default="", help="those whose name has this in it, such as a file or a function")
    parser.add_argument("--sample", type=int, default=0, help="that many, drawn by the seed")
    parser.add_argument("--seed", type=int, default=1, help="of the sample")
    parser.add_argument("--jobs", type=int, default=2, help="how many at a time")
    parser.add_argument("--list", action="store_true", help="print their names and no more")
    parser.add_argument(
        "--no-baseline",
        dest="baseline",
        action="store_false",
        help="do not see first that the tests pass without a mutant",
    )
    return parser.parse_args(arguments)


def _judge_all(mutants: list[Mutant], jobs: int, explained: dict[str, str], *, baseline: bool) -> Iterator[Judgement]:
    _explained.update(explained)
    for name in PRELOADED:
        __import__(name)
    with tempfile.TemporaryDirectory(prefix="deepring-mutants-") as folder:
        if baseline:
            _check_baseline(Path(folder), mutants)
        _schemas.append(_make_schema(mutants))
        context = get_context("fork")
        with ProcessPoolExecutor(jobs, context, initializer=_start, initargs=(Path(folder),)) as pool:
            for judgement in pool.map(_judge, mutants):
                print(_row(judgement, explained), flush=True)
                yield judgement


def _make_schema(mutants: list[Mutant]) -> Schema:
    schema = make_schema(ROOT, load_artifact(), mutants)
    problem = schema.judge(None) if schema.numbers else None
    if problem:
        raise SystemExit(f"mutants: the ledger and its model differ with no mutant awake: {problem}")
    return schema


def _check_baseline(folder: Path, mutants: list[Mutant]) -> None:
    """A test that fails anyhow shows nothing. Each folder's by themselves, as they are run for a mutant."""
    scratch = folder / "baseline"
    make_scratch(ROOT, scratch)
    tests = tuple(dict.fromkeys(test for mutant in mutants for test in mutant.tests))
    compiled = ALL_ARTIFACTS  # once: they stay in the copy
    for part in sorted({str(Path(test).parent) for test in tests}):
        status, log = run_tests(scratch, tuple(test for test in tests if str(Path(test).parent) == part), compiled)
        if status != 0:
            raise SystemExit(f"mutants: the tests do not pass without a mutant:\n{log[-3000:]}")
        compiled = ()
    print(f"mutants: {len(tests)} test files pass on the product as it is; {len(mutants)} mutants", flush=True)


def _start(folder: Path) -> None:
    scratch = folder / str(os.getpid())
    make_scratch(ROOT, scratch)
    _scratch.append(scratch)


def _judge(mutant: Mutant) -> Judgement:
    """Awake in the compiled ledger, which takes a second; by its tests if that shows nothing or cannot be."""
    began = time.monotonic()
    found = _schemas[0].judge(mutant) if mutant in _schemas[0].numbers else None
    if found is None:
        is_explained = mutant.file.endswith(".sol") and mutant.name in _explained
        judgement = judge(replace(mutant, tests=mutant.tests[:NEAREST]) if is_explained else mutant, _scratch[0])
        return replace(judgement, mutant=mutant)
    return Judgement(mutant, "killed", f"{TEST}: {found[:70]}", time.monotonic() - began, mutant.line(ROOT))


def _row(judgement: Judgement, explained: dict[str, str]) -> str:
    mutant, result = judgement.mutant, judgement.result
    if result == "survived":
        result = "survived, explained" if mutant.name in explained else "SURVIVED"
    by = f"  <- {judgement.by}" if judgement.by else ""
    return f"{result:9} {judgement.seconds:5.1f} s  line {judgement.line}: {mutant.name}{by}"


def _summarize(judgements: list[Judgement], explained: dict[str, str], unknown: list[str]) -> int:
    survivors = [each.mutant.name for each in judgements if each.result == "survived"]
    bad = [name for name in survivors if name not in explained]
    vain = [each.mutant.name for each in judgements if each.result != "survived" and each.mutant.name in explained]
    for name in bad:
        print(f"mutants: no test noticed: {name}")
    for name in [*unknown, *vain]:
        print(f"mutants: {PAGE.name} explains a survivor that is none: {name}")
    _print_modules(judgements)
    counts = Counter(each.result for each in judgements)
    kinds = Counter("contract" if each.mutant.file.endswith(".sol") else "Python" for each in judgements)
    print(
        f"mutants: {len(judgements)} ({', '.join(f'{count} {kind}' for kind, count in kinds.items())}): "
        f"{counts['killed']} killed, {counts['invalid']} do not compile, {len(survivors)} survived, "
        f"{len(bad)} of these unexplained"
    )
    return 1 if bad or unknown or vain else 0


def _print_modules(judgements: list[Judgement]) -> None:
    """A line for each file."""
    for file in sorted({each.mutant.file for each in judgements}):
        counts = Counter(each.result for each in judgements if each.mutant.file == file)
        print(f"{file}: {counts.total()} mutants, " + ", ".join(f"{n} {result}" for result, n in counts.items()))


if __name__ == "__main__":
    sys.exit(main())
