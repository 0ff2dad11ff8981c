"""The artifacts that are checked in: the tool notices when they no longer belong to the sources."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from deepring_chain.chain.artifact import content_digest
from deepring_chain.errors import ChainError

ROOT = Path(__file__).parents[3]
DUMMY = (
    "// SPDX-License-Identifier: Apache-2.0\npragma solidity 0.8.30;\n\ncontract Ledger {\n    uint256 public x;\n}\n"
)


@pytest.fixture
def tool(tmp_path: Path) -> ModuleType:
    """The tool, at work in a small repository of its own."""
    spec = importlib.util.spec_from_file_location("compile_contracts", ROOT / "tools/compile_contracts.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    (tmp_path / "contracts").mkdir()
    (tmp_path / "contracts/Ledger.sol").write_text(DUMMY)
    vars(module)["ROOT"] = tmp_path
    return module


@pytest.fixture
def artifact(tool: ModuleType, tmp_path: Path) -> Path:
    assert tool.main([]) == 0
    return tmp_path / "deepring_chain/chain/artifacts/Ledger.json"


def rewrite(artifact: Path, **changes: Any) -> None:
    fields = {**json.loads(artifact.read_text()), **changes}
    del fields["digest"]
    artifact.write_text(json.dumps({**fields, "digest": content_digest(fields)}))


def test_artifact_just_made_is_up_to_date_and_made_again_the_same(tool: ModuleType, artifact: Path) -> None:
    before = artifact.read_bytes()
    assert tool.main(["--check"]) == 0
    assert tool.main([]) == 0
    assert artifact.read_bytes() == before


def check_fails(tool: ModuleType, capsys: pytest.CaptureFixture[str], message: str) -> None:
    capsys.readouterr()
    assert tool.main(["--check"]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert message in error


def test_changed_source_makes_it_stale(
    tool: ModuleType, artifact: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert artifact.exists()
    (tmp_path / "contracts/Ledger.sol").write_text(DUMMY + "// changed\n")
    check_fails(tool, capsys, "stale (changed: contracts/Ledger.sol)")


def test_changed_bytecode_makes_it_stale(tool: ModuleType, artifact: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rewrite(artifact, bytecode="0x00")
    check_fails(tool, capsys, "stale (same sources, another bytecode)")


def test_absent_artifact_fails(tool: ModuleType, artifact: Path, capsys: pytest.CaptureFixture[str]) -> None:
    artifact.unlink()
    check_fails(tool, capsys, "is missing")


def test_damaged_artifact_fails(tool: ModuleType, artifact: Path, capsys: pytest.CaptureFixture[str]) -> None:
    artifact.write_text(artifact.read_text()[:-20])
    check_fails(tool, capsys, "damaged")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (DUMMY.replace("uint256", "uint257"), "Identifier not found"),
        (DUMMY.replace("// SPDX-License-Identifier: Apache-2.0\n", ""), "SPDX"),
    ],
    ids=["error", "warning"],
)
def test_complaint_of_the_compiler_fails_in_one_line(
    tool: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str], source: str, message: str
) -> None:
    (tmp_path / "contracts/Ledger.sol").write_text(source)
    check_fails(tool, capsys, message)


def test_absent_compiler_says_what_to_install(tool: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tool, "SOLC_VERSION", "0.8.1")
    with pytest.raises(ChainError, match="npm ci"):
        tool.run_compiler("contracts/Ledger.sol")
