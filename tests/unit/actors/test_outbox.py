"""Envelopes that a worker keeps for as long as their query is open."""

from __future__ import annotations

from pathlib import Path

import pytest

from deepring_chain.actors.worker.outbox import Outbox
from deepring_chain.crypto.digest import sha256
from deepring_chain.errors import ConfigError
from deepring_chain.types import Pointer, QueryId

FIRST, SECOND = QueryId(1), QueryId(2)


def test_kept_envelope_is_fetched_by_another_process_until_its_query_ends(tmp_path: Path) -> None:
    for query in (FIRST, SECOND):
        Outbox(tmp_path / "out").keep(query, Pointer(sha256(b"envelope")), b"envelope")
    outbox = Outbox(tmp_path / "out")
    outbox.keep_only({SECOND})
    assert outbox.fetch(FIRST, Pointer(sha256(b"envelope"))) is None
    assert outbox.fetch(SECOND, Pointer(sha256(b"envelope"))) == b"envelope"


def test_damaged_file_counts_as_none(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path)
    outbox.keep(FIRST, Pointer(sha256(b"envelope")), b"envel")
    assert outbox.fetch(FIRST, Pointer(sha256(b"envelope"))) is None


def test_folder_that_cannot_be_written_is_named_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="file/1") as refused:
        Outbox(tmp_path / "file").keep(FIRST, Pointer(sha256(b"")), b"")
    assert "\n" not in str(refused.value)
    Outbox(tmp_path / "nothing").keep_only(set())
