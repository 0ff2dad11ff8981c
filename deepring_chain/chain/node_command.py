"""Which program is the development node, and with which flags it is started."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

from deepring_chain.errors import ChainError

NodeKind = Literal["anvil", "ganache"]

CHAIN_ID = 31337
"""Chain id of a development node unless another is asked for; it is part of every signature."""

# Both nodes derive the same unlocked accounts from it; it is Anvil's default and known to everyone.
_MNEMONIC = "test test test test test test test test test test test junk"

_REPOSITORY = Path(__file__).resolve().parents[2]


def node_command(
    kind: NodeKind,
    port: int,
    chain_id: int,
    *,
    block_time: float | None = None,
    extra: Sequence[str] = (),
    env: Mapping[str, str] = os.environ,
) -> list[str]:
    """Give the command line of a development node, program first.

    Args:
        kind: "anvil" or "ganache".
        port: where it shall listen, on the loopback interface only.
        chain_id: chain id of the new chain.
        block_time: seconds between blocks; None mines each transaction at once.
        extra: further flags of the node; one that is already there may not be repeated.
        env: environment to read DEEPRING_ANVIL and PATH from.

    Raises:
        ChainError: the node's program, or Node.js for Ganache, is not there.
    """
    if kind == "anvil":
        return [*_find_anvil(env), *_anvil_flags(port, chain_id, block_time), *extra]
    if kind == "ganache":
        return [*_find_ganache(env), *_ganache_flags(port, chain_id, block_time), *extra]
    raise ChainError(f"no development node is called {kind!r}; choose anvil or ganache")


def _anvil_flags(port: int, chain_id: int, block_time: float | None) -> list[str]:
    # A backlog above --max-transactions (1000 by default) stops Anvil 1.7.1 from mining and its memory grows without
    # bound. --hardfork is pinned because the default moves with each release.
    flags = ["--silent", "--host", "127.0.0.1", "--port", str(port), "--chain-id", str(chain_id)]
    flags += ["--hardfork", "prague", "--max-transactions", "100000", "--mnemonic", _MNEMONIC]
    return flags if block_time is None else [*flags, "--block-time", f"{block_time:g}"]


def _ganache_flags(port: int, chain_id: int, block_time: float | None) -> list[str]:
    # "eager" includes a transaction before its hash is returned, as Anvil does. The limit of a block is Anvil's.
    flags = ["--server.host", "127.0.0.1", "--server.port", str(port), "--logging.quiet"]
    flags += ["--chain.chainId", str(chain_id), "--chain.networkId", str(chain_id), "--chain.hardfork", "shanghai"]
    flags += ["--wallet.mnemonic", _MNEMONIC, "--wallet.defaultBalance", "10000"]
    flags += ["--miner.blockGasLimit", "30000000", "--miner.instamine", "eager"]
    return flags if block_time is None else [*flags, "--miner.blockTime", f"{block_time:g}"]


def _find_anvil(env: Mapping[str, str]) -> list[str]:
    named = env.get("DEEPRING_ANVIL")
    if named:
        if not _is_program(Path(named)):
            raise ChainError(f"DEEPRING_ANVIL names {named}, which is no program; correct or unset it")
        return [str(Path(named).absolute())]
    found = _find("anvil", env)
    if found is None:
        raise ChainError(
            "anvil not found in node_modules or on PATH; run `npm ci` in the repository or install Foundry"
        )
    return [found]


def _find_ganache(env: Mapping[str, str]) -> list[str]:
    node = shutil.which("node", path=env.get("PATH", ""))
    if node is None:
        raise ChainError("node not found on PATH, and Ganache runs on it; install Node.js 18 or later, or use anvil")
    found = _find("ganache", env)
    if found is None:
        raise ChainError("ganache not found in node_modules or on PATH; run `npm ci` in the repository")
    # Not through its `#!/usr/bin/env node` line: this is the node that was just looked up.
    return [str(Path(node).absolute()), str(Path(found).resolve())]


def _find(name: str, env: Mapping[str, str]) -> str | None:
    for place in _node_modules():
        if _is_program(place / ".bin" / name):
            return str(place / ".bin" / name)
    on_path = shutil.which(name, path=env.get("PATH", ""))
    return None if on_path is None else str(Path(on_path).absolute())


def _node_modules() -> Iterator[Path]:
    here = Path.cwd()
    for folder in (here, *here.parents, _REPOSITORY):
        yield folder / "node_modules"


def _is_program(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)
