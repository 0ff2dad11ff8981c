"""The compiled ledger as it ships with the package, so that running a ring needs no compiler."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from deepring_chain.errors import ChainError


@dataclass(frozen=True)
class Artifact:
    """One compiled contract.

    Attributes:
        name: the contract's name.
        abi: its interface, in the JSON form of the Solidity ABI specification.
        bytecode: what a deployment sends, without constructor arguments.
        deployed_bytecode: what then lies on the chain, with zeros in place of the immutables.
        immutable_references: (first byte, length) of each place of an immutable in `deployed_bytecode`.
        compiler: full version of the compiler.
        settings: the compiler's settings, in the form of its standard JSON input.
        sources: SHA-256, in hex, of every source file that went in, OpenZeppelin's included, by its path.
        source_hash: `source_hash` of `sources`.
    """

    name: str
    abi: tuple[dict[str, Any], ...]
    bytecode: bytes
    deployed_bytecode: bytes
    immutable_references: tuple[tuple[int, int], ...]
    compiler: str
    settings: dict[str, Any]
    sources: dict[str, str]
    source_hash: str

    def is_code(self, code: bytes) -> bool:
        """Say whether the code found at an address is this contract, whatever its immutables hold."""
        return self._without_immutables(code) == self._without_immutables(self.deployed_bytecode)

    def _without_immutables(self, code: bytes) -> bytes:
        masked = bytearray(code)
        for start, length in self.immutable_references:
            masked[start : start + length] = bytes(length)
        return bytes(masked)


def load_artifact(name: str = "Ledger") -> Artifact:
    """Load a contract that ships with the package.

    Raises:
        ChainError: there is none of that name, or its file is damaged.
    """
    file = resources.files("deepring_chain.chain") / "artifacts" / f"{name}.json"
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ChainError(f"the package has no readable contract {name} ({error}); install it again") from error
    return parse_artifact(text, f"the package's {name}.json")


def read_artifact(path: Path) -> Artifact:
    """Load a contract from a file that `tools/compile_contracts.py` wrote.

    Raises:
        ChainError: the file is absent or damaged.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ChainError(f"cannot read the contract {path} ({error}); run `make contracts`") from error
    return parse_artifact(text, str(path))


def parse_artifact(text: str, where: str) -> Artifact:
    """Read an artifact's JSON.

    Args:
        text: the file's content.
        where: its name, for the error.

    Raises:
        ChainError: a field is missing or of the wrong form, or the content is not the one that was written.
    """
    try:
        fields = json.loads(text)
        _check_digest(fields.pop("digest"), fields)
        return _from_fields(fields)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ChainError(f"{where} is damaged: {error}; install the package again or run `make contracts`") from error


def content_digest(fields: dict[str, Any]) -> str:
    """SHA-256, in hex, of an artifact's fields other than `digest`, as compact JSON with sorted keys."""
    return hashlib.sha256(json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def source_hash(sources: dict[str, str]) -> str:
    """SHA-256, in hex, of the lines `<sha256>  <path>`, sorted by path: `sha256sum PATHS... | sha256sum`."""
    listing = "".join(f"{digest}  {path}\n" for path, digest in sorted(sources.items()))
    return hashlib.sha256(listing.encode()).hexdigest()


def _check_digest(written: str, fields: dict[str, Any]) -> None:
    actual = content_digest(fields)
    if actual != written:
        raise ValueError(f"its content hashes to {actual[:16]}, not to {written[:16]}")


def _from_fields(fields: dict[str, Any]) -> Artifact:
    return Artifact(
        name=fields["name"],
        abi=tuple(fields["abi"]),
        bytecode=_unhex(fields["bytecode"]),
        deployed_bytecode=_unhex(fields["deployedBytecode"]),
        immutable_references=tuple((int(start), int(length)) for start, length in fields["immutableReferences"]),
        compiler=fields["compiler"],
        settings=dict(fields["settings"]),
        sources=dict(fields["sources"]),
        source_hash=fields["sourceHash"],
    )


def _unhex(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))
