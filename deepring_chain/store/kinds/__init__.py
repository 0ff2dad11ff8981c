"""The kinds of stores: one file of this folder each, found by its constant `KIND`.

A file system of any other protocol that fsspec knows counts as one of folders, elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from deepring_chain.registry import constants_in, merged
from deepring_chain.store.kind import StoreKind

KINDS: tuple[StoreKind, ...] = tuple(constants_in(__name__, __path__, "KIND"))

BY_PROTOCOL: Mapping[str, StoreKind] = merged(*(dict.fromkeys(kind.protocols, kind) for kind in KINDS))

FOLDERS_ELSEWHERE = StoreKind(frozenset())


def kind_of(protocols: Iterable[str]) -> StoreKind:
    """The kind of a file system that goes by these names."""
    return next((BY_PROTOCOL[name] for name in protocols if name in BY_PROTOCOL), FOLDERS_ELSEWHERE)
