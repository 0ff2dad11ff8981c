"""Calls are written as web3 writes them, and nothing is bent to fit."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import pytest
from eth_abi.exceptions import EncodingError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from web3 import Web3

from deepring_chain.chain.artifact import load_artifact
from deepring_chain.chain.calldata import CallEncoder
from deepring_chain.chain.events import forgiving_codec

ABI = load_artifact().abi
FUNCTIONS = {entry["name"]: entry for entry in ABI if entry["type"] == "function"}
CONTRACT = Web3().eth.contract(abi=ABI)
ENCODER = CallEncoder(ABI, forgiving_codec())
WORD = b"\x01" * 32
WORDS = st.integers(0, 2**32).map(lambda number: hashlib.sha256(str(number).encode()).digest())


def values_of(item: Mapping[str, Any]) -> st.SearchStrategy[Any]:
    kind = item["type"]
    if kind.endswith("[]"):
        return st.lists(values_of({**item, "type": kind[:-2]}), max_size=3)
    if kind == "tuple":
        named = st.fixed_dictionaries({member["name"]: values_of(member) for member in item["components"]})
        return named | named.map(lambda found: tuple(found.values()))
    plain: dict[str, st.SearchStrategy[Any]] = {
        "address": WORDS.map(lambda word: Web3.to_checksum_address(word[:20])),
        "bool": st.booleans(),
        "bytes": st.tuples(WORDS, st.integers(0, 70)).map(lambda found: (3 * found[0])[: found[1]]),
        "bytes32": WORDS,
        "string": st.text(max_size=40),
    }
    return plain[kind] if kind in plain else st.integers(0, 2 ** int(kind.removeprefix("uint")) - 1)


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
@given(data=st.data())
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_call_is_what_web3_makes_of_it(name: str, data: st.DataObject) -> None:
    arguments = [data.draw(values_of(item)) for item in FUNCTIONS[name]["inputs"]]
    assert "0x" + ENCODER.encode(name, arguments).hex() == CONTRACT.encode_abi(name, arguments)


def test_every_function_has_one_name() -> None:
    assert len(FUNCTIONS) == sum(entry["type"] == "function" for entry in ABI)


@pytest.mark.parametrize(
    "arguments", [(WORD[:31], WORD), (WORD + b"\x00", WORD), (WORD, 7), (WORD, None), (WORD,), (WORD, WORD, WORD)]
)
def test_arguments_that_do_not_fit_are_refused(arguments: tuple[object, ...]) -> None:
    with pytest.raises((EncodingError, ValueError)):
        ENCODER.encode("submitQuery", arguments)


def test_number_that_is_too_large_is_refused() -> None:
    with pytest.raises(EncodingError):
        ENCODER.encode("registerModel", (WORD, WORD, 2**16))


def test_struct_without_a_member_is_refused() -> None:
    with pytest.raises(KeyError):
        ENCODER.encode("timeOut", (1, {"phase": 2}))
