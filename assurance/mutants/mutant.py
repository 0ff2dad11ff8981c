"""A mutant: the product with one check taken out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path


class StaleMutant(Exception):
    """The text that a mutant replaces is not where it was found."""


@dataclass(frozen=True)
class Mutant:
    """One change of one file.

    Attributes:
        file: path in the repository.
        place: the function (or contract) that it is in.
        kind: what was done, such as `revert dropped`.
        start: offset of `found` in the file, in bytes.
        found: the text that goes.
        replacement: the text that comes.
        tests: the test files that should fail, the quickest and closest first.
        number: which of several with the same name this is, from 1.
    """

    file: str
    place: str
    kind: str
    start: int
    found: str
    replacement: str
    tests: tuple[str, ...] = ()
    number: int = 1

    @property
    def name(self) -> str:
        """Names the mutant without line numbers, which move."""
        text = " ".join(self.found.split())
        shown = text if len(text) <= 100 else f"{text[:60]} ... {text[-35:]}"
        suffix = f" (no. {self.number})" if self.number > 1 else ""
        return f"{self.file}, {self.place}, {self.kind}: {shown}{suffix}"

    def line(self, root: Path) -> int:
        """The line on which it begins."""
        return (root / self.file).read_bytes()[: self.start].count(b"\n") + 1

    def apply(self, root: Path) -> bytes:
        """Changes the file under `root` and gives what it was before.

        Raises:
            StaleMutant: the text is not there.
        """
        path = root / self.file
        before = path.read_bytes()
        found = self.found.encode()
        end = self.start + len(found)
        if before[self.start : end] != found:
            raise StaleMutant(f"{self.file}: `{self.found}` is not at byte {self.start}; the sources changed meanwhile")
        path.write_bytes(before[: self.start] + self.replacement.encode() + before[end:])
        return before


def numbered(mutants: Iterable[Mutant]) -> Iterator[Mutant]:
    """Numbers those that would have the same name."""
    seen: Counter[str] = Counter()
    for mutant in mutants:
        seen[mutant.name] += 1
        yield replace(mutant, number=seen[mutant.name])
