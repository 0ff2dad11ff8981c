"""Ctrl-C ends any command without a traceback, whatever it is doing; a query then says how to read its answer."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest

from tests.e2e.command import DEEPRING, environment

HEAVY = ["typer", "rich", "numpy", "web3", "torch", "requests", "fsspec", "PIL"]
"""What the commands import, from the first to the last."""

INTERRUPT = "import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(600)\n"


def run_with(stub: str, text: str, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command with a module of its own in place of one that it imports."""
    (folder / f"{stub}.py").write_text(text)
    command = [str(DEEPRING), *arguments]
    return subprocess.run(
        command, env=environment(PYTHONPATH=str(folder)), capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize("module", HEAVY)
def test_interrupt_while_the_command_is_imported_ends_it_without_a_word(module: str, tmp_path: Path) -> None:
    done = run_with(module, INTERRUPT, tmp_path, "status")
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "")


@pytest.mark.parametrize("module", ["typer", "torch"])
def test_interrupt_that_an_import_raises_ends_the_command_without_a_word(module: str, tmp_path: Path) -> None:
    done = run_with(module, "raise KeyboardInterrupt\n", tmp_path, "status")
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")
