"""The golden vectors hold in Python, in Solidity, and as they are checked in."""

from __future__ import annotations

import json
from typing import Any

import pytest
from eth_account import Account

from deepring_chain.crypto.signing import message_digest, recover_signer, sign_message
from deepring_chain.types import Address, Digest, Domain
from tests.differential.harness import Harness
from tests.differential.make_vectors import CHAIN_ID, PATH, build, message_of

VECTORS = json.loads(PATH.read_text(encoding="utf-8"))


def unhex(values: list[str]) -> list[Any]:
    return [Digest(bytes.fromhex(value)) for value in values]


def test_checked_in_vectors_are_what_the_code_computes() -> None:
    assert build() == VECTORS, (
        "a byte format changed; if it was meant to, run python -m tests.differential.make_vectors"
    )


@pytest.mark.parametrize("vector", VECTORS["block_hashes"], ids=lambda vector: f"{len(vector['leaves'])} leaves")
def test_block_hashes_hold_in_solidity(harness: Harness, vector: dict[str, Any]) -> None:
    assert harness.fold(unhex(vector["leaves"])) == unhex(vector["hashes"])


@pytest.mark.parametrize("vector", VECTORS["routes"], ids=lambda vector: f"{len(vector['salts'])} hops")
def test_routes_hold_in_solidity(harness: Harness, vector: dict[str, Any]) -> None:
    assert harness.route(vector["signers"], unhex(vector["salts"])) == unhex(vector["links"])


@pytest.mark.parametrize("vector", VECTORS["trails"], ids=lambda vector: f"{len(vector['entries'])} entries")
def test_trails_hold_in_solidity(harness: Harness, vector: dict[str, Any]) -> None:
    sealed_input, key = unhex([vector["input"], vector["sealing_key"]])
    trails = [
        harness.call("startTrail", vector["query"], vector["querent"], (sealed_input, key, vector["submitted_at"]))
    ]
    for entry in vector["entries"]:
        (digest,) = unhex([entry["digest"]])
        trails.append(harness.call("extendTrail", trails[-1], digest, entry["signer"]))
    assert trails == unhex(vector["trails"])


@pytest.mark.parametrize("vector", VECTORS["messages"], ids=lambda vector: vector["type"])
def test_message_digests_hold_in_solidity(harness: Harness, vector: dict[str, Any]) -> None:
    assert (vector["chain_id"], harness.domain.chain_id) == (CHAIN_ID, CHAIN_ID)
    assert harness.digest(message_of(vector), Address(vector["ledger"])).hex() == vector["digest"]


@pytest.mark.parametrize("vector", VECTORS["messages"], ids=lambda vector: vector["type"])
def test_signatures_hold_in_python(vector: dict[str, Any]) -> None:
    domain, message = Domain(vector["chain_id"], Address(vector["ledger"])), message_of(vector)
    signature = bytes.fromhex(vector["signature"])
    assert message_digest(domain, message).hex() == vector["digest"]
    assert sign_message(Account.from_key(vector["private_key"]), domain, message) == signature
    assert recover_signer(domain, message, signature) == vector["signer"]
