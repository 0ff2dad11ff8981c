"""The `deepring` command as tests run it."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from deepring_chain.cli.main import main
from tests.e2e.live_ring import PASSWORD, await_ended

DEEPRING = Path(sys.executable).with_name("deepring")


def environment(**changed: str | None) -> dict[str, str]:
    """The tests' environment with the password, and what is given; None takes a name out."""
    base: dict[str, str | None] = {**os.environ, "DEEPRING_PASSWORD": PASSWORD, "DEEPRING_PASSWORD_FILE": None}
    return {name: value for name, value in {**base, **changed}.items() if value is not None}


def deepring(*arguments: object, timeout: float = 60, **changed: str | None) -> subprocess.CompletedProcess[str]:
    """Runs the command to its end in a process of its own, without a terminal."""
    return subprocess.run(
        [DEEPRING, *(str(argument) for argument in arguments)],
        env=environment(**changed),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
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


class Terminal:
    """The command within this process, which takes a tenth of the time; an unexpected exception fails the test."""

    def __init__(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self._capsys, self._monkeypatch = capsys, monkeypatch
        monkeypatch.setenv("DEEPRING_PASSWORD", PASSWORD)
        monkeypatch.delenv("DEEPRING_PASSWORD_FILE", raising=False)

    def run(self, *arguments: object) -> tuple[object, str, str]:
        """Exit code, standard output and standard error."""
        self._monkeypatch.setattr(sys, "argv", ["deepring", *(str(argument) for argument in arguments)])
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
    command = [DEEPRING, "up", "--ring", ring, *arguments]
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
        assert line.startswith("ring is up: node http://127.0.0.1:"), process.communicate(timeout=20)
        family = descendants(process.pid)
        yield process
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=20)
        assert (process.returncode, output) == (0, "ring is down\n"), errors
        assert "Traceback" not in errors
        assert len(family) >= 3
        assert await_ended(family) == set()
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
