"""Ctrl-C ends any command without a traceback, whatever it is doing; a query then says how to read its answer."""

from __future__ import annotations

import shlex
import signal
import subprocess
from pathlib import Path

import numpy as np
import pytest

from deepring_chain.types import RingMode
from tests.e2e.command import DEEPRING, environment, said
from tests.e2e.live_ring import LiveRing, random_images

HEAVY = ["typer", "rich", "numpy", "web3", "torch", "requests", "fsspec", "PIL"]
"""What `deepring demo` imports, from the first to the last."""

INTERRUPT = "import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(600)\n"


def run_with(stub: str, text: str, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command with a module of its own in place of one that it imports."""
    (folder / f"{stub}.py").write_text(text)
    command = [str(DEEPRING), *arguments]
    return subprocess.run(command, env=environment(PYTHONPATH=str(folder)), capture_output=True, text=True, check=False)


@pytest.mark.parametrize("module", HEAVY)
def test_interrupt_while_the_command_is_imported_ends_it_without_a_word(module: str, tmp_path: Path) -> None:
    done = run_with(module, INTERRUPT, tmp_path, "demo")
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "")


@pytest.mark.parametrize("module", ["typer", "torch"])
def test_interrupt_that_an_import_raises_ends_the_command_without_a_word(module: str, tmp_path: Path) -> None:
    done = run_with(module, "raise KeyboardInterrupt\n", tmp_path, "demo")
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_interrupted_query_says_how_to_read_its_answer(tiny_ring: LiveRing, tmp_path: Path) -> None:
    np.save(tmp_path / "image.npy", random_images(1)[0])
    tiny_ring.await_mode(RingMode.QUERY)
    tiny_ring.kill("worker-3")
    command: list[str | Path] = [DEEPRING, "query", tmp_path / "image.npy", "--ring", tiny_ring.folder.path]
    with subprocess.Popen(command, env=environment(), stdout=-1, stderr=-1, text=True) as asking:
        assert asking.stderr is not None
        later = asking.stderr.readline().partition("to read its answer later: ")[2].strip()
        assert later.startswith("deepring answer ")
        while "hop 3 of 3 is next" not in asking.stderr.readline():
            assert asking.poll() is None
        asking.send_signal(signal.SIGINT)
        output, errors = asking.communicate()
    assert (asking.returncode, output) == (130, "")
    assert errors.splitlines()[-1].endswith(f"stays on the ledger; to read its answer: {later}")
    tiny_ring.start("worker-3")
    assert "the answer matches its commitment" in said(*shlex.split(later)[1:])
