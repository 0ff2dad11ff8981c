"""Take each check out in turn and see that a test fails: `python -m assurance.mutants`, or `make mutants`."""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
os.environ.setdefault("SOLCX_BINARY_PATH", str(ROOT / "tools" / "solcx"))  # solcx reads it when it is imported
os.environ.setdefault("OMP_NUM_THREADS", "1")

from assurance.mutants.explained import PAGE, read_explained  # noqa: E402
from assurance.mutants.judge import ALL_ARTIFACTS, Judgement, judge, make_scratch, run_tests  # noqa: E402
from assurance.mutants.mutant import Mutant  # noqa: E402
from assurance.mutants.reach import Entered, nearest_tests, read_record  # noqa: E402
from assurance.mutants.rules import PREFIX, TRIES, Claim, read_claims, with_tests_of_rules  # noqa: E402
from assurance.mutants.schema import TEST, Schema, make_schema  # noqa: E402
from assurance.mutants.targets import all_mutants  # noqa: E402
from deepring_chain.chain.artifact import load_artifact  # noqa: E402
from tests.specification import PAGE as SPECIFICATION  # noqa: E402
from tests.specification import read_rules  # noqa: E402

RECORD = "entered.json"
RECORDED = "tests/unit"
"""Tests that enter the product's functions in their own process."""
NEAREST = 4
"""So many test files are run for a survivor of the contracts that is explained; for all others all that there are."""
PRELOADED = (
    *("pytest", "hypothesis", "numpy", "web3", "eth_account", "cryptography", "solcx", "torch", "xdist", "cbor2"),
    *("typer", "rich.console", "rich.table", "rich.progress", "structlog", "prometheus_client", "fsspec", "onnx"),
    *("starlette.applications", "uvicorn", "jinja2", "websockets.sync.client", "safetensors.torch", "PIL.Image"),
    *("matplotlib.figure", "matplotlib.backends.backend_svg", "cryptography.hazmat.primitives.serialization"),
)
"""Imported once, before the forks; none of it belongs to the product."""
_scratch: list[Path] = []
"""The scratch copy of a process of the pool."""
_schemas: list[Schema] = []
"""The compiled ledger with its mutants; made before the pool, which inherits it."""
_entered: dict[str, Entered] = {}
"""What each test enters, if they were run before; likewise."""
_explained: set[str] = set()
"""Names of the survivors that are explained; likewise."""


def main(arguments: list[str] | None = None) -> int:
    """Judge the mutants; 1 when a survivor or a rule without effective tests is unexplained, or explained in vain."""
    options = _parse(arguments)
    mutants = all_mutants(ROOT)
    claims = read_claims(ROOT, read_rules(SPECIFICATION.read_text(encoding="utf-8")), _of_contracts(mutants))
    mutants = list(with_tests_of_rules(mutants, claims))
    chosen = [mutant for mutant in mutants if options.only in mutant.name]
    claimed = [claim for claim in claims if options.only in claim.name and not options.sample]
    if options.sample:
        chosen = random.Random(options.seed).sample(chosen, options.sample)  # noqa: S311  (a sample, not a secret)
    if options.list:
        print(*[mutant.name for mutant in chosen], *[claim.name for claim in claimed], sep="\n")
        return 0
    explained = read_explained(PAGE)
    known = {mutant.name for mutant in mutants} | {claim.name for claim in claims}
    unknown = [name for name in explained if name not in known]
    judgements, empty = _judge_all(chosen, claimed, options.jobs, explained, baseline=options.baseline)
    bad_claims = _summarize_claims(claimed, empty, explained)
    return max(_summarize(judgements, explained, unknown), bad_claims)


def _of_contracts(mutants: list[Mutant]) -> list[Mutant]:
    return [mutant for mutant in mutants if mutant.file.endswith(".sol")]


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", default="", help="whose name has this in it: a file, a function, a rule")
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


def _judge_all(
    mutants: list[Mutant], claims: list[Claim], jobs: int, explained: dict[str, str], *, baseline: bool
) -> tuple[list[Judgement], list[Claim]]:
    """What became of the mutants; and the claims for which the rule's own tests notice nothing."""
    _explained.update(explained)
    for name in PRELOADED:
        __import__(name)
    with tempfile.TemporaryDirectory(prefix="deepring-mutants-") as folder:
        if baseline:
            _check_baseline(Path(folder), mutants, claims, jobs)
        _schemas.append(_make_schema(mutants))
        context = get_context("fork")
        with ProcessPoolExecutor(jobs, context, initializer=_start, initargs=(Path(folder),)) as pool:
            judgements = []
            for judgement in pool.map(_judge, mutants):
                print(_row(judgement, explained), flush=True)
                judgements.append(judgement)
            waiting = [claim for claim in claims if not any(map(claim.is_shown_by, judgements))]
            empty = []
            for claim, killer in zip(waiting, pool.map(_judge_claim, waiting), strict=True):
                print(
                    f"{'holds' if killer else 'EMPTY':9} {claim.name}" + (f"  <- {killer}" if killer else ""),
                    flush=True,
                )
                empty += [] if killer else [claim]
            return judgements, empty


