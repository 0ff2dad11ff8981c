"""Revert data becomes one exception with one clear line, whatever the bytes are."""

from __future__ import annotations

from typing import Any

import pytest
from eth_abi.abi import encode as abi_encode
from eth_utils import function_signature_to_4byte_selector
from hypothesis import given, settings
from hypothesis import strategies as st

from deepring_chain.chain.artifact import load_artifact
from deepring_chain.chain.errors import LedgerReverted, RevertDecoder, TransactionFailed
from deepring_chain.types import QueryPhase, RingMode

ABI = load_artifact().abi
DECODER = RevertDecoder(ABI)
ERRORS = {entry["name"]: entry for entry in ABI if entry["type"] == "error"}


def revert_data(name: str, *values: Any) -> bytes:
    types = [item["type"] for item in ERRORS[name]["inputs"]]
    return function_signature_to_4byte_selector(f"{name}({','.join(types)})") + abi_encode(types, values)


def sample(kind: str) -> Any:
    if kind.startswith("uint"):
        return 1
    return {"address": "0x" + "5f" * 20, "bytes32": bytes(range(32)), "bool": True, "string": "text"}[kind]


@pytest.mark.parametrize("name", sorted(ERRORS))
def test_every_error_of_the_ledger_is_decoded_by_name(name: str) -> None:
    inputs = ERRORS[name]["inputs"]
    error = DECODER.decode(revert_data(name, *(sample(item["type"]) for item in inputs)))
    assert isinstance(error, LedgerReverted)
    assert error.name == name
    assert list(error.arguments) == [item["name"] for item in inputs]
    assert str(error).startswith(f"the ledger refused: {name}(")
    assert "\n" not in str(error)


def test_arguments_come_with_their_values() -> None:
    error = DECODER.decode(revert_data("DeadlineAhead", 7, 2, 3))
    assert isinstance(error, LedgerReverted)
    assert error.arguments == {"query": 7, "deadline": 2, "time": 3}
    assert str(error) == "the ledger refused: DeadlineAhead(query=7, deadline=2, time=3)"


def test_enums_come_as_enums_and_are_shown_by_name() -> None:
    error = DECODER.decode(revert_data("UnexpectedPhase", 7, 1, 4))
    assert isinstance(error, LedgerReverted)
    assert error.arguments["expected"] is QueryPhase.SUBMITTED
    assert error.arguments["actual"] is QueryPhase.DELIVERED
    assert "expected=SUBMITTED, actual=DELIVERED" in str(error)
    error = DECODER.decode(revert_data("NotAuthentic", 2, 3))
    assert isinstance(error, LedgerReverted)
    assert error.arguments["mode"] is RingMode.TRACKING


def test_addresses_and_digests_are_shown_as_people_write_them() -> None:
    error = DECODER.decode(revert_data("WorkerNotAdmitted", "0x5fbdb2315678afecb367f032d93f642f64180aa3"))
    assert "0x5FbDB2315678afecb367f032d93F642f64180aa3" in str(error)
    error = DECODER.decode(revert_data("UnexpectedTrail", 1, b"\xab" * 32, bytes(32)))
    assert f"expected=0x{'ab' * 32}, actual=0x{'00' * 32}" in str(error)


@pytest.mark.parametrize("data", [b"", b"\1", b"\1\2\3", b"\xff" * 4, b"\xff" * 36])
def test_unknown_data_is_quoted(data: bytes) -> None:
    error = DECODER.decode(data)
    assert isinstance(error, TransactionFailed)
    assert f"unknown data 0x{data.hex()}" in str(error)


@pytest.mark.parametrize("size", [4, 5, 35, 36, 68, 99])
def test_truncated_arguments_are_quoted(size: int) -> None:
    data = revert_data("DeadlineAhead", 7, 2, 3)[:size]
    error = DECODER.decode(data)
    assert isinstance(error, TransactionFailed)
    assert f"malformed DeadlineAhead 0x{data.hex()}" in str(error)


def test_value_out_of_range_is_quoted() -> None:
    data = revert_data("DeadlineAhead", 7, 2, 3)
    error = DECODER.decode(data[:4] + b"\1" + data[5:])
    assert isinstance(error, TransactionFailed)
    assert "malformed DeadlineAhead" in str(error)


def test_number_that_its_enum_does_not_have_is_quoted() -> None:
    """A node answers with a phase that no release of the ledger knows."""
    error = DECODER.decode(revert_data("UnexpectedPhase", 7, 1, 200))
    assert isinstance(error, TransactionFailed)
    assert "malformed UnexpectedPhase" in str(error)


SELECTORS = st.sampled_from(
    [revert_data(name, *(sample(i["type"]) for i in ERRORS[name]["inputs"]))[:4] for name in ERRORS]
)


@given(SELECTORS | st.just(b""), st.binary(max_size=200))
@settings(max_examples=300, deadline=None)
def test_arbitrary_data_is_one_line(selector: bytes, data: bytes) -> None:
    error = DECODER.decode(selector + data)
    assert isinstance(error, TransactionFailed | LedgerReverted)
    assert "\n" not in str(error)


def test_long_revert_data_is_quoted_in_short() -> None:
    error = RevertDecoder(load_artifact().abi).decode(bytes(100_000))
    assert len(str(error)) < 500


def test_an_offset_beyond_all_memory_is_quoted() -> None:
    entry = {"type": "error", "name": "Told", "inputs": [{"name": "text", "type": "string"}]}
    selector = function_signature_to_4byte_selector("Told(string)")
    for offset in (2**255, 2**63, 2**62):
        error = RevertDecoder([entry]).decode(selector + offset.to_bytes(32, "big"))
        assert isinstance(error, TransactionFailed)
