"""A command starts without what it does not need: torch, onnx and matplotlib take two seconds of the processor."""

from __future__ import annotations

import subprocess
import sys

import pytest
from typer.main import get_command

from deepring_chain.cli.app import COMMANDS, app_for

HEAVY = ("torch", "onnx", "matplotlib")
LIGHT = ("query", "answer", "status", "doctor", "trail", "report", "audit", "export", "auditor-key", "admit-auditor")


def test_commands_that_read_and_ask_import_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from deepring_chain.cli.app import app_for\n"
        f"for name in {LIGHT}:\n"
        "    app_for([name])\n"
        f"    print(name, *(module for module in {HEAVY} if module in sys.modules))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [f"{name}" for name in LIGHT]


@pytest.mark.parametrize("arguments", [[], ["--help"], ["quer", "1"]])
def test_help_page_and_error_know_all_commands(arguments: list[str]) -> None:
    assert list(get_command(app_for(arguments)).commands) == list(COMMANDS)  # type: ignore[attr-defined]


def test_typed_command_is_the_only_one_of_its_app() -> None:
    assert list(get_command(app_for(["status", "query"])).commands) == ["status"]  # type: ignore[attr-defined]
