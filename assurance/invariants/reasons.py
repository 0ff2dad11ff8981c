"""Why the model refuses a call: all reasons that apply, of which the ledger may give any."""

from __future__ import annotations

from typing import Any


class _Any:
    """Equal to everything: for a value that the model cannot foretell, such as the hash of a state that never was."""

    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return 0

    def __repr__(self) -> str:
        return "ANY"


ANY: Any = _Any()
BAD_VALUE = ("", ())
"""An argument that is no value of its type, such as a phase that does not exist."""


class ModelRefusal(Exception):
    """The model refuses a call."""

    def __init__(self, reasons: list[tuple[str, tuple[Any, ...]]]) -> None:
        super().__init__(", ".join(name or "bad value" for name, _ in reasons))
        self.reasons = reasons


class Reasons:
    """Collects them."""

    def __init__(self) -> None:
        self.found: list[tuple[str, tuple[Any, ...]]] = []

    def add(self, applies: bool, name: str, *values: Any) -> bool:
        """Notes a reason if it applies, and says whether it does."""
        if applies:
            self.found.append((name, values))
        return applies

    def settle(self) -> None:
        """Ends the checks.

        Raises:
            ModelRefusal: a reason was found.
        """
        if self.found:
            raise ModelRefusal(self.found)
