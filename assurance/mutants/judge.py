"""Whether a test fails for a mutant: in a scratch copy, compiled there, in a process of its own."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import NoReturn

from assurance.mutants.mutant import Mutant
from assurance.mutants.reach import Recorder

LIMIT = 300.0
"""Seconds for one mutant of a Python module; tests that hang have noticed it."""
LONG_LIMIT = 1800.0
"""For a mutant of the contracts, which all their tests may have to try, and for all tests at once: neither hangs."""
DOES_NOT_COMPILE, BROKEN = 90, 91
"""Exit codes of the process that judges, beside pytest's: it is the mutant's fault, or the machine's."""
JUDGING = frozenset({0, 1, 2, DOES_NOT_COMPILE})
"""Tests passed, failed, could not be imported; or there was nothing to test."""
NOT_COLLECTED = 4
"""The file of a single test could not be imported; or there is no such test, which the baseline finds."""
ALL_ARTIFACTS = ("Ledger", "DigestHarness")
ARTIFACTS = ("deepring_chain/chain/artifacts/Ledger.json", "tests/artifacts/DigestHarness.json")
"""What a mutant of the contracts leaves behind, and the next mutant must not be judged with."""
QUICK = {"optimizer": {"enabled": True, "runs": 1}, "viaIR": False}
"""Settings under which the contracts compile in a third of the time, and are small enough for a node."""
LINKED = ("node_modules",)
LEFT_OUT = ("docs/", "benchmarks/")
FAILED = re.compile(r"^(?:FAILED|ERROR) (\S+)", re.MULTILINE)


class MachineBroken(Exception):
    """No judgement was reached, so nothing was shown."""


@dataclass(frozen=True)
class Judgement:
    """What became of a mutant.

    Attributes:
        mutant: the mutant.
        result: `killed`, `survived`, or `invalid` when it does not compile.
        by: the test that failed.
        seconds: how long that took.
        line: where the mutant is now.
        log: the end of what the tests printed.
    """

    mutant: Mutant
    result: str
    by: str
    seconds: float
    line: int
    log: str = ""


