"""All targets by name. A module of targets is imported when one of its targets is asked for: torch takes seconds."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from assurance.fuzz.target import Target

GROUPS = ("protocol", "actor", "data", "model", "chain", "ledger", "cli")
CORPUS = Path(__file__).with_name("corpus")


def targets_of(group: str) -> tuple[Target, ...]:
    """The targets of one module."""
    found: tuple[Target, ...] = import_module(f"assurance.fuzz.{group}_targets").TARGETS
    return found


def all_targets() -> list[Target]:
    """All targets, module by module."""
    return [target for group in GROUPS for target in targets_of(group)]


def find_target(name: str) -> Target:
    """The target of that name.

    Raises:
        KeyError: there is none.
    """
    for group in GROUPS:
        for target in targets_of(group):
            if target.name == name:
                return target
    raise KeyError(name)


def corpus_of(name: str) -> list[bytes]:
    """The committed inputs of a target, in an order that is always the same."""
    return [path.read_bytes() for path in sorted((CORPUS / name).glob("*")) if path.is_file()]
