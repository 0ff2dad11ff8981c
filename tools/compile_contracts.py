"""Compile the contracts into the artifacts that are checked in, or check that those are up to date.

`contracts/Ledger.sol` becomes the package's artifact, each `contracts/mocks/*.sol` one for the tests. Paths given to
the compiler are relative to the repository, and so the bytecode, whose last bytes are a hash of paths, sources and
settings, is the same on every machine.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
os.environ.setdefault("SOLCX_BINARY_PATH", str(ROOT / "tools" / "solcx"))  # solcx reads it when it is imported

import solcx  # noqa: E402
from solcx.exceptions import SolcError, SolcNotInstalled  # noqa: E402

from deepring_chain.chain.artifact import Artifact, content_digest, parse_artifact, source_hash  # noqa: E402
from deepring_chain.errors import ChainError, DeepRingError  # noqa: E402

SOLC_VERSION = "0.8.30"
SETTINGS: dict[str, Any] = {
    "remappings": ["@openzeppelin=node_modules/@openzeppelin"],
    "optimizer": {"enabled": True, "runs": 20_000},
    "evmVersion": "paris",
    "viaIR": True,
    "metadata": {"bytecodeHash": "ipfs"},
}
OUTPUTS = ["abi", "evm.bytecode.object", "evm.deployedBytecode.object", "evm.deployedBytecode.immutableReferences"]


def main(arguments: list[str] | None = None) -> int:
    """Write the artifacts, or with --check compare them; returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="fail when a checked-in artifact is stale")
    check = parser.parse_args(arguments).check
    try:
        for source, target in artifact_files():
            fields = compile_contract(source)
            if check:
                check_artifact(target, fields)
            else:
                write_artifact(target, fields)
    except DeepRingError as error:
        print(f"contracts: {error}", file=sys.stderr)
        return 1
    return 0


def artifact_files() -> Iterator[tuple[Path, Path]]:
    """Give each source file with the artifact made from the contract of the same name."""
    yield ROOT / "contracts/Ledger.sol", ROOT / "deepring_chain/chain/artifacts/Ledger.json"
    for source in sorted((ROOT / "contracts/mocks").glob("*.sol")):
        yield source, ROOT / "tests/artifacts" / f"{source.stem}.json"


def compile_contract(source: Path, *, warnings_allowed: bool = False) -> dict[str, Any]:
    """Compile one file and give the artifact's fields for the contract named like it.

    Raises:
        ChainError: the compiler is absent, or it has an error or (unless allowed) a warning to report.
    """
    unit = source.relative_to(ROOT).as_posix()
    output = run_compiler(unit, warnings_allowed=warnings_allowed)
    contract = output["contracts"][unit][source.stem]
    sources = {path: hashlib.sha256((ROOT / path).read_bytes()).hexdigest() for path in sorted(output["sources"])}
    return {
        "name": source.stem,
        "compiler": str(solcx.get_solc_version(with_commit_hash=True)),
        "settings": SETTINGS,
        "sources": sources,
        "sourceHash": source_hash(sources),
        "abi": contract["abi"],
        "bytecode": "0x" + contract["evm"]["bytecode"]["object"],
        "deployedBytecode": "0x" + contract["evm"]["deployedBytecode"]["object"],
        "immutableReferences": immutable_places(contract["evm"]["deployedBytecode"]["immutableReferences"]),
    }


def run_compiler(unit: str, *, warnings_allowed: bool = False) -> dict[str, Any]:
    """Run solc on one source file, named by its path in the repository, and give its standard JSON output."""
    request = {
        "language": "Solidity",
        "sources": {unit: {"content": (ROOT / unit).read_text(encoding="utf-8")}},
        "settings": {**SETTINGS, "outputSelection": {"*": {"*": OUTPUTS}}},
    }
    try:
        solcx.set_solc_version(SOLC_VERSION, silent=True)
        output: dict[str, Any] = solcx.compile_standard(request, base_path=str(ROOT), allow_paths=str(ROOT))
    except SolcNotInstalled as error:
        raise ChainError(f"solc {SOLC_VERSION} not found; run `npm ci` and keep tools/solcx") from error
    except (SolcError, OSError) as error:
        raise ChainError(f"{unit} does not compile: {' '.join(str(error).split())[:800]}") from error
    complaints = [entry["formattedMessage"] for entry in output.get("errors", [])]
    # A warning counts too: among others the one that the contract has become too large for Ethereum.
    if complaints and not warnings_allowed:
        raise ChainError(f"{unit}: {' '.join(complaints[0].split())}")
    return output


def immutable_places(references: dict[str, list[dict[str, int]]]) -> list[list[int]]:
    """Flatten the compiler's table, whose keys are numbers of syntax nodes, to sorted [start, length] pairs."""
    return sorted([place["start"], place["length"]] for places in references.values() for place in places)


def write_artifact(target: Path, fields: dict[str, Any]) -> None:
    """Write one artifact, the same bytes from the same sources."""
    target.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps({**fields, "digest": content_digest(fields)}, indent=1, sort_keys=True)
    target.write_text(text + "\n", encoding="utf-8")
    size = len(fields["deployedBytecode"]) // 2 - 1
    print(f"contracts: {target.relative_to(ROOT)}, {size} bytes on the chain, sources {fields['sourceHash'][:16]}")


def check_artifact(target: Path, fields: dict[str, Any]) -> None:
    """Compare one artifact with what its sources compile to now.

    Raises:
        ChainError: it is absent, damaged, or stale; the error says in what.
    """
    shown = target.relative_to(ROOT)
    if not target.exists():
        raise ChainError(f"{shown} is missing; run `make contracts` and commit it")
    found = parse_artifact(target.read_text(encoding="utf-8"), str(shown))
    wanted = parse_artifact(json.dumps({**fields, "digest": content_digest(fields)}), "the compiler's output")
    if found != wanted:
        raise ChainError(f"{shown} is stale ({differences(found, wanted)}); run `make contracts` and commit it")


def differences(found: Artifact, wanted: Artifact) -> str:
    """Name the source files, or else the fields, in which two artifacts differ."""
    files = sorted(path for path, _ in found.sources.items() ^ wanted.sources.items())
    if files:
        return "changed: " + ", ".join(dict.fromkeys(files))
    fields = vars(wanted)
    return "same sources, another " + ", ".join(name for name in fields if fields[name] != vars(found)[name])


if __name__ == "__main__":
    sys.exit(main())
