"""The Ethereum Attestation Service on a devnet: its compiled contracts as they are published, deployed and used."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import tarfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from eth_account import Account
from eth_account.signers.local import LocalAccount
from web3 import Web3
from web3.contract import Contract

from benchmarks.harness import ROOT, fail

PACKAGE_FILE = ROOT / "benchmarks" / "eas" / "package.json"
CACHE = ROOT / "build" / "bench"
ZERO = "0x" + "00" * 20
SCHEMA = "bytes32 envelope,bytes32 output,bytes32 nextOutput,bytes32 trail"
MAX_UINT64 = 2**64 - 1
GAS = 12_000_000

ATTEST_TYPES = {
    "Attest": [
        {"name": name, "type": kind}
        for name, kind in (
            ("attester", "address"),
            ("schema", "bytes32"),
            ("recipient", "address"),
            ("expirationTime", "uint64"),
            ("revocable", "bool"),
            ("refUID", "bytes32"),
            ("data", "bytes"),
            ("value", "uint256"),
            ("nonce", "uint256"),
            ("deadline", "uint64"),
        )
    ]
}


def read_artifact(name: str) -> dict[str, Any]:
    """ABI and bytecode of one contract, from the package, which is fetched once and held against its known hash."""
    with tarfile.open(_fetch_package()) as archive:
        member = archive.extractfile(f"package/artifacts/contracts/{name}.sol/{name}.json")
        if member is None:
            fail(f"the package of EAS has no {name}")
        found: dict[str, Any] = json.loads(member.read())
        return found


def _fetch_package() -> Path:
    package = json.loads(PACKAGE_FILE.read_text(encoding="utf-8"))
    ((name, version),) = package["dependencies"].items()
    path = CACHE / f"{name.removeprefix('@').replace('/', '-')}-{version}.tgz"
    if not path.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        command = ["npm", "pack", f"{name}@{version}", "--pack-destination", str(CACHE), "--loglevel=error"]
        done = subprocess.run(command, cwd=CACHE, capture_output=True, text=True, timeout=300, check=False)
        if done.returncode or not path.exists():
            fail(f"npm could not fetch {name}: {done.stderr.strip()[:300]}")
    digest = base64.b64encode(hashlib.sha512(path.read_bytes()).digest()).decode()
    if f"sha512-{digest}" != package["config"]["integrity"]:
        fail(f"{path}: not the package that {PACKAGE_FILE} names; delete it")
    return path


@dataclass
class Eas:
    """A deployed EAS, and one attester whose signatures others carry to it.

    Attributes:
        web3: the node.
        payer: an unlocked account.
        contract: EAS.
        schema: identifier of the schema that is attested.
        attester: who signs.
        nonce: of its next signature.
    """

    web3: Web3
    payer: str
    contract: Contract
    schema: bytes
    attester: LocalAccount
    nonce: int = field(default=0)

    @classmethod
    def deploy(cls, web3: Web3) -> Eas:
        """Registry, EAS and the schema of a hop's four digests."""
        payer = web3.eth.accounts[0]
        registry = _deploy(web3, payer, "SchemaRegistry")
        eas = _deploy(web3, payer, "EAS", registry.address)
        done = web3.eth.wait_for_transaction_receipt(
            registry.functions.register(SCHEMA, ZERO, False).transact({"from": payer, "gas": GAS})
        )
        return cls(web3, payer, eas, bytes(done["logs"][0]["topics"][1]), Account.create())

    def attest(self) -> int:
        """Gas of one `attestByDelegation` with a hop's 128 bytes."""
        data = self._data()
        call = self.contract.functions.attestByDelegation(
            (self.schema, data, self._sign(data), self.attester.address, MAX_UINT64)
        )
        return self._send(call)

    def attest_many(self, count: int) -> int:
        """Gas of one `multiAttestByDelegation` with `count` of them."""
        data = [self._data() for _ in range(count)]
        signatures = [self._sign(each) for each in data]
        call = self.contract.functions.multiAttestByDelegation(
            [(self.schema, data, signatures, self.attester.address, MAX_UINT64)]
        )
        return self._send(call)

    def _data(self) -> tuple[Any, ...]:
        digests = b"".join(hashlib.sha256(f"{self.nonce} {part}".encode()).digest() for part in range(4))
        return (ZERO, 0, False, bytes(32), digests, 0)

    def _sign(self, data: tuple[Any, ...]) -> tuple[int, bytes, bytes]:
        recipient, expiration, revocable, reference, content, value = data
        message = {
            "attester": self.attester.address,
            "schema": self.schema,
            "recipient": recipient,
            "expirationTime": expiration,
            "revocable": revocable,
            "refUID": reference,
            "data": content,
            "value": value,
            "nonce": self.nonce,
            "deadline": MAX_UINT64,
        }
        self.nonce += 1
        _, name, version, chain_id, contract, _, _ = self.contract.functions.eip712Domain().call()
        domain = {"name": name, "version": version, "chainId": chain_id, "verifyingContract": contract}
        signed = self.attester.sign_typed_data(domain, ATTEST_TYPES, message)
        return signed.v, signed.r.to_bytes(32, "big"), signed.s.to_bytes(32, "big")

    def _send(self, call: Any) -> int:
        receipt = self.web3.eth.wait_for_transaction_receipt(call.transact({"from": self.payer, "gas": GAS}))
        if receipt["status"] != 1:
            fail("EAS refused the attestation")
        return int(receipt["gasUsed"])


def _deploy(web3: Web3, payer: str, name: str, *arguments: object) -> Contract:
    artifact = read_artifact(name)
    factory = web3.eth.contract(abi=artifact["abi"], bytecode=artifact["bytecode"])
    done = web3.eth.wait_for_transaction_receipt(factory.constructor(*arguments).transact({"from": payer, "gas": GAS}))
    made: Contract = web3.eth.contract(address=done["contractAddress"], abi=artifact["abi"])  # type: ignore[assignment]
    return made
