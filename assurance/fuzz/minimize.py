"""The committed corpus: of all inputs that are known, the few small ones that reach what all of them reach."""

from __future__ import annotations

import hashlib

from assurance.fuzz.coverage import LineCoverage
from assurance.fuzz.registry import CORPUS, corpus_of
from assurance.fuzz.run import WORK
from assurance.fuzz.target import Target, examine

MOST_BYTES = 20_000
"""Of one target; valid inputs of some formats are larger, and come first."""

MOST_FILES = 60


def write_corpus(target: Target) -> tuple[int, int]:
    """Writes a target's corpus anew from its valid inputs, its corpus, and what was found since; count and bytes."""
    found = WORK / "work" / target.name / "corpus"
    known = {*corpus_of(target.name), *(path.read_bytes() for path in found.glob("*") if path.is_file())}
    kept = minimize(target, list(target.seeds()), sorted(known, key=lambda data: (len(data), data)))
    folder = CORPUS / target.name
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.glob("*"):
        path.unlink()
    for data in kept:
        (folder / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)
    return len(kept), sum(map(len, kept))


def minimize(target: Target, valid: list[bytes], others: list[bytes]) -> list[bytes]:
    """All valid inputs, and of the others those that reach something new, the small ones first."""
    coverage, kept, size = LineCoverage(target.watched), list[bytes](), 0
    coverage.begin()
    for number, data in enumerate([*valid, *others]):
        with coverage:
            examine(target, data)
        grown = coverage.has_grown()
        if number < len(valid) or (grown and size + len(data) <= MOST_BYTES and len(kept) < MOST_FILES):
            kept.append(data)
            size += len(data)
    return list(dict.fromkeys(kept))
