"""Logs become records; one of a run becomes a record for each hop, and a malformed one is one line."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from dataclasses import astuple, replace
from typing import Any, cast

import pytest
from eth_abi.abi import encode as abi_encode
from eth_utils import event_abi_to_log_topic
from hexbytes import HexBytes
from hypothesis import given, settings
from hypothesis import strategies as st
from web3 import Web3
from web3.contract import Contract

from deepring_chain.chain.artifact import load_artifact
from deepring_chain.chain.event_layout import EventLayout
from deepring_chain.chain.events import EventDecoder, forgiving_codec
from deepring_chain.errors import ChainError
from deepring_chain.protocol.events import LoggedEvent, UpdatePosted
from deepring_chain.protocol.run import Run
from deepring_chain.types import Digest, Domain, Hop, SignedUpdate
from tests.unit.chain.abi_values import value_of
from tests.unit.protocol.protocol_tools import DOMAIN, OTHER_CHAIN, address, digest, signed_run

ABI = {entry["name"]: entry for entry in load_artifact().abi if entry["type"] == "event"}
CONTRACT = Web3().eth.contract(abi=load_artifact().abi)
BLOCK, TRANSACTION = digest(201), digest(202)
SIGNED = signed_run()


def decoder(domain: Domain = DOMAIN) -> EventDecoder:
    web3 = Web3()
    web3.codec = forgiving_codec()
    return EventDecoder(cast("Contract", web3.eth.contract(abi=load_artifact().abi)), domain)


def type_of(item: Mapping[str, Any]) -> str:
    if not item["type"].startswith("tuple"):
        return str(item["type"])
    return f"({','.join(map(type_of, item['components']))}){item['type'][5:]}"


def log_of(name: str, **values: Any) -> dict[str, Any]:
    """As a node tells it, in log 4 of block 9."""
    inputs = ABI[name]["inputs"]
    indexed = [abi_encode([type_of(item)], [values[item["name"]]]) for item in inputs if item["indexed"]]
    plain = [item for item in inputs if not item["indexed"]]
    data = abi_encode([type_of(item) for item in plain], [values[item["name"]] for item in plain])
    return with_data([event_abi_to_log_topic(ABI[name]), *indexed], data)  # type: ignore[arg-type]


def with_data(topics: list[bytes], data: bytes) -> dict[str, Any]:
    return {
        "address": DOMAIN.ledger,
        "topics": [HexBytes(topic) for topic in topics],
        "data": HexBytes(data),
        "blockNumber": 9,
        "blockHash": HexBytes(BLOCK),
        "transactionHash": HexBytes(TRANSACTION),
        "transactionIndex": 0,
        "logIndex": 4,
        "removed": False,
    }


def log_of_run(run: Run) -> dict[str, Any]:
    entries = [astuple(entry) for entry in run.entries]
    place = {"query": run.query, "attempt": run.attempt, "hop": run.hop, "items": run.items, "trail": run.trail}
    return log_of("RunPosted", **place, output=run.output, rest=run.rest, entries=entries)


def log_of_update(signed: SignedUpdate) -> dict[str, Any]:
    run = Run.of([signed])
    place = {"query": run.query, "attempt": run.attempt, "hop": run.hop, "items": run.items, "trail": run.trail}
    return log_of("UpdatePosted", **place, output=run.output, rest=run.rest, entry=astuple(run.entries[0]))


def decoded(log: dict[str, Any], domain: Domain = DOMAIN) -> list[LoggedEvent]:
    return decoder(domain).decode(log)  # type: ignore[arg-type]


def updates_of(found: list[LoggedEvent]) -> list[SignedUpdate]:
    return [logged.event.signed for logged in found if isinstance(logged.event, UpdatePosted)]


# ---------------------------------------------------------------- what stands in a log


def test_run_becomes_a_record_for_each_hop() -> None:
    found = decoded(log_of_run(Run.of(SIGNED)))
    assert updates_of(found) == SIGNED
    assert [logged.event.signer for logged in found if isinstance(logged.event, UpdatePosted)] == [
        address(10 + index) for index in range(5)
    ]
    assert [logged.part for logged in found] == [0, 1, 2, 3, 4]
    assert {(each.block_number, each.block_hash, each.transaction_hash, each.log_index) for each in found} == {
        (9, BLOCK, TRANSACTION, 4)
    }


@pytest.mark.parametrize("count", [1, 2])
def test_short_run_is_read_like_a_long_one(count: int) -> None:
    assert updates_of(decoded(log_of_run(Run.of(SIGNED[:count])))) == SIGNED[:count]


@pytest.mark.parametrize("index", range(5))
def test_single_update_is_one_record(index: int) -> None:
    (logged,) = decoded(log_of_update(SIGNED[index]))
    assert updates_of([logged]) == [SIGNED[index]]
    assert logged.part == 0


def test_single_updates_and_a_run_tell_the_same() -> None:
    apart = [logged.event for signed in SIGNED for logged in decoded(log_of_update(signed))]
    assert apart == [logged.event for logged in decoded(log_of_run(Run.of(SIGNED)))]


def test_run_of_another_chain_has_other_signers() -> None:
    found = decoded(log_of_run(Run.of(SIGNED)), OTHER_CHAIN)
    signers = {logged.event.signer for logged in found if isinstance(logged.event, UpdatePosted)}
    assert signers.isdisjoint({address(10 + index) for index in range(5)})


def test_withdrawal_is_a_record() -> None:
    (logged,) = decoded(log_of("QueryWithdrawn", query=7))
    assert (type(logged.event).__name__, logged.part) == ("QueryWithdrawn", 0)


@pytest.mark.parametrize("name", sorted(ABI))
def test_fields_are_those_that_web3_finds(name: str) -> None:
    rng = random.Random(name)  # noqa: S311 - it must be repeatable, not secret
    for _ in range(20):
        values = {item["name"]: as_tuples(value_of(item, rng)) for item in ABI[name]["inputs"]}
        log: Any = log_of(name, **values)
        expected = CONTRACT.events[name]().process_log(log)["args"]
        found = EventLayout.of(ABI[name]).read(CONTRACT.w3.codec, log["topics"], log["data"])
        assert lowered(found) == lowered(json.loads(Web3.to_json(dict(expected))))


def as_tuples(value: Any) -> Any:
    """As eth-abi takes them."""
    if isinstance(value, list):
        return [as_tuples(part) for part in value]
    return tuple(value.values()) if isinstance(value, dict) else value


def lowered(value: Any) -> Any:
    """Values in one form: web3 gives checksummed addresses, and its own dictionaries."""
    match value:
        case dict():
            return {name: lowered(part) for name, part in value.items()}
        case list() | tuple():
            return [lowered(part) for part in value]
        case bytes():
            return "0x" + value.hex()
        case str() if len(value) == 42:
            return value.lower()
    return value


# ---------------------------------------------------------------- what a lying node may tell


def one_line(log: dict[str, Any]) -> str:
    with pytest.raises(ChainError) as caught:
        decoded(log)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("index", range(5))
def test_run_with_a_signature_of_nobody_is_one_line(index: int) -> None:
    run = Run.of(SIGNED)
    entries = list(run.entries)
    entries[index] = replace(entries[index], r=Digest(bytes(32)))
    told = one_line(log_of_run(replace(run, entries=tuple(entries))))
    assert told.startswith("log 4 of block 9 is a malformed RunPosted (signature recovers to nobody")


def test_run_with_a_high_s_is_one_line() -> None:
    run = Run.of(SIGNED[:1])
    entry = replace(run.entries[0], vs=Digest(b"\xff" * 32))
    assert "malformed RunPosted (signature with a high s" in one_line(log_of_run(replace(run, entries=(entry,))))


def test_update_with_a_signature_of_nobody_is_one_line() -> None:
    log = log_of_update(replace(SIGNED[0], signature=bytes(64) + b"\x1b"))
    assert "log 4 of block 9 is a malformed UpdatePosted (signature" in one_line(log)


def test_run_without_hops_is_one_line() -> None:
    """The ledger makes no such log."""
    log = log_of_run(replace(Run.of(SIGNED), entries=()))
    assert one_line(log) == "log 4 of block 9 is a malformed RunPosted (query 7: a run without a hop)"


def test_run_beyond_the_last_hop_is_one_line() -> None:
    told = one_line(log_of_run(replace(Run.of(SIGNED), hop=Hop(2**16 - 1))))
    assert "malformed RunPosted (query 7: a run of 5 hops from hop 65535 on)" in told


@pytest.mark.parametrize("cut", [1, 32, 160, 400])
def test_log_that_is_cut_off_is_one_line(cut: int) -> None:
    log = log_of_run(Run.of(SIGNED))
    assert "malformed RunPosted" in one_line({**log, "data": HexBytes(bytes(log["data"])[:-cut])})


def test_run_that_claims_more_hops_than_it_has_is_one_line() -> None:
    """No memory is taken for what is not there."""
    log = log_of_run(Run.of(SIGNED))
    data = bytes(log["data"])
    many = (5).to_bytes(32, "big")
    place = data.rindex(many)
    huge = data[:place] + (2**40).to_bytes(32, "big") + data[place + 32 :]
    assert "malformed RunPosted" in one_line({**log, "data": HexBytes(huge)})


def test_log_without_its_topics_is_one_line() -> None:
    log = log_of_run(Run.of(SIGNED))
    assert "malformed RunPosted" in one_line({**log, "topics": log["topics"][:1]})


def test_log_of_something_else_is_one_line() -> None:
    for topics in ([], [bytes(32)]):
        assert one_line(with_data(topics, b"")) == "log 4 of block 9 is no event of the ledger"


@given(st.binary(max_size=600))
@settings(max_examples=100, deadline=None)
def test_any_bytes_are_records_or_one_line(data: bytes) -> None:
    log = log_of_run(Run.of(SIGNED[:2]))
    try:
        told = repr(decoded({**log, "data": HexBytes(data)}))
    except ChainError as error:
        told = str(error)
    assert "\n" not in told
