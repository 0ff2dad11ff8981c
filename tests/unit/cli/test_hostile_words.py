"""What is typed, and what a node says, ends in one line that is harmless to a terminal."""

from __future__ import annotations

import sys

import pytest

from assurance.fuzz.chain_targets import HEADER, _lines
from assurance.fuzz.fake_node import URL, answering
from deepring_chain.chain.connection import connect, node_errors, shown_url
from deepring_chain.chain.errors import NodeUnreachable
from deepring_chain.chain.node_blocks import NodeBlocks
from deepring_chain.cli import main
from deepring_chain.cli.console import print_error
from deepring_chain.errors import ChainError
from deepring_chain.types import Address

ADDRESS = Address("0x52908400098527886E0F7030069857D2E4169EE7")


def blocks_of(*answers: object) -> NodeBlocks:
    return NodeBlocks(connect(URL, may_repeat=False), URL, ADDRESS)


def test_an_error_that_quotes_control_letters_prints_none(capsys: pytest.CaptureFixture[str]) -> None:
    print_error("file \x1b[2J\u202e\x07 is\nbad")
    shown = capsys.readouterr().err
    assert shown.count("\n") == 1
    assert shown.rstrip("\n").isprintable()


@pytest.mark.parametrize("url", ["http://[", "https://name:word@[::1", "http://a]b"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(NodeUnreachable, match="not an address of a node") as caught:
        connect(url)
    assert "word" not in str(caught.value)
    assert "word" not in shown_url(url)


@pytest.mark.parametrize("seconds", ["inf", "nan", "1e30"])
def test_a_timeout_without_end_is_refused(seconds: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["deepring", "status", "--timeout", seconds])
    with pytest.raises(SystemExit) as ended:
        main.main()
    assert ended.value.code == 2


@pytest.mark.parametrize("number", [None, 7, "seven", "-0x1", hex(2**63), [], {}])
def test_a_node_that_shows_no_number_of_its_newest_block_is_refused(number: object) -> None:
    with answering(_lines("0x7a69", number).splitlines()), pytest.raises(ChainError, match="no number of the newest"):
        blocks_of().newest()


@pytest.mark.parametrize(
    "changes", [{"gasUsed": "-0x1"}, {"number": 3}, {"miner": [1]}, {"extraData": "0xzz"}], ids=str
)
def test_a_block_of_another_form_is_refused(changes: dict[str, object]) -> None:
    shown = {**HEADER, "hash": f"0x{'11' * 32}", "transactions": [], **changes}
    with answering(_lines("0x7a69", shown).splitlines()):
        blocks = blocks_of()
        with pytest.raises(ChainError, match="block 7 is of an unknown form"):
            blocks.block(7)


def test_a_node_that_answers_with_lists_without_end_is_refused() -> None:
    with answering([b"[" * 100_000]), pytest.raises(ChainError, match="node"):
        connect(URL, may_repeat=False)


@pytest.mark.parametrize(
    "error", [KeyError("a"), TypeError("b"), OverflowError("c"), RecursionError(), IndexError("d")]
)
def test_what_web3_raises_for_strange_answers_names_the_node(error: Exception) -> None:
    with pytest.raises(ChainError, match=r"http://node.example: unusable answer"), node_errors("http://node.example"):
        raise error


def test_a_long_answer_is_quoted_in_short() -> None:
    with pytest.raises(ChainError) as caught, node_errors("http://node.example"):
        raise ValueError("x" * 10_000)
    assert len(str(caught.value)) < 500
