"""An actor's log: lines for people, or one JSON object per line for machines.

The program logs through the standard library alone; structlog lays out the JSON and adds what the code binds to the
context, such as the query that is being served.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from enum import Enum
from pathlib import Path
from typing import Any

import structlog
from structlog.types import Processor, WrappedLogger

from deepring_chain.errors import ConfigError


class LogFormat(str, Enum):
    """Layouts of a log."""

    TEXT = "text"
    JSON = "json"


def open_log(layout: LogFormat, actor: str, path: Path | None = None) -> None:
    """Sends this process's log to a file, or to standard error.

    Args:
        layout: how a line looks.
        actor: whose log it is; a field of every JSON line.
        path: the file, which is appended to; standard error if None.

    Raises:
        ConfigError: the file cannot be written.
    """
    try:
        handler = _open_handler(path)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written ({error.strerror}); choose a writable place") from None
    handler.setFormatter(json_formatter(actor) if layout is LogFormat.JSON else _text_formatter())
    logging.basicConfig(handlers=[handler], level=logging.INFO, force=True)
    # Of an answer that was cut off within its headers it prints a traceback; the request fails anyhow, in one line.
    logging.getLogger("urllib3").setLevel(logging.ERROR)


def _open_handler(path: Path | None) -> logging.Handler:
    if path is None:
        return logging.StreamHandler(sys.stderr)
    path.parent.mkdir(parents=True, exist_ok=True)
    return logging.FileHandler(path)


def _text_formatter() -> logging.Formatter:
    layout = "%(asctime)s.%(msecs)03d %(levelname)s %(name)s: %(message)s"
    return logging.Formatter(layout, datefmt="%Y-%m-%dT%H:%M:%S")


def json_formatter(actor: str) -> logging.Formatter:
    """One JSON object per line: `timestamp` (UTC), `level`, `logger`, `actor`, `event`, and what the context holds."""
    steps: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        _Naming(actor),
    ]
    last: list[Processor] = [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        structlog.processors.JSONRenderer(),
    ]
    return structlog.stdlib.ProcessorFormatter(foreign_pre_chain=steps, processors=last)


class _Naming:
    """Adds the actor's name."""

    def __init__(self, actor: str) -> None:
        self._actor = actor

    def __call__(
        self, _logger: WrappedLogger, _method: str, event: MutableMapping[str, Any]
    ) -> MutableMapping[str, Any]:
        event["actor"] = self._actor
        return event
