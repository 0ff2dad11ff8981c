"""Calls are written as web3 writes them, and nothing is bent to fit."""

from __future__ import annotations

import random

import pytest
from eth_abi.exceptions import DecodingError, EncodingError
from web3 import Web3

from deepring_chain.chain.artifact import load_artifact
from deepring_chain.chain.calldata import CallEncoder
from deepring_chain.chain.events import forgiving_codec
from tests.unit.chain.abi_values import value_of

ABI = load_artifact().abi
FUNCTIONS = {entry["name"]: entry for entry in ABI if entry["type"] == "function"}
CONTRACT = Web3().eth.contract(abi=ABI)
ENCODER = CallEncoder(ABI, forgiving_codec())
WORD = b"\x01" * 32


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_call_is_what_web3_makes_of_it(name: str) -> None:
    rng = random.Random(name)  # noqa: S311 - it must be repeatable, not secret
    for _ in range(15):
        arguments = [value_of(item, rng) for item in FUNCTIONS[name]["inputs"]]
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


@pytest.mark.parametrize(("function", "value"), [("stateOf", WORD), ("hopSeconds", 2**31), ("mode", 3)])
def test_value_that_a_view_returns_is_read(function: str, value: object) -> None:
    returned = value if isinstance(value, bytes) else int(str(value)).to_bytes(32, "big")
    assert ENCODER.decode(function, returned) == value


@pytest.mark.parametrize("returned", [b"", WORD[:31], b"\xff" * 32])
def test_bytes_that_are_no_value_of_a_view_are_refused(returned: bytes) -> None:
    with pytest.raises(DecodingError):
        ENCODER.decode("mode", returned)
