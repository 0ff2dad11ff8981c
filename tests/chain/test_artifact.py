"""The shipped contract: it loads, damage is found, and it is recognized on the chain."""

from __future__ import annotations

import hashlib
import json
from importlib import resources
from pathlib import Path

import pytest
from web3 import HTTPProvider, Web3

from deepring_chain.chain.artifact import Artifact, load_artifact, parse_artifact, read_artifact, source_hash
from deepring_chain.chain.devnet import Devnet
from deepring_chain.errors import ChainError

ROOT = Path(__file__).parents[2]
SHIPPED = (resources.files("deepring_chain.chain") / "artifacts" / "Ledger.json").read_text(encoding="utf-8")


def test_shipped_ledger_loads() -> None:
    ledger = load_artifact()
    assert ledger.name == "Ledger"
    assert ledger.compiler.startswith("0.8.30")
    assert ledger.settings["evmVersion"] == "paris"
    assert {entry["type"] for entry in ledger.abi} >= {"constructor", "function", "event", "error"}


def test_ledger_fits_on_ethereum() -> None:
    ledger = load_artifact()
    assert 0 < len(ledger.deployed_bytecode) <= 24_576  # EIP-170
    assert len(ledger.bytecode) <= 49_152  # EIP-3860


def test_source_hash_is_that_of_sha256sum() -> None:
    sources = {"b.sol": "02" * 32, "a.sol": "01" * 32}
    listing = f"{'01' * 32}  a.sol\n{'02' * 32}  b.sol\n"
    assert source_hash(sources) == hashlib.sha256(listing.encode()).hexdigest()


def test_shipped_source_hash_covers_the_sources_of_the_repository() -> None:
    ledger = load_artifact()
    assert ledger.source_hash == source_hash(ledger.sources)
    assert any(path.startswith("node_modules/@openzeppelin/") for path in ledger.sources)
    actual = {path: hashlib.sha256((ROOT / path).read_bytes()).hexdigest() for path in ledger.sources}
    assert actual == ledger.sources


def test_unknown_contract_is_one_clear_line() -> None:
    with pytest.raises(ChainError, match="no readable contract Absent"):
        load_artifact("Absent")


def test_absent_file_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(ChainError, match="make contracts"):
        read_artifact(tmp_path / "Absent.json")


def flip_one_digit(text: str) -> str:
    place = text.index('"bytecode": "0x') + 1000
    return text[:place] + ("0" if text[place] != "0" else "1") + text[place + 1 :]


@pytest.mark.parametrize(
    "damaged",
    ["", "null", "[]", "{}", '{"digest": ""}', SHIPPED[:-100], flip_one_digit(SHIPPED)],
    ids=["empty", "null", "list", "object", "digest", "truncated", "flipped"],
)
def test_damaged_artifact_is_refused(damaged: str) -> None:
    with pytest.raises(ChainError, match=r"Ledger\.json is damaged") as error:
        parse_artifact(damaged, "Ledger.json")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("field", sorted(set(json.loads(SHIPPED)) - {"digest"}))
def test_missing_field_is_refused(field: str) -> None:
    fields = json.loads(SHIPPED)
    del fields[field]
    with pytest.raises(ChainError, match="damaged"):
        parse_artifact(json.dumps(fields), "Ledger.json")


def deploy_harness(url: str, harness: Artifact) -> bytes:
    web3 = Web3(HTTPProvider(url))
    contract = web3.eth.contract(abi=harness.abi, bytecode=harness.bytecode)
    sent = contract.constructor().transact({"from": web3.eth.accounts[0]})
    address = web3.eth.wait_for_transaction_receipt(sent)["contractAddress"]
    assert address is not None
    return bytes(web3.eth.get_code(address))


@pytest.mark.parametrize("kind", ["anvil", pytest.param("ganache", marks=pytest.mark.ganache)])
def test_code_on_the_chain_is_recognized_despite_its_immutables(kind) -> None:  # type: ignore[no-untyped-def]
    harness = read_artifact(ROOT / "tests/artifacts/DigestHarness.json")
    with Devnet(kind) as node:
        code = deploy_harness(node.url, harness)
    assert code != harness.deployed_bytecode
    assert harness.is_code(code)
    assert not harness.is_code(b"")
    assert not harness.is_code(code[:-1])
    assert not harness.is_code(code + b"\0")
    assert not harness.is_code(bytes([code[0] ^ 1]) + code[1:])
