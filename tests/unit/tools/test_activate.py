"""A clean shell finds the repository's own programs after `. tools/activate`."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SHOW = 'command -v brownie; command -v deepring; command -v anvil; echo "$SOLCX_BINARY_PATH"'


def shell(command: str, folder: Path, name: str = "sh") -> subprocess.CompletedProcess[str]:
    program = shutil.which(name)
    assert program is not None
    env = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent"}
    return subprocess.run([program, "-c", command], cwd=folder, env=env, capture_output=True, text=True, check=False)


def expected() -> list[str]:
    programs = ["tools/bin/brownie", ".venv/bin/deepring", "node_modules/.bin/anvil", "tools/solcx"]
    return [str(ROOT / path) for path in programs]


@pytest.mark.parametrize("name", ["sh", "bash"])
def test_programs_of_the_repository_come_first(name: str) -> None:
    result = shell(f". tools/activate && {SHOW}", ROOT, name)
    assert result.stdout.splitlines() == expected()
    assert result.stderr == ""


def test_bash_may_source_it_from_anywhere(tmp_path: Path) -> None:
    assert shell(f". {ROOT}/tools/activate && {SHOW}", tmp_path, "bash").stdout.splitlines() == expected()


def test_copy_elsewhere_fails_with_one_line(tmp_path: Path) -> None:
    (tmp_path / "tools").mkdir()
    shutil.copy(ROOT / "tools/activate", tmp_path / "tools/activate")
    result = shell(f". tools/activate || exit 7; {SHOW}", tmp_path)
    assert result.returncode == 7
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1


def test_brownie_leaves_the_home_folder_alone(tmp_path: Path) -> None:
    result = shell(f"HOME={tmp_path}; export HOME; . tools/activate && brownie networks list", ROOT)
    assert result.returncode == 0, result.stderr
    assert "anvil" in result.stdout
    assert list(tmp_path.iterdir()) == []
    assert (ROOT / ".home/.brownie/network-config.yaml").is_file()
