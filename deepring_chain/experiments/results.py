"""Results as JSON files: one for each row, written after each part of it, and taken up again by the next run.

docs/experiments.md describes the fields.
"""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Callable, Collection, Mapping
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from deepring_chain import __version__
from deepring_chain.experiments.lab_ring import ExperimentError
from deepring_chain.files import write_atomic

SCHEMA = 1
CPU_INFO = Path("/proc/cpuinfo")

Json = dict[str, Any]


def read_result(path: Path) -> Json | None:
    """A result's file; None if there is none.

    Raises:
        ExperimentError: it is no result, or of another version.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise ExperimentError(f"{path}: not a readable result ({error}); remove it and run again") from None
    if not isinstance(found, dict) or found.get("schema") != SCHEMA or not isinstance(found.get("parts"), dict):
        raise ExperimentError(f"{path}: not a result of version {SCHEMA}; remove it and run again")
    return found


def write_result(path: Path, result: Mapping[str, Any]) -> None:
    """Writes a result, atomically."""
    write_atomic(path, (json.dumps(result, indent=1, sort_keys=False) + "\n").encode(), error_type=ExperimentError)


def describe_machine() -> Json:
    """CPU model and number of cores."""
    return {"cpu": _cpu_model(), "cores": os.cpu_count() or 1, "system": platform.system()}


def _cpu_model() -> str:
    try:
        lines = CPU_INFO.read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.machine()


def describe_versions() -> Json:
    """Versions of what computes."""
    return {
        "deepring": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "web3": version("web3"),
    }


class ResultBook:
    """One result's file, whose parts are computed once.

    Args:
        path: the file.
        identity: what must be the same for parts of an earlier run to be kept.
        command: that computes the parts, for readers.
        now: Unix time.
        clock: seconds, for durations.
    """

    def __init__(
        self,
        path: Path,
        identity: Mapping[str, Any],
        command: str,
        now: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path, self._command, self._now, self._clock = path, command, now, clock
        found = read_result(path)
        same = found is not None and found.get("identity") == identity
        self._parts: Json = dict(found["parts"]) if found is not None and same else {}
        self._identity = dict(identity)

    def forget(self, names: Collection[str]) -> None:
        """Has these parts computed anew."""
        self._parts = {name: part for name, part in self._parts.items() if name not in names}

    @property
    def parts(self) -> Json:
        """The parts that are there, by name."""
        return dict(self._parts)

    def part(self, name: str, compute: Callable[[], Json]) -> Json:
        """The part of that name, computed and saved now if it is not there yet."""
        if name not in self._parts:
            began = self._clock()
            made = compute()
            finished = datetime.fromtimestamp(self._now(), timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
            about = {"command": self._command, "seconds": round(self._clock() - began, 1), "finished": finished}
            self._parts[name] = {**made, **about, "machine": describe_machine(), "versions": describe_versions()}
            self._save()
        found: Json = self._parts[name]
        return found

    def _save(self) -> None:
        write_result(self._path, {"schema": SCHEMA, "identity": self._identity, "parts": self._parts})
