"""An actor's log, as lines and as JSON."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from urllib3.exceptions import HeaderParsingError

from deepring_chain.actors.guard import SessionGuard
from deepring_chain.errors import ConfigError, StoreError
from deepring_chain.telemetry.logs import LogFormat, open_log
from tests.unit.actors.fake_ring import FakeRing

LOG = logging.getLogger("deepring_chain.test")


@pytest.fixture(autouse=True)
def _restored_root() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    for handler in root.handlers:
        if handler not in handlers:
            handler.close()
    root.handlers, root.level = handlers, level


def test_text_line_has_time_level_place_and_message(tmp_path: Path) -> None:
    open_log(LogFormat.TEXT, "worker-1", tmp_path / "logs" / "worker-1.log")
    LOG.warning("query %d: late", 7)
    line = (tmp_path / "logs" / "worker-1.log").read_text()
    assert line.endswith(" WARNING deepring_chain.test: query 7: late\n")


def test_torn_headers_of_an_answer_leave_no_traceback_in_the_log(tmp_path: Path) -> None:
    """As urllib3 warns of them, with the traceback of its own error."""
    open_log(LogFormat.TEXT, "worker-1", tmp_path / "worker-1.log")
    torn = HeaderParsingError([], b"con")
    logging.getLogger("urllib3.connection").warning("Failed to parse headers", exc_info=torn)
    assert (tmp_path / "worker-1.log").read_text() == ""


def test_json_line_has_the_same_in_fields(tmp_path: Path) -> None:
    open_log(LogFormat.JSON, "worker-1", tmp_path / "worker-1.log")
    LOG.warning("query %d: late", 7)
    fields = json.loads((tmp_path / "worker-1.log").read_text())
    assert datetime.fromisoformat(fields.pop("timestamp").replace("Z", "+00:00")).utcoffset() == timedelta(0)
    assert fields == {
        "event": "query 7: late",
        "level": "warning",
        "logger": "deepring_chain.test",
        "actor": "worker-1",
    }


def test_json_line_of_a_query_says_which_query_attempt_and_hop(tmp_path: Path, ring: FakeRing) -> None:
    ring.settle()
    query = ring.ask()
    open_log(LogFormat.JSON, "worker-1", tmp_path / "worker-1.log")

    def fail(_session: object) -> bool:
        raise StoreError("two\nlines")

    SessionGuard().run(ring.ledger.state.sessions[query], fail)
    LOG.info("after")
    first, second = (tmp_path / "worker-1.log").read_text().splitlines()
    assert (json.loads(first)["query"], json.loads(first)["attempt"], json.loads(first)["hop"]) == (query, 0, 0)
    assert json.loads(first)["event"] == f"query {query}: two\nlines"
    assert "query" not in json.loads(second)


def test_json_line_of_an_exception_has_its_traceback(tmp_path: Path) -> None:
    open_log(LogFormat.JSON, "worker-1", tmp_path / "worker-1.log")
    try:
        int("odd")
    except ValueError:
        LOG.exception("unexpected")
    fields = json.loads((tmp_path / "worker-1.log").read_text())
    assert fields["exception"].endswith("ValueError: invalid literal for int() with base 10: 'odd'")


def test_log_goes_to_standard_error_without_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    open_log(LogFormat.JSON, "worker-1")
    LOG.info("here")
    assert json.loads(capsys.readouterr().err)["event"] == "here"


def test_log_that_cannot_be_written_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="cannot be written"):
        open_log(LogFormat.TEXT, "worker-1", tmp_path / "file" / "worker-1.log")
