"""Which program is the development node, and with which flags it is started."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from deepring_chain.chain.node_kind import DevnetOptions
from deepring_chain.chain.nodes import DEVNETS
from deepring_chain.errors import ChainError

CHAIN_ID = 31337
"""Chain id of a development node unless another is asked for; it is part of every signature."""


def node_command(
    kind: str,
    port: int,
    chain_id: int,
    *,
    block_time: float | None = None,
    extra: Sequence[str] = (),
    env: Mapping[str, str] = os.environ,
) -> list[str]:
    """Give the command line of a development node, program first.

    Args:
        kind: one of `DEVNETS`.
        port: where it shall listen, on the loopback interface only.
        chain_id: chain id of the new chain.
        block_time: seconds between blocks; None mines each transaction at once.
        extra: further flags of the node; one that is already there may not be repeated.
        env: environment to read DEEPRING_ANVIL and PATH from.

    Raises:
        ChainError: the node's program, or Node.js for Ganache, is not there.
    """
    command = DEVNETS[kind].command if kind in DEVNETS else None
    if command is None:
        raise ChainError(f"no development node is called {kind!r}; choose {' or '.join(DEVNETS)}")
    return [*command(DevnetOptions(port, chain_id, block_time, env)), *extra]
