"""The `deepring` command as tests run it."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest

from deepring_chain.chain import probe
from deepring_chain.cli.main import main
from deepring_chain.health import actors, collect
from deepring_chain.ring.running import RunningActor
from tests.e2e.live_ring import NO_DEADLINES, PASSWORD, await_ended
from tests.waiting import FOREVER

Found = TypeVar("Found")

DEEPRING = Path(sys.executable).with_name("deepring")


def environment(**changed: str | None) -> dict[str, str]:
    """The tests' environment with the password, and what is given; None takes a name out."""
    base: dict[str, str | None] = {**os.environ, "DEEPRING_PASSWORD": PASSWORD, "DEEPRING_PASSWORD_FILE": None}
    return {name: value for name, value in {**base, **changed}.items() if value is not None}


def patient(*arguments: object) -> list[str]:
    """The command's arguments; it waits for an answer as long as it takes, unless it is told otherwise."""
    given = [str(argument) for argument in arguments]
    return (
        [*given, "--timeout", "86400"] if given[:1] in (["query"], ["answer"]) and "--timeout" not in given else given
    )


def deepring(*arguments: object, **changed: str | None) -> subprocess.CompletedProcess[str]:
    """Runs the command to its end in a process of its own, without a terminal."""
    return subprocess.run(
        [str(DEEPRING), *patient(*arguments)],
        env=environment(**changed),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def said(*arguments: object, **changed: str | None) -> str:
    """Standard output of a command that succeeds."""
    done = deepring(*arguments, **changed)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout


def refusal(*arguments: object, **changed: str | None) -> str:
    """The one error line of a command that fails."""
    done = deepring(*arguments, **changed)
    return one_error(done.returncode, done.stderr)


def one_error(code: object, stderr: str) -> str:
    """The error in what a command wrote to standard error."""
    assert code == 1, stderr
    assert "Traceback" not in stderr
    *steps, last = stderr.splitlines()
    assert last.startswith("error: "), stderr
    assert not any("error" in step for step in steps), stderr
    return last


class Hurry:
    """How long the doctor and its like wait: as long as it takes, whatever --timeout says, but for the hung."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._hung: set[int] = set()
        self._is_node_hung = False
        fetch, look_at_node, within = actors.fetch_page, probe.look_at_node, collect.within

        def patient_fetch(running: RunningActor, page: str, _timeout: float, *more: int) -> Any:
            return fetch(running, page, 0.5 if running.pid in self._hung else FOREVER, *more)

        def patient_look(url: str, seconds: float) -> Any:
            return look_at_node(url, seconds if self._is_node_hung else FOREVER)

        def patient_within(seconds: float, what: str, work: Callable[[], Found]) -> Found:
            return within(seconds if self._is_node_hung and "node" in what else FOREVER, what, work)

        monkeypatch.setattr(actors, "fetch_page", patient_fetch)
        monkeypatch.setattr(collect, "look_at_node", patient_look)
        monkeypatch.setattr(collect, "within", patient_within)

    def processes(self, *pids: int) -> None:
        """These never answer."""
        self._hung = set(pids)

    def node(self) -> None:
        """The node never answers as a whole: it is waited for as long as --timeout says."""
        self._is_node_hung = True


class Terminal:
    """The command within this process, which takes a tenth of the time; an unexpected exception fails the test."""

    def __init__(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self._capsys, self._monkeypatch = capsys, monkeypatch
        monkeypatch.setenv("DEEPRING_PASSWORD", PASSWORD)
        monkeypatch.delenv("DEEPRING_PASSWORD_FILE", raising=False)

    def run(self, *arguments: object) -> tuple[object, str, str]:
        """Exit code, standard output and standard error."""
        self._monkeypatch.setattr(sys, "argv", ["deepring", *patient(*arguments)])
        self._monkeypatch.setattr(sys, "stdin", io.StringIO())
        with pytest.raises(SystemExit) as ended:
            main()
        output, errors = self._capsys.readouterr()
        return ended.value.code, output, errors

    def said(self, *arguments: object) -> str:
        """Standard output of a command that succeeds."""
        code, output, errors = self.run(*arguments)
        assert code == 0, errors
        return output

    def refusal(self, *arguments: object) -> str:
        """The one error line of a command that fails."""
        code, _, errors = self.run(*arguments)
        return one_error(code, errors)


@contextmanager
def ring_up(ring: Path, *arguments: object, **changed: str | None) -> Iterator[subprocess.Popen[str]]:
    """`deepring up` until Ctrl-C, after which it has ended well and nothing of it is left."""
    deadlines = ("--hop-seconds", NO_DEADLINES.hop, "--withdraw-seconds", NO_DEADLINES.withdraw)
    command = [DEEPRING, "up", "--ring", ring, *deadlines, *arguments]
    process = subprocess.Popen(
        [str(part) for part in command],
        env=environment(**changed),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("ring is up: node http://127.0.0.1:"), process.communicate()
        family = descendants(process.pid)
        yield process
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate()
        assert (process.returncode, output) == (0, "ring is down\n"), errors
        assert "Traceback" not in errors
        assert len(family) >= 3
        await_ended(family)
    finally:
        process.kill()
        process.wait()


def descendants(pid: int) -> set[int]:
    """Children of a process, theirs, and so on."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue  # it ended meanwhile
    found: set[int] = set()
    while new := {child for child, parent in parents.items() if parent in {pid, *found}} - found:
        found |= new
    return found
