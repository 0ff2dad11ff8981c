"""The kinds of nodes: one file of this folder each, found by its constant `NODE`."""

from __future__ import annotations

from collections.abc import Mapping

from deepring_chain.chain.node_kind import NodeKind
from deepring_chain.registry import constants_in, merged

NODES: tuple[NodeKind, ...] = tuple(constants_in(__name__, __path__, "NODE"))

DEVNETS: Mapping[str, NodeKind] = merged(*({kind.name: kind} for kind in NODES if kind.command is not None))
"""Those that can be started, by name."""

TAKEN = tuple(dict.fromkeys(word for kind in NODES for word in kind.taken))
"""In a refusal: the nonce is used, or a transaction with it waits in the node's pool."""

METHOD_NOT_FOUND = frozenset(code for kind in NODES for code in kind.no_method)
"""JSON-RPC codes of an unknown method."""

REVERT_KEYS = tuple(dict.fromkeys(key for kind in NODES for key in kind.revert_keys))
"""Where the data of a revert may be within an object that the error holds."""
