"""Ganache, which runs on Node.js and has no receipts by block."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from deepring_chain.chain.node_kind import MNEMONIC, DevnetOptions, NodeKind, find_program
from deepring_chain.errors import ChainError


def _command(asked: DevnetOptions) -> list[str]:
    # "eager" includes a transaction before its hash is returned, as Anvil does. The limit of a block is Anvil's.
    chain_id = str(asked.chain_id)
    flags = ["--server.host", "127.0.0.1", "--server.port", str(asked.port), "--logging.quiet"]
    flags += ["--chain.chainId", chain_id, "--chain.networkId", chain_id, "--chain.hardfork", "shanghai"]
    flags += ["--wallet.mnemonic", MNEMONIC, "--wallet.defaultBalance", "10000"]
    flags += ["--miner.blockGasLimit", "30000000", "--miner.instamine", "eager"]
    pace = [] if asked.block_time is None else ["--miner.blockTime", f"{asked.block_time:g}"]
    return [*_find(asked.env), *flags, *pace]


def _find(env: Mapping[str, str]) -> list[str]:
    node = shutil.which("node", path=env.get("PATH", ""))
    if node is None:
        raise ChainError("node not found on PATH, and Ganache runs on it; install Node.js 18 or later, or use anvil")
    found = find_program("ganache", env)
    if found is None:
        raise ChainError("ganache not found in node_modules or on PATH; run `npm ci` in the repository")
    # Not through its `#!/usr/bin/env node` line: this is the node that was just looked up.
    return [str(Path(node).absolute()), str(Path(found).resolve())]


NODE = NodeKind(
    "ganache",
    _command,
    port_taken="EADDRINUSE",
    taken=("nonce",),
    no_method=(-32700,),
    revert_keys=("result",),
)