def make_scratch(root: Path, scratch: Path) -> None:
    """Copies what git knows of, or would, to `scratch`."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"],  # noqa: S607
        cwd=root,
        capture_output=True,
        check=True,
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        source = root / name
        if source.is_file() and not name.startswith(LEFT_OUT):
            (scratch / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, scratch / name)
            shutil.copymode(source, scratch / name)
    for name in LINKED:
        (scratch / name).symlink_to(root / name)
    # Byte code that is checked against the source's hash: the rest of the product need not be compiled again each time,
    # and the mutant's own is never stale. Those of the tests themselves are pytest's to compile.
    command = [sys.executable, "-m", "compileall", "-q", "--invalidation-mode", "checked-hash"]
    command += ["-x", "/(test_|conftest)"]
    subprocess.run([*command, "deepring_chain", "assurance", "tests"], cwd=scratch, check=True)


def judge(mutant: Mutant, scratch: Path) -> Judgement:
    """Runs the mutant's tests on it.

    Raises:
        StaleMutant: it does not fit the scratch copy.
        MachineBroken: its tests could not be run.
    """
    began, line = time.monotonic(), mutant.line(scratch)
    artifacts = {path: path.read_bytes() for name in ARTIFACTS if (path := scratch / name).exists()}
    before = mutant.apply(scratch)
    try:
        limit = LONG_LIMIT if mutant.file.endswith(".sol") else LIMIT
        status, log = run_tests(scratch, mutant.tests, _artifacts(mutant), limit)
    finally:
        (scratch / mutant.file).write_bytes(before)
        for path, held in artifacts.items():
            path.write_bytes(held)
    judging = {None, *JUDGING, *([NOT_COLLECTED] if FAILED.search(log) else [])}
    if status == BROKEN or status not in judging:
        raise MachineBroken(f"{mutant.name}: exit code {status}: {log[-1500:]}")
    results: dict[int | None, str] = {0: "survived", DOES_NOT_COMPILE: "invalid"}
    result = results.get(status, "killed")
    named = FAILED.search(log)
    ended = "time limit" if status is None else f"pytest's exit code {status}"
    by = named.group(1) if named else ended
    return Judgement(mutant, result, by if result == "killed" else "", time.monotonic() - began, line, log[-2000:])


def _artifacts(mutant: Mutant) -> tuple[str, ...]:
    """The artifacts that change with the mutant."""
    if not mutant.file.endswith(".sol"):
        return ()
    return ALL_ARTIFACTS if "/libraries/" in mutant.file else ALL_ARTIFACTS[:1]


def run_tests(
    scratch: Path,
    tests: tuple[str, ...],
    compiled: tuple[str, ...],
    limit: float = LONG_LIMIT,
    record: Path | None = None,
) -> tuple[int | None, str]:
    """Runs tests in a scratch copy until the first failure.

    Args:
        scratch: the copy.
        tests: test files in it.
        compiled: names of the contracts that are compiled first.
        limit: seconds.
        record: a file to which is added what each test enters (`reach`).

    Returns:
        pytest's exit code, None when it took too long; and what was printed.
    """
    log = scratch / "mutant.log"
    child = os.fork()
    if child == 0:
        _be_child(scratch, tests, log, compiled, record)
    status = _wait(child, limit)
    return status, log.read_text(encoding="utf-8", errors="replace")


def _wait(child: int, limit: float) -> int | None:
    """The exit code of a child, or None when it had to be ended; whatever it started goes with it."""
    end = time.monotonic() + limit
    while time.monotonic() < end:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            _kill_group(child)
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.02)
    _kill_group(child)
    os.waitpid(child, 0)
    return None


def _kill_group(leader: int) -> None:
    try:
        os.killpg(leader, signal.SIGKILL)
    except ProcessLookupError:
        return


def _be_child(
    scratch: Path, tests: tuple[str, ...], log: Path, compiled: tuple[str, ...], record: Path | None
) -> NoReturn:
    status = BROKEN
    try:
        os.setsid()
        target = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(target, 1)
        os.dup2(target, 2)
        os.chdir(scratch)
        sys.dont_write_bytecode = True
        _forget_product(scratch)
        if compiled and not _compile(scratch, compiled):
            os._exit(DOES_NOT_COMPILE)
        status = _pytest(scratch, tests, record)
    except BaseException:  # noqa: BLE001  (nothing of the parent may go on in the child)
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _forget_product(scratch: Path) -> None:
    """Makes the product and its tests come from the scratch copy, whatever was imported before the fork."""
    for name in [name for name in sys.modules if name.split(".")[0] in {"deepring_chain", "tests"}]:
        del sys.modules[name]
    sys.path[:] = [str(scratch), *(entry for entry in sys.path if entry)]
    found = importlib.util.find_spec("deepring_chain")
    if found is None or not str(found.origin).startswith(str(scratch)):
        raise RuntimeError(f"the product would come from {found.origin if found else 'nowhere'}, not from {scratch}")


def _compile(scratch: Path, names: tuple[str, ...]) -> bool:
    """Writes artifacts of the scratch copy anew; a mutant may well cause a warning."""
    tool = _tool(scratch)
    tool.SETTINGS.update(QUICK)
    try:
        for source, target in tool.artifact_files():
            if source.stem in names:
                tool.write_artifact(target, tool.compile_contract(source, warnings_allowed=True))
    except tool.ChainError as error:
        print(error)
        return False
    return True


def _tool(scratch: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("compile_contracts", scratch / "tools/compile_contracts.py")
    assert spec is not None  # the file is part of the repository
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _pytest(scratch: Path, tests: tuple[str, ...], record: Path | None) -> int:
    import pytest  # noqa: PLC0415  (its plugins must see the scratch copy alone)

    there = [name for name in tests if (scratch / name.partition("::")[0]).exists()]
    options = ["-x", "-q", "-n0", "-p", "no:cacheprovider", "--tb=line", "--timeout=60"]
    recorder = Recorder(scratch)
    status = int(pytest.main([*options, *there], plugins=[recorder] if record else []))
    if record:
        recorder.write(record)
    return status
