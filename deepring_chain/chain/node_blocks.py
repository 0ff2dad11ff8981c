"""Blocks from a node, brought from JSON into the bytes that their hash binds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import rlp
from rlp.exceptions import RLPException
from web3 import Web3
from web3.types import RPCEndpoint

from deepring_chain.chain.connection import node_errors
from deepring_chain.chain.nodes import METHOD_NOT_FOUND
from deepring_chain.chain.raw_block import RawBlock, parse_header
from deepring_chain.errors import ChainError
from deepring_chain.types import Address, Digest

_HEADER = [
    *("parentHash", "sha3Uncles", "miner", "stateRoot", "transactionsRoot", "receiptsRoot", "logsBloom", "*difficulty"),
    *("*number", "*gasLimit", "*gasUsed", "*timestamp", "extraData", "mixHash", "nonce"),
]
_HEADER_SINCE = [
    *("*baseFeePerGas", "withdrawalsRoot", "*blobGasUsed", "*excessBlobGas", "parentBeaconBlockRoot", "requestsHash"),
]
"""London, Shanghai, Cancun, Prague, in the order of the header; a star marks an integer, which has no leading zeros."""

_TRANSACTION = {
    0: "*nonce *gasPrice *gas to *value input *v *r *s",
    1: "*chainId *nonce *gasPrice *gas to *value input accessList *v *r *s",
    2: "*chainId *nonce *maxPriorityFeePerGas *maxFeePerGas *gas to *value input accessList *v *r *s",
    3: "*chainId *nonce *maxPriorityFeePerGas *maxFeePerGas *gas to *value input accessList *maxFeePerBlobGas"
    " blobVersionedHashes *v *r *s",
    4: "*chainId *nonce *maxPriorityFeePerGas *maxFeePerGas *gas to *value input accessList authorizationList *v *r *s",
}
Json = Mapping[str, Any]


class NodeBlocks:
    """A node's blocks; transactions and receipts of those that may hold a log of one address.

    Args:
        web3: connection.
        url: the node's address, for messages.
        address: whose logs are wanted.
        whole_at: a block that is wanted with its transactions, whatever it logs.

    Attributes:
        head: the newest block when it was last asked for.
    """

    def __init__(self, web3: Web3, url: str, address: Address, whole_at: int | None = None) -> None:
        self._web3 = web3
        self._url = url
        self._address = address
        self._whole_at = whole_at
        self._has_block_receipts = True
        self.head = 0

    def newest(self) -> int:
        """Number of the newest block.

        Raises:
            ChainError: the node fails, or shows no number.
        """
        shown = self.request("eth_blockNumber")
        try:
            self.head = _number(shown)
        except (TypeError, ValueError) as error:
            raise ChainError(f"{self._url}: no number of the newest block ({str(error)[:200]})") from None
        return self.head

    def hash_of(self, number: int) -> Digest | None:
        """Hash of a block, computed from its header; None if there is no such block."""
        return parse_header(self.block(number).header).block_hash if number <= self.newest() else None

    def blocks(self, first: int) -> Iterator[RawBlock]:
        """All blocks from `first` up to the newest one, which may move meanwhile."""
        number = first
        while (newest := self.newest()) >= number:
            while number <= newest:
                yield self.block(number, whole=number == self._whole_at)
                number += 1

    def block(self, number: int, *, whole: bool = False) -> RawBlock:
        """One block; with transactions and receipts if it may hold a wanted log, or if `whole`.

        Raises:
            ChainError: the node fails, has no such block, or shows one that cannot be read.
        """
        try:
            return self._read(number, whole)
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RLPException) as error:
            reason = " ".join(str(error).split())[:200]
            raise ChainError(f"{self._url}: block {number} is of an unknown form ({reason})") from None

    def request(self, method: str, *parameters: object) -> Any:
        """One JSON-RPC call.

        Raises:
            ChainError: the node fails or refuses.
        """
        answer = self._ask(method, *parameters)
        if "error" in answer:
            message = answer["error"].get("message", "") if isinstance(answer["error"], dict) else answer["error"]
            raise ChainError(f"{self._url}: {method} was refused: {' '.join(str(message).split())[:200]}")
        return answer.get("result")

    def _ask(self, method: str, *parameters: object) -> Json:
        with node_errors(self._url):
            return dict(self._web3.provider.make_request(RPCEndpoint(method), list(parameters)))

    def _read(self, number: int, whole: bool) -> RawBlock:
        shown = self._block_json(number, full=False)
        header = encode_header(shown)
        raw = RawBlock(number, Digest(_bytes(shown["hash"])), header)
        if not whole and not parse_header(header).may_log(self._address):
            return raw
        transactions = self._block_json(number, full=True)["transactions"] if shown["transactions"] else []
        encoded = tuple(encode_transaction(item) for item in transactions)
        receipts = tuple(encode_receipt(item) for item in self._receipts(number, shown["transactions"]))
        return RawBlock(number, raw.claimed_hash, header, encoded, receipts)

    def _block_json(self, number: int, *, full: bool) -> Json:
        shown = self.request("eth_getBlockByNumber", hex(number), full)
        if shown is None:
            raise ChainError(f"{self._url}: no block {number}")
        return dict(shown)

    def _receipts(self, number: int, hashes: Sequence[str]) -> Sequence[Json]:
        """All at once where the node can, else one by one."""
        if self._has_block_receipts:
            answer = self._ask("eth_getBlockReceipts", hex(number))
            if answer.get("result") is not None:
                return list(answer["result"])
            error = answer.get("error")
            if isinstance(error, dict) and error.get("code") not in METHOD_NOT_FOUND:
                raise ChainError(f"{self._url}: no receipts of block {number} ({str(error.get('message'))[:200]})")
            self._has_block_receipts = False
        return [self.request("eth_getTransactionReceipt", item) for item in hashes]


def encode_header(shown: Json) -> bytes:
    """RLP of a header; fields that later forks may add are left out, and its hash will tell."""
    since = [name for name in _HEADER_SINCE if shown.get(name.removeprefix("*")) is not None]
    encoded: bytes = rlp.encode([_field(shown, name) for name in (*_HEADER, *since)])
    return encoded


def encode_transaction(shown: Json) -> bytes:
    """EIP-2718 encoding of a signed transaction.

    Raises:
        ChainError: of an unknown type.
    """
    kind = int(shown.get("type") or "0x0", 16)
    if kind not in _TRANSACTION:
        raise ChainError(f"transaction {shown.get('hash')} is of type {kind}, which this program does not know")
    body: bytes = rlp.encode([_field(shown, name) for name in _TRANSACTION[kind].split()])
    return bytes([kind]) + body if kind else body


def encode_receipt(shown: Json) -> bytes:
    """EIP-2718 encoding of a receipt, as the receipts' root has it."""
    logs = [[_bytes(log["address"]), [_bytes(t) for t in log["topics"]], _bytes(log["data"])] for log in shown["logs"]]
    state = _integer(shown["status"]) if shown.get("status") is not None else _bytes(shown["root"])
    body: bytes = rlp.encode([state, _integer(shown["cumulativeGasUsed"]), _bytes(shown["logsBloom"]), logs])
    kind = int(shown.get("type") or "0x0", 16)
    return bytes([kind]) + body if kind else body


def _field(shown: Json, name: str) -> Any:
    if name.startswith("*"):
        return _integer(shown[name[1:]])
    value = shown[name]
    if name == "accessList":
        return [[_bytes(item["address"]), [_bytes(key) for key in item["storageKeys"]]] for item in value]
    if name == "authorizationList":
        return [_authorization(item) for item in value]
    if name == "blobVersionedHashes":
        return [_bytes(item) for item in value]
    return _bytes(value)


def _authorization(item: Json) -> list[bytes]:
    parity = item["yParity"] if "yParity" in item else item["v"]
    return [
        _integer(item["chainId"]),
        _bytes(item["address"]),
        *(_integer(value) for value in (item["nonce"], parity, item["r"], item["s"])),
    ]


def _integer(value: str) -> bytes:
    number = int(value, 16)
    return number.to_bytes((number.bit_length() + 7) // 8, "big")


def _number(value: str) -> int:
    number = int(value, 16)
    if not 0 <= number < 2**63:
        raise ValueError("a number out of range")
    return number


def _bytes(value: str | None) -> bytes:
    return bytes.fromhex(value.removeprefix("0x")) if value else b""
