"""`deepring export` and the audit of its file: the same as through the node; doctored, cut or foreign it fails."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from deepring_chain.audit.auditor import AuditOptions
from deepring_chain.chain.export_file import ExportBroken
from deepring_chain.chain.node_blocks import NodeBlocks
from deepring_chain.chain.raw_block import parse_header
from deepring_chain.errors import ChainError
from deepring_chain.types import ZERO
from tests.chain.recorded import audit_export, export_of, open_export, read_lines, record_all, write_lines
from tests.chain.stored_ring import StoredRing, answer_one, audit_of, open_client

Lines = list[dict[str, Any]]


@pytest.fixture
def answered(stored: StoredRing) -> StoredRing:
    answer_one(stored)
    return stored


def test_export_passes_the_audit_as_the_node_does(stored: StoredRing, tmp_path: Path) -> None:
    record_all(stored)
    path = export_of(stored, tmp_path / "history.jsonl.gz")
    assert audit_export(path, str(stored.folder)) == audit_of(stored)


def test_same_history_gives_the_same_bytes(answered: StoredRing, tmp_path: Path) -> None:
    first, second = export_of(answered, tmp_path / "first"), export_of(answered, tmp_path / "second")
    assert first.read_bytes() == second.read_bytes()


def test_export_lets_its_blocks_hash_be_known(answered: StoredRing, tmp_path: Path) -> None:
    path, client = export_of(answered, tmp_path / "history"), open_client(answered)
    known = client.head()
    assert audit_export(path, str(answered.folder), AuditOptions(anchor=known)).passed
    other = audit_export(path, str(answered.folder), AuditOptions(anchor=replace(known, block_hash=ZERO)))
    assert other.failure is not None
    assert other.failure.subject == f"block {known.number}"


def test_export_of_an_unwritable_place_is_one_line_and_leaves_nothing(answered: StoredRing, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ChainError, match="cannot be written"):
        export_of(answered, tmp_path / "file" / "history")
    assert [path.name for path in tmp_path.iterdir() if path.name != "store"] == ["file"]


def test_export_that_fails_midway_leaves_nothing(
    answered: StoredRing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    last = open_client(answered).head().number
    real = NodeBlocks.block

    def block(self: NodeBlocks, number: int, *, whole: bool = False) -> Any:
        if number == last - 1:
            raise ChainError("the node is gone")
        return real(self, number, whole=whole)

    monkeypatch.setattr(NodeBlocks, "block", block)
    with pytest.raises(ChainError, match="the node is gone"):
        export_of(answered, tmp_path / "out" / "history")
    assert list((tmp_path / "out").iterdir()) == []


# ---------------------------------------------------------------------- what is no export, or a part of one
def cut_lines(count: int) -> Callable[[Path], object]:
    return lambda path: write_lines(path, read_lines(path)[:count])


def cut_bytes(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def flip_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)


def cut_plain_text(path: Path) -> None:
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes())[:-30]))


def edit(change: Callable[[Lines], object]) -> Callable[[Path], object]:
    def edited(path: Path) -> None:
        lines = read_lines(path)
        change(lines)
        write_lines(path, lines)

    return edited


def _make_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


UNREADABLE: dict[str, Callable[[Path], object]] = {
    "absent": Path.unlink,
    "a folder": _make_folder,
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("not gzip"),
    "nothing in gzip": lambda path: path.write_bytes(gzip.compress(b"")),
    "no JSON": lambda path: path.write_bytes(gzip.compress(b"hello\n")),
    "a list": lambda path: write_lines(path, [[1]]),
    "another JSON": lambda path: write_lines(path, [{"a": 1}]),
    "deep JSON": lambda path: path.write_bytes(gzip.compress(b"[" * 100_000)),
    "cut in gzip": cut_bytes,
    "cut in a line": cut_plain_text,
    "first line alone": cut_lines(1),
    "without its end": cut_lines(-1),
    "without its last block": edit(lambda lines: lines.pop(-2)),
    "without a block": edit(lambda lines: lines.pop(3)),
    "a block twice": edit(lambda lines: lines.insert(3, lines[3])),
    "more after its end": edit(lambda lines: lines.append(lines[3])),
    "another end": edit(lambda lines: lines[-1].update(end=7)),
    "another count": edit(lambda lines: lines[-1].update(blocks=7)),
    "another format": edit(lambda lines: lines[0].update({"deepring-export": 2})),
    "no address": edit(lambda lines: lines[0].update(ledger="0x12")),
    "negative chain": edit(lambda lines: lines[0].update(chain_id=-1)),
    "ends before it begins": edit(lambda lines: lines[0].update(last_block=0)),
    "receipts alone": edit(lambda lines: lines[-2].pop("transactions")),
    "numbers for bytes": edit(lambda lines: lines[-2].update(header=7)),
    "odd digits": edit(lambda lines: lines[-2].update(header="0x123")),
    "a short hash": edit(lambda lines: lines[-2].update(hash="0x12")),
    "reads that are none": edit(lambda lines: lines[-2].update(reads=[1])),
    "without what the storage said": edit(lambda lines: lines[-2].pop("reads")),
    "another last hash": edit(lambda lines: lines[0].update(last_hash="0x" + "1" * 64)),
    "without the code": edit(lambda lines: lines[0].update(code="0x")),
    "other code": edit(lambda lines: lines[0].update(code="0x6001")),
}


@pytest.mark.parametrize("damage", UNREADABLE)
def test_unreadable_export_is_one_clear_line(answered: StoredRing, tmp_path: Path, damage: str) -> None:
    path = export_of(answered, tmp_path / "history")
    UNREADABLE[damage](path)
    with pytest.raises(ChainError) as error:
        audit_export(path, str(answered.folder))
    assert path.name in str(error.value)
    assert "\n" not in str(error.value)


def test_flipped_byte_of_the_file_fails_the_audit(answered: StoredRing, tmp_path: Path) -> None:
    """It is found by what it makes of a block, or by the checksum at the end."""
    path = export_of(answered, tmp_path / "history")
    flip_byte(path)
    with suppress(ChainError):
        assert not audit_export(path, str(answered.folder)).passed


def test_line_without_an_end_is_refused_before_it_fills_the_memory(
    answered: StoredRing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deepring_chain.chain.export_file.MAX_LINE_BYTES", 1000)
    with pytest.raises(ExportBroken, match="longer than 1000 bytes"):
        open_export(export_of(answered, tmp_path / "history"))


# ---------------------------------------------------------------------- doctored
def flip(lines: Lines, name: str, place: int = -1, item: int | None = None) -> None:
    """Flips a bit of a value in the last block."""
    line = lines[-2]
    text = line[name] if item is None else line[name][item]
    data = bytearray.fromhex(text[2:])
    data[place] ^= 1
    changed = f"0x{data.hex()}"
    if item is None:
        line[name] = changed
    else:
        line[name][item] = changed


def renumber_chain(lines: Lines) -> None:
    """A block is changed, and its hash with it."""
    data = bytearray.fromhex(lines[-4]["header"][2:])
    data[60] ^= 1
    lines[-4]["header"] = f"0x{data.hex()}"
    lines[-4]["hash"] = f"0x{parse_header(bytes(data)).block_hash.hex()}"


def change_read(lines: Lines) -> None:
    name, value = list(lines[-2]["reads"].items())[-1]
    lines[-2]["reads"][name] = f"{value[:-1]}{int(value[-1], 16) ^ 1:x}"


DOCTORED: dict[str, tuple[Callable[[Lines], object], str]] = {
    "header": (lambda lines: flip(lines, "header", 60), "block {n}: hash"),
    "hash": (lambda lines: flip(lines, "hash"), "block {n}: hash"),
    "header and hash": (renumber_chain, "block {before}: parentHash"),
    "receipt": (lambda lines: flip(lines, "receipts", -1, 0), "block {n}: log 0"),
    "transaction": (lambda lines: flip(lines, "transactions", -1, 0), "query 1, delivery: AnswerDelivered"),
    "no receipts": (lambda lines: (lines[-2].pop("receipts"), lines[-2].pop("transactions")), "block {n}: receipts"),
    "storage": (change_read, "the ledger's storage: "),
}


@pytest.mark.parametrize("how", DOCTORED)
def test_doctored_export_fails_and_the_place_is_named(answered: StoredRing, tmp_path: Path, how: str) -> None:
    path = export_of(answered, tmp_path / "history")
    lines = read_lines(path)
    change, message = DOCTORED[how]
    change(lines)
    last = lines[0]["last_block"]
    failure = audit_export(write_lines(path, lines), str(answered.folder)).failure
    assert failure is not None
    assert str(failure).startswith(message.format(n=last, before=last - 1))


def test_export_of_another_chain_fails(answered: StoredRing, tmp_path: Path) -> None:
    path = export_of(answered, tmp_path / "history")
    lines = read_lines(path)
    lines[0]["chain_id"] = 1
    assert not audit_export(write_lines(path, lines), str(answered.folder)).passed


def test_lines_are_what_the_formats_say(answered: StoredRing, tmp_path: Path) -> None:
    first, *blocks, end = read_lines(export_of(answered, tmp_path / "history"))
    names = {"deepring-export", "chain_id", "ledger", "first_block", "last_block", "last_hash", "code", "reads"}
    assert set(first) == names
    assert all(set(block) >= {"number", "hash", "header"} for block in blocks)
    assert end == {"end": first["last_block"], "blocks": len(blocks)}
    assert json.dumps(first).isascii()
