"""An audit goes on where it stopped, on the very chain and for the very ledger that it came from, and nowhere else."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from deepring_chain.audit import auditor
from deepring_chain.audit.auditor import AuditOptions, AuditReport, audit
from deepring_chain.audit.progress import AuditIdentity, AuditState, ProgressFile
from deepring_chain.chain.node_blocks import NodeBlocks
from deepring_chain.chain.raw_block import RawBlock
from deepring_chain.errors import ChainError, ConfigError
from deepring_chain.types import ZERO
from tests.chain.recorded import audit_export, export_of, record_all
from tests.chain.stored_ring import StoredRing, answer_one, audit_of, open_client


@pytest.fixture
def progress(tmp_path: Path) -> ProgressFile:
    return ProgressFile(tmp_path / "audit.progress")


def resumed(stored: StoredRing, progress: ProgressFile, source: NodeBlocks | None = None) -> AuditReport:
    client = open_client(stored)
    options = AuditOptions(progress=progress)
    return audit(client, stored.store, stored.ring.ledger.first_block, options, source)


class Interrupted(NodeBlocks):
    """A node that goes away after some blocks, and tells which were asked for."""

    def __init__(self, stored: StoredRing, after: int) -> None:
        ledger = stored.ring.ledger
        super().__init__(ledger.web3, ledger.url, ledger.address, whole_at=ledger.first_block)
        self.left, self.shown = after, list[int]()

    def blocks(self, first: int) -> Iterator[RawBlock]:
        """Blocks, up to a point."""
        for block in super().blocks(first):
            if self.left == 0:
                raise ChainError("the node is gone")
            self.left -= 1
            self.shown.append(block.number)
            yield block


def test_audit_that_is_interrupted_again_and_again_finds_what_a_whole_one_finds(
    stored: StoredRing, progress: ProgressFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auditor, "SAVE_EVERY_BLOCKS", 3)
    record_all(stored)
    shown = []
    while True:
        source = Interrupted(stored, 13)
        try:
            report = resumed(stored, progress, source)
        except ChainError:
            shown.append(source.shown[0])
            continue
        break
    assert len(shown) > 3
    assert shown == sorted(set(shown))
    whole = audit_of(stored)
    # Each run compares the open queries anew, and only the last one gets so far.
    assert replace(report, resumed_after=None) == whole


def test_next_audit_reads_only_what_is_new(stored: StoredRing, progress: ProgressFile) -> None:
    answer_one(stored)
    assert resumed(stored, progress).resumed_after is None
    last = open_client(stored).head()
    answer_one(stored)
    source = Interrupted(stored, 100)
    report = resumed(stored, progress, source)
    assert report.passed
    assert report.resumed_after == last
    assert source.shown[0] == last.number + 1
    assert report.trail.events["AnswerDelivered"] == 2
    assert resumed(stored, progress).passed


def test_failure_is_found_again_by_the_next_run(stored: StoredRing, progress: ProgressFile) -> None:
    answer_one(stored)
    assert resumed(stored, progress).passed
    answer_one(stored)
    stored.file_of("envelope 2/1/1").unlink()
    first, second = resumed(stored, progress), resumed(stored, progress)
    assert str(first.failure) == str(second.failure)
    assert first.failure is not None


def test_progress_of_a_chain_that_is_gone_is_refused(stored: StoredRing, progress: ProgressFile) -> None:
    answer_one(stored)
    resumed(stored, progress)
    client = open_client(stored)
    state = held(progress)
    progress.save(replace(state, last=replace(state.last, block_hash=ZERO)))
    with pytest.raises(ConfigError, match="made on another chain"):
        resumed(stored, progress)
    progress.save(replace(state, last=replace(state.last, number=client.head().number + 5)))
    with pytest.raises(ConfigError, match="here there is none"):
        resumed(stored, progress)


def held(progress: ProgressFile) -> AuditState:
    return AuditState.decode(progress.path.read_bytes())


@pytest.mark.parametrize("name", ["first_block", "store", "source_hash", "auditor", "model", "terms"])
def test_progress_of_another_audit_is_refused(stored: StoredRing, progress: ProgressFile, name: str) -> None:
    answer_one(stored)
    resumed(stored, progress)
    state = held(progress)
    other: dict[str, Any] = {
        "first_block": 0,
        "store": "memory://elsewhere",
        "source_hash": "0" * 64,
        "auditor": ZERO,
        "model": ZERO,
        "terms": replace(state.identity.terms, hop_seconds=1),
    }
    field: dict[str, Any] = {name: other[name]}
    changed: AuditIdentity = replace(state.identity, **field)
    progress.save(replace(state, identity=changed))
    with pytest.raises(ConfigError, match=f"of another audit \\({name}: "):
        resumed(stored, progress)


@pytest.mark.parametrize("damage", ["empty", "text", "flipped", "cut", "folder"])
def test_damaged_progress_is_one_clear_line(stored: StoredRing, progress: ProgressFile, damage: str) -> None:
    resumed(stored, progress)
    data = bytearray(progress.path.read_bytes())
    if damage == "folder":
        progress.path.unlink()
        progress.path.mkdir()
    elif damage == "flipped":
        data[len(data) // 2] ^= 1
        progress.path.write_bytes(data)
    else:
        progress.path.write_bytes({"empty": b"", "text": b"hello", "cut": bytes(data[:-1])}[damage])
    with pytest.raises(ConfigError) as error:
        resumed(stored, progress)
    assert str(progress.path) in str(error.value)
    assert "\n" not in str(error.value)


def test_export_is_gone_on_with_as_well(stored: StoredRing, progress: ProgressFile, tmp_path: Path) -> None:
    answer_one(stored)
    options = AuditOptions(progress=progress)
    assert audit_export(export_of(stored, tmp_path / "first"), str(stored.folder), options).passed
    answer_one(stored)
    report = audit_export(export_of(stored, tmp_path / "second"), str(stored.folder), options)
    assert report.passed
    assert report.resumed_after is not None
    assert report.trail.events["AnswerDelivered"] == 2
    assert audit_export(tmp_path / "second", str(stored.folder), options).passed
    with pytest.raises(ConfigError, match="here there is none"):
        audit_export(tmp_path / "first", str(stored.folder), options)
