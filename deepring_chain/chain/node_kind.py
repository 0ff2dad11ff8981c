"""What the project knows of a kind of node, all of it said in one file of `chain/nodes`; and how programs are found."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from deepring_chain.errors import ChainError

# All devnets derive the same unlocked accounts from it; it is Anvil's default and known to everyone.
MNEMONIC = "test test test test test test test test test test test junk"

_REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class DevnetOptions:
    """How a development node is to run.

    Attributes:
        port: where it shall listen, on the loopback interface only.
        chain_id: chain id of the new chain.
        block_time: seconds between blocks; None mines each transaction at once.
        env: environment to look for programs in.
    """

    port: int
    chain_id: int
    block_time: float | None
    env: Mapping[str, str]


@dataclass(frozen=True)
class NodeKind:
    """How nodes of a kind are started and what they answer; the constant `NODE` of its file.

    Which kind an actor is connected to is not known: what any kind answers is understood from all.

    Attributes:
        name: as `--chain` takes it, if it can be started.
        command: its command line, program first; None for nodes that others run. Raises ChainError if the program is
            not there.
        port_taken: regular expression in the output of one that could not have its port.
        taken: words in a refusal: the nonce is used, or a transaction with it waits in the node's pool.
        no_method: JSON-RPC codes of an unknown method.
        revert_keys: where a revert's data are, if the error holds an object in their place.
    """

    name: str
    command: Callable[[DevnetOptions], list[str]] | None = None
    port_taken: str | None = None
    taken: tuple[str, ...] = ()
    no_method: tuple[int, ...] = ()
    revert_keys: tuple[str, ...] = ()


def find_anvil(env: Mapping[str, str]) -> list[str]:
    """Anvil: what DEEPRING_ANVIL names, else in node_modules, else on PATH.

    Raises:
        ChainError: it is not there.
    """
    named = env.get("DEEPRING_ANVIL")
    if named:
        if not is_program(Path(named)):
            raise ChainError(f"DEEPRING_ANVIL names {named}, which is no program; correct or unset it")
        return [str(Path(named).absolute())]
    found = find_program("anvil", env)
    if found is None:
        raise ChainError(
            "anvil not found in node_modules or on PATH; run `npm ci` in the repository or install Foundry"
        )
    return [found]


def find_program(name: str, env: Mapping[str, str]) -> str | None:
    """A program in the next node_modules above or the repository's, else on PATH; None if it is nowhere."""
    for place in _node_modules():
        if is_program(place / ".bin" / name):
            return str(place / ".bin" / name)
    on_path = shutil.which(name, path=env.get("PATH", ""))
    return None if on_path is None else str(Path(on_path).absolute())


def is_program(path: Path) -> bool:
    """Whether a file can be run."""
    return path.is_file() and os.access(path, os.X_OK)


def _node_modules() -> Iterator[Path]:
    here = Path.cwd()
    for folder in (here, *here.parents, _REPOSITORY):
        yield folder / "node_modules"
