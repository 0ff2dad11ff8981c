"""The Solidity side: `contracts/mocks/DigestHarness.sol` on a node."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from eth_utils.address import to_checksum_address
from web3 import Web3
from web3.types import RPCEndpoint

from deepring_chain.chain.artifact import read_artifact
from deepring_chain.crypto.signing import SignedMessage, as_struct
from deepring_chain.types import (
    NO_ROUTE,
    Address,
    Attestation,
    BlockHash,
    Complaint,
    Delivery,
    Digest,
    Domain,
    Leaf,
    RouteLink,
    Update,
    Verdict,
)
from tests.waiting import FOREVER

ARTIFACT = Path(__file__).parents[1] / "artifacts" / "DigestHarness.json"

DIGEST_FUNCTIONS: dict[type[SignedMessage], str] = {
    Update: "updateDigest",
    Attestation: "attestationDigest",
    Delivery: "deliveryDigest",
    Complaint: "complaintDigest",
    Verdict: "verdictDigest",
}


class Harness:
    """Calls the pure libraries; every function returns 32 bytes.

    Args:
        web3: the node.
        address: where the harness is deployed.
    """

    def __init__(self, web3: Web3, address: Address) -> None:
        self._web3 = web3
        self._deployed = address
        self._contract = web3.eth.contract(abi=read_artifact(ARTIFACT).abi)
        self.domain = Domain(web3.eth.chain_id, address)

    @classmethod
    def deploy(cls, web3: Web3) -> Harness:
        """Deploys the harness from the node's first unlocked account."""
        artifact = read_artifact(ARTIFACT)
        factory = web3.eth.contract(abi=artifact.abi, bytecode=artifact.bytecode)
        sent = factory.constructor().transact({"from": web3.eth.accounts[0]})
        address = web3.eth.wait_for_transaction_receipt(sent, FOREVER, 0.005)["contractAddress"]
        return cls(web3, Address(to_checksum_address(str(address))))

    def call(self, function: str, *arguments: object, address: Address | None = None) -> Any:
        """What a function returns, with the harness's code at its own or at another address."""
        transaction = {"to": address or self._deployed, "data": self._contract.encode_abi(function, arguments)}
        parameters: list[Any] = [transaction, "latest"]
        if address is not None:
            parameters.append({address: {"code": self._web3.eth.get_code(self._deployed).to_0x_hex()}})  # type: ignore[arg-type]
        answer = self._web3.provider.make_request(RPCEndpoint("eth_call"), parameters)
        return Digest(bytes.fromhex(answer["result"][2:]))

    def digest(self, message: SignedMessage, address: Address | None = None) -> Digest:
        """The EIP-712 digest of a message for the harness, or for a contract at another address."""
        return Digest(self.call(DIGEST_FUNCTIONS[type(message)], as_struct(message), address=address))

    def fold(self, leaves: list[Leaf]) -> list[BlockHash]:
        """HASH_0 .. HASH_last, one call each (eq. 1-2)."""
        hashes = [self.call("firstBlockHash", leaves[0])]
        for leaf in leaves[1:]:
            hashes.append(self.call("nextBlockHash", hashes[-1], leaf))
        return hashes

    def route(self, signers: list[Address], salts: list[Digest]) -> list[RouteLink]:
        """The links of a route, the first one first, zero last."""
        links = [NO_ROUTE]
        for signer, salt in zip(reversed(signers), reversed(salts), strict=True):
            links.insert(0, self.call("routeLink", signer, salt, links[0]))
        return links