def _judge_claim(claim: Claim) -> str:
    """The test that shows it; empty if none of the rule's tests notices any of the function's mutants."""
    for mutant in claim.mutants[:TRIES] if claim.tests else ():
        judgement = _judge_nearest(replace(mutant, tests=claim.tests))
        if judgement.result == "killed":
            return judgement.by
    return ""


def _make_schema(mutants: list[Mutant]) -> Schema:
    schema = make_schema(ROOT, load_artifact(), mutants)
    problem = schema.judge(None) if schema.numbers else None
    if problem:
        raise SystemExit(f"mutants: the ledger and its model differ with no mutant awake: {problem}")
    return schema


def _check_baseline(folder: Path, mutants: list[Mutant], claims: list[Claim], jobs: int) -> None:
    """A test that fails anyhow shows nothing. Each folder's by themselves, as they are run for a mutant."""
    named = (test.partition("::")[0] for claim in claims for test in claim.tests)
    tests = tuple(dict.fromkeys([*(test for mutant in mutants for test in mutant.tests), *named]))
    parts = [tuple(test for test in tests if _part(test) == part) for part in sorted({_part(test) for test in tests})]
    with ProcessPoolExecutor(jobs, get_context("fork"), initializer=_start, initargs=(folder,)) as pool:
        for problem, record in pool.map(_check_part, parts):
            if problem:
                raise SystemExit(f"mutants: the tests do not pass without a mutant:\n{problem}")
            _entered.update(record)
    print(f"mutants: {len(tests)} test files pass on the product as it is; {len(mutants)} mutants", flush=True)


def _part(test: str) -> str:
    return str(Path(test).parent)


def _check_part(tests: tuple[str, ...]) -> tuple[str, dict[str, Entered]]:
    """The end of the log if they fail, and what each test enters."""
    record = _scratch[0] / RECORD
    record.unlink(missing_ok=True)
    recorded = record if tests[0].startswith(RECORDED) else None
    compiled = () if recorded else ALL_ARTIFACTS
    status, log = run_tests(_scratch[0], tests, compiled, record=recorded)
    return (log[-3000:] if status else ""), read_record(record)


def _start(folder: Path) -> None:
    scratch = folder / str(os.getpid())
    make_scratch(ROOT, scratch)
    _scratch.append(scratch)


def _judge(mutant: Mutant) -> Judgement:
    """Awake in the compiled ledger, which takes a second; by its tests if that shows nothing or cannot be."""
    began = time.monotonic()
    found = _schemas[0].judge(mutant) if mutant in _schemas[0].numbers else None
    if found is None:
        if mutant.file.endswith(".sol"):
            known = mutant.name in _explained
            judgement = judge(replace(mutant, tests=mutant.tests[:NEAREST]) if known else mutant, _scratch[0])
        else:
            judgement = _judge_nearest(mutant)
        return replace(judgement, mutant=mutant, seconds=time.monotonic() - began)
    return Judgement(mutant, "killed", f"{TEST}: {found[:70]}", time.monotonic() - began, mutant.line(ROOT))


def _judge_nearest(mutant: Mutant) -> Judgement:
    """By the quickest tests that enter its function; then by all its tests."""
    near = nearest_tests(ROOT, mutant, _entered)
    judgement = judge(replace(mutant, tests=near), _scratch[0]) if near else None
    if judgement is None or judgement.result == "survived":
        return judge(mutant, _scratch[0])
    return judgement


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


def _summarize_claims(claims: list[Claim], empty: list[Claim], explained: dict[str, str]) -> int:
    """1 when a rule names a function of which its tests notice nothing, unexplained, or an explanation is in vain."""
    bad = [claim for claim in empty if claim.name not in explained]
    for claim in bad:
        why = "notice no mutant of it" if claim.tests else "are all too slow to judge by; name a quicker one"
        print(f"mutants: {SPECIFICATION.name}: {claim.name}: the tests that the rule names {why}")
    vain = [claim.name for claim in claims if claim.name in explained and claim not in empty]
    for name in vain:
        print(f"mutants: {PAGE.name} explains a {PREFIX.strip()} that holds: {name}")
    if claims:
        print(
            f"mutants: {len(claims)} functions named by rules: the rules' own tests notice mutants of "
            f"{len(claims) - len(empty)}, {len(bad)} of the others unexplained"
        )
    return 1 if bad or vain else 0


def _print_modules(judgements: list[Judgement]) -> None:
    """A line for each file."""
    for file in sorted({each.mutant.file for each in judgements}):
        counts = Counter(each.result for each in judgements if each.mutant.file == file)
        print(f"{file}: {counts.total()} mutants, " + ", ".join(f"{n} {result}" for result, n in counts.items()))


if __name__ == "__main__":
    sys.exit(main())
