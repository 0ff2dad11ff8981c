"""What a fuzzing process does now, in memory that outlives it: after a crash or a hang the input is still there."""

from __future__ import annotations

import mmap
import struct
from dataclasses import dataclass
from pathlib import Path

HEAD = struct.Struct("<QQQI")
CAPACITY = 2**20


@dataclass(frozen=True)
class State:
    """Inputs tried, those of them that were accepted, places of code that were reached, and the input of now."""

    tried: int
    accepted: int
    places: int
    data: bytes


class Progress:
    """A file of fixed size, mapped into memory.

    Args:
        path: the file; made anew with `create`.
    """

    def __init__(self, path: Path, *, create: bool = False) -> None:
        if create:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(bytes(HEAD.size + CAPACITY))
        with path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), HEAD.size + CAPACITY)
        self.tried = self.accepted = self.places = 0

    def begin(self, data: bytes) -> None:
        """An input is about to be tried."""
        self.tried += 1
        shown = data[:CAPACITY]
        HEAD.pack_into(self._memory, 0, self.tried, self.accepted, self.places, len(shown))
        self._memory[HEAD.size : HEAD.size + len(shown)] = shown

    def finish(self) -> None:
        """Writes the counts as they are at the end."""
        HEAD.pack_into(self._memory, 0, self.tried, self.accepted, self.places, 0)

    def read(self) -> State:
        """What the other process wrote last."""
        tried, accepted, places, size = HEAD.unpack_from(self._memory)
        return State(tried, accepted, places, bytes(self._memory[HEAD.size : HEAD.size + size]))
