"""Which lines of the watched packages were executed, from the interpreter itself."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

PROJECT = "deepring_chain"
ROOT = str(Path(__file__).parents[2] / PROJECT)

Place = tuple[CodeType, int, int]


class LineCoverage:
    """Collects steps from line to line within a function while its block runs.

    Args:
        watched: packages besides this project's.

    Attributes:
        first, count: places that the first inputs reached, and that all did.
    """

    def __init__(self, watched: Sequence[str] = ()) -> None:
        self._wanted = (ROOT, *(f"/{name}" for name in watched))
        self._seen: set[Place] = set()
        self._is_watched: dict[CodeType, bool] = {}
        self._last: dict[CodeType, int] = {}
        self._before = self.first = 0
        self._monitors = sys.version_info >= (3, 12)
        if self._monitors:
            self._register()

    @property
    def count(self) -> int:
        """Places reached so far."""
        return len(self._seen)

    def begin(self) -> int:
        """What was reached up to now is what the first inputs reach."""
        self.first = self._before = self.count
        return self.first

    def has_grown(self) -> bool:
        """Whether something new was reached since this was asked last."""
        grown, self._before = self.count > self._before, self.count
        return grown

    def __enter__(self) -> LineCoverage:
        self._last.clear()
        if not self._monitors:
            sys.settrace(self._trace)
        return self

    def __exit__(self, *_: object) -> None:
        if not self._monitors:
            sys.settrace(None)

    def _register(self) -> None:
        monitoring: Any = sys.monitoring  # type: ignore[attr-defined,unused-ignore]
        tool = monitoring.COVERAGE_ID
        if monitoring.get_tool(tool) is None:
            monitoring.use_tool_id(tool, "deepring fuzz")
        monitoring.restart_events()
        monitoring.register_callback(tool, monitoring.events.LINE, self._line)
        monitoring.set_events(tool, monitoring.events.LINE)

    def _line(self, code: CodeType, line: int) -> Any:
        if not self._watches(code):
            return sys.monitoring.DISABLE  # type: ignore[attr-defined,unused-ignore]
        self._reach(code, line)
        return None

    def _trace(self, frame: FrameType, event: str, _argument: object) -> Any:
        if not self._watches(frame.f_code):
            return None
        if event == "line":
            self._reach(frame.f_code, frame.f_lineno)
        return self._trace

    def _reach(self, code: CodeType, line: int) -> None:
        self._seen.add((code, self._last.get(code, 0), line))
        self._last[code] = line

    def _watches(self, code: CodeType) -> bool:
        known = self._is_watched.get(code)
        if known is None:
            known = any(part in code.co_filename for part in self._wanted)
            self._is_watched[code] = known
        return known
