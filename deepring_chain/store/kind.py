"""What the project knows of a kind of store, all of it said in one file of `store/kinds`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class StoreKind:
    """How file systems of some protocols behave; the constant `KIND` of its file.

    Attributes:
        protocols: as fsspec names them, and as a URL begins with them.
        has_folders: whether the root is a folder that can be there or not; else the store itself answers or does not.
        tells_missing: whether the driver's `FileNotFoundError` means just that, and not that nobody answered.
        puts_whole: whether one PUT shows the whole object or nothing; such stores have no cheap rename.
        is_local: whether the paths are those of this machine.
        open: URL to file system and root, with fsspec's methods; fsspec's own driver if None.
    """

    protocols: frozenset[str]
    has_folders: bool = True
    tells_missing: bool = True
    puts_whole: bool = False
    is_local: bool = False
    open: Callable[[str], tuple[Any, str]] | None = None
