"""How the ledger came to be: the transaction that created it, and the immutable values in its code."""

from __future__ import annotations

from eth_abi.abi import encode as abi_encode
from eth_utils import keccak, to_canonical_address

from deepring_chain.audit.chain import LinkedBlock
from deepring_chain.chain.artifact import Artifact, load_artifact
from deepring_chain.chain.client import LedgerClient
from deepring_chain.chain.connection import node_errors
from deepring_chain.chain.raw_block import MalformedBlock, RawTransaction, created_address
from deepring_chain.protocol.audit_step import AuditFailure, Place, Terms, show
from deepring_chain.types import Address

SUBJECT = "the ledger's deployment"
NAME, VERSION = b"DeepRing", b"1"
"""Of the EIP-712 domain."""

_DOMAIN_TYPE = b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"


def check_deployment(block: LinkedBlock, terms: Terms) -> bool:
    """Finds the transaction that created the ledger, and compares what it sent with the shipped code and the terms.

    Args:
        block: the first block, with its transactions.
        terms: as the ledger's getters tell.

    Returns:
        Whether it is there. If not, the ledger was created earlier, or by another contract.

    Raises:
        AuditFailure: it sent something else.
    """
    for transaction in block.transactions:
        if transaction.to is None and _creates(transaction, terms.domain.ledger):
            _compare_code(block, transaction, terms)
            return True
    return False


def check_immutables(client: LedgerClient, terms: Terms, block_number: int) -> int:
    """Compares what stands in the code's immutable places, which `Artifact.is_code` leaves out.

    Args:
        client: the ledger.
        terms: as the ledger's getters tell.
        block_number: where the code is read.

    Returns:
        How many places were compared.

    Raises:
        AuditFailure: one holds no value that this ledger has.
    """
    with node_errors(client.url):
        code = bytes(client.web3.eth.get_code(terms.domain.ledger, block_number))  # type: ignore[arg-type]
    expected = immutable_values(terms)
    artifact = load_artifact()
    for start, length in artifact.immutable_references:
        found = code[start : start + length]
        if found not in expected:
            wanted = "a value that the ledger's constructor writes"
            raise AuditFailure(
                "the ledger's code", f"immutable at byte {start}", wanted, show(found), Place(block_number)
            )
    return len(artifact.immutable_references)


def immutable_values(terms: Terms) -> set[bytes]:
    """All 32-byte values that the constructor writes into the code: the terms, and OpenZeppelin's EIP712 cache."""
    ledger = to_canonical_address(terms.domain.ledger)
    hashes = [keccak(NAME), keccak(VERSION)]
    separator = keccak(
        abi_encode(
            ["bytes32", "bytes32", "bytes32", "uint256", "address"],
            [keccak(_DOMAIN_TYPE), *hashes, terms.domain.chain_id, ledger],
        )
    )
    numbers = (terms.hop_seconds, terms.withdraw_seconds, terms.domain.chain_id)
    texts = (text.ljust(31, b"\0") + bytes([len(text)]) for text in (NAME, VERSION))
    addresses = (address.rjust(32, b"\0") for address in (ledger, to_canonical_address(terms.ouroboros)))
    return {separator, *hashes, *(number.to_bytes(32, "big") for number in numbers), *texts, *addresses}


def _creates(transaction: RawTransaction, ledger: Address) -> bool:
    try:
        return created_address(transaction.sender(), transaction.nonce) == ledger
    except MalformedBlock:
        return False


def _compare_code(block: LinkedBlock, transaction: RawTransaction, terms: Terms) -> None:
    artifact = load_artifact()
    place = Place(block.header.number, transaction.transaction_hash)
    size = len(artifact.bytecode)
    if transaction.data[:size] != artifact.bytecode:
        wanted = f"{_named(artifact)}, {size} bytes"
        raise AuditFailure(SUBJECT, "bytecode", wanted, f"other {len(transaction.data)} bytes", place)
    arguments = [terms.ouroboros, terms.hop_seconds, terms.withdraw_seconds]
    expected = abi_encode(["address", "uint40", "uint40"], arguments)
    if transaction.data[size:] != expected:
        found = show(transaction.data[size : size + 256])
        raise AuditFailure(SUBJECT, "constructor's arguments", show(expected), found, place)


def _named(artifact: Artifact) -> str:
    return f"the code of this release's {artifact.name} (sources {artifact.source_hash[:16]})"
