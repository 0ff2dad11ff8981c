"""What a node or an export says of the chain: blocks, transactions, receipts, logs."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from eth_account import Account
from web3 import Web3

from assurance.fuzz.codecs import GZIP_JSON_LINES, JSON_LINES, RLP, Codec, prefixed
from assurance.fuzz.fake_node import URL, answering
from assurance.fuzz.protocol_targets import ADDRESS
from assurance.fuzz.scratch import from_file, scratch
from assurance.fuzz.target import MEBI, Limits, Target
from deepring_chain.chain.block_place import read_header
from deepring_chain.chain.connection import connect, node_errors
from deepring_chain.chain.export_file import ExportedBlock, ExportFile, ExportPlace, ExportWriter, connect_export
from deepring_chain.chain.node_blocks import NodeBlocks, encode_header, encode_receipt, encode_transaction
from deepring_chain.chain.probe import UNUSABLE, look_at_account, look_at_code, look_at_node
from deepring_chain.chain.raw_block import (
    RawBlock,
    created_address,
    ordered_root,
    parse_header,
    parse_logs,
    parse_transaction,
)
from deepring_chain.chain.raw_request import read_logs, request
from deepring_chain.chain.subscription import HeadFeed, _read
from deepring_chain.crypto.digest import keccak256
from deepring_chain.errors import ChainError
from deepring_chain.types import Address

WORD = f"0x{'11' * 32}"
ACCOUNT = Account.from_key(bytes(range(1, 33)))
LOG = {"address": ADDRESS, "topics": [WORD, WORD], "data": f"0x{'22' * 40}"}
RECEIPT = {
    **{"type": "0x2", "status": "0x1", "cumulativeGasUsed": "0x5208", "logsBloom": f"0x{'ff' * 256}"},
    "logs": [LOG, LOG],
}
HEADER = {
    **dict.fromkeys(("parentHash", "sha3Uncles", "stateRoot", "transactionsRoot", "receiptsRoot", "mixHash"), WORD),
    **dict.fromkeys(("difficulty", "number", "gasLimit", "gasUsed", "timestamp", "baseFeePerGas"), "0x7"),
    **{"miner": ADDRESS, "logsBloom": f"0x{'ff' * 256}", "extraData": "0x", "nonce": "0x0000000000000000"},
    **{"withdrawalsRoot": WORD, "blobGasUsed": "0x0", "excessBlobGas": "0x0", "parentBeaconBlockRoot": WORD},
}


# ---------------------------------------------------------------------- seeds


def _signed(**fields: Any) -> tuple[bytes, dict[str, str]]:
    """A signed transaction's bytes, and its signature as a node shows it."""
    signed = ACCOUNT.sign_transaction({"nonce": 3, "gas": 21000, "to": ADDRESS, "value": 5, "data": b"abc", **fields})
    return bytes(signed.raw_transaction), {name: hex(getattr(signed, name)) for name in "vrs"}


TYPES: tuple[dict[str, Any], ...] = (
    {"gasPrice": 9, "chainId": 31337},
    {"gasPrice": 9, "chainId": 31337, "accessList": [{"address": ADDRESS, "storageKeys": [WORD]}]},
    {"maxFeePerGas": 9, "maxPriorityFeePerGas": 1, "chainId": 31337, "accessList": []},
)


def _transactions() -> list[dict[str, Any]]:
    """As a node shows them: types 0 to 4, the last two with a signature that is nobody's."""
    shown = []
    base = {"nonce": "0x3", "gas": "0x5208", "to": ADDRESS, "value": "0x5", "input": "0x616263", "chainId": "0x7a69"}
    for kind, fields in enumerate(TYPES):
        hexed = {name: hex(value) if isinstance(value, int) else value for name, value in fields.items()}
        shown.append({**base, **hexed, **_signed(**fields)[1], "type": hex(kind)})
    blob = {**shown[2], "type": "0x3", "maxFeePerBlobGas": "0x1", "blobVersionedHashes": [WORD]}
    entry = {"chainId": "0x1", "address": ADDRESS, "nonce": "0x0", "yParity": "0x1", "r": "0x1", "s": "0x1"}
    return [*shown, blob, {**shown[2], "type": "0x4", "authorizationList": [entry]}]


def _lines(*results: object) -> bytes:
    return b"".join(json.dumps({"jsonrpc": "2.0", "id": 1, "result": result}).encode() + b"\n" for result in results)


def _block_answers() -> list[bytes]:
    transactions = _transactions()
    short = {**HEADER, "hash": WORD, "transactions": [WORD], "logsBloom": f"0x{'00' * 256}"}
    last = ("0x7", {**short, "transactions": []})
    seeds = [
        _lines("0x7a69", "0x7", short, {**short, "transactions": [each]}, [RECEIPT], *last) for each in transactions
    ]
    one_by_one = (short, {**short, "transactions": transactions[:1]}, None, RECEIPT)
    return [*seeds, _lines("0x7a69", "0x7", *one_by_one, *last)]


def _ledger_answers() -> list[bytes]:
    """The newest block and its logs."""
    place = {"blockNumber": "0x7", "blockHash": WORD, "transactionHash": WORD}
    log = {**LOG, **place, "transactionIndex": "0x0", "logIndex": "0x1", "removed": False}
    return [_lines("0x7a69", {**HEADER, "hash": WORD}, [log, log])]


def _announcements() -> list[bytes]:
    """Two blocks of which one follows the other."""
    headers = [{**HEADER, "number": hex(number), "hash": f"0x{number:064x}"} for number in (7, 8)]
    headers[1]["parentHash"] = headers[0]["hash"]
    told = [{"method": "eth_subscription", "params": {"subscription": "0x1", "result": each}} for each in headers]
    return [b"\n".join(json.dumps(each).encode() for each in told)]


def _probe_answers() -> list[bytes]:
    block = {**HEADER, "hash": WORD, "transactions": [], "uncles": [], "size": "0x1", "totalDifficulty": "0x0"}
    return [_lines("0x7a69", block, "0x7a69", block, "0x6001", block, "0x5", "0x1", "0x2")]


def _parts() -> list[bytes]:
    found = [b"\0" + encode_header(HEADER), b"\1" + encode_receipt(RECEIPT)]
    found += [b"\2" + _signed(**fields)[0] for fields in TYPES]
    return found + [b"\3" + encode_transaction(shown) for shown in _transactions()]


def _exports() -> list[bytes]:
    header = encode_header({**HEADER, "number": "0x3"})
    second = encode_header({**HEADER, "number": "0x4"})
    path = scratch("seed.jsonl.gz")
    view = {"0x8da5cb5b": WORD}
    place = ExportPlace(31337, ADDRESS, 3, 4, keccak256(second), b"\x60\x01", view)
    writer = ExportWriter(path, place)
    body = (_signed(**TYPES[0])[0],), (encode_receipt(RECEIPT),)
    writer.add(ExportedBlock(RawBlock(3, keccak256(header), header, *body), view))
    writer.add(ExportedBlock(RawBlock(4, keccak256(second), second)))
    writer.close()
    return [path.read_bytes()]


# ---------------------------------------------------------------------- parsers


def _part(data: bytes) -> object:
    """A header, a receipt, a transaction with its sender, or one without, as the first byte says."""
    kind, rest = data[0] % 4 if data else 0, data[1:]
    if kind == 0:
        return parse_header(rest).may_log(ADDRESS)
    if kind == 1:
        return parse_logs([rest]), ordered_root([rest, rest])
    transaction = parse_transaction(rest)
    if kind == 3:
        return transaction
    sender = transaction.sender()
    return created_address(sender, transaction.nonce)


def _read_blocks(data: bytes) -> object:
    """All that the audit asks a node for."""
    with answering(data.splitlines()):
        web3 = connect(URL, may_repeat=False)
        blocks = NodeBlocks(web3, URL, Address(ADDRESS))
        blocks.newest()
        raw = blocks.block(7, whole=True)
        parts = [_part(b"\3" + item) for item in raw.transactions or ()]
        return parse_header(raw.header), parts, parse_logs(raw.receipts or ()), blocks.hash_of(7)


def _read_ledger(data: bytes) -> object:
    """What an actor asks a node for, again and again."""
    with answering(data.splitlines()):
        web3 = connect(URL, may_repeat=False)
        with node_errors(URL):
            place = read_header(request(web3, "eth_getBlockByNumber", "latest", False))
            return place, read_logs(request(web3, "eth_getLogs", {}))


def _announce(data: bytes) -> object:
    feed = HeadFeed(URL)
    for message in data.splitlines():
        told = _read(message)
        if told.get("method") == "eth_subscription":
            feed._announce(told.get("params"))
    return feed.newest


def _probe(data: bytes) -> object:
    with answering(data.splitlines()):
        facts, web3 = look_at_node(URL, 1.0, lambda: 0.0)
        return facts if web3 is None else _look_closer(web3)


def _look_closer(web3: Web3) -> object:
    """What is asked next; who asks takes `UNUSABLE` as an answer."""
    try:
        code = look_at_code(web3, URL, Address(ADDRESS), 7, "11" * 32)
        return code, look_at_account(web3, URL, Address(ADDRESS))
    except UNUSABLE as error:
        raise ChainError(type(error).__name__) from None


def _read_export(path: Path) -> object:
    export = ExportFile(path)
    for raw in export.blocks(0):
        parse_header(raw.header)
        for item in raw.transactions or ():
            parse_transaction(item).sender()
        parse_logs(raw.receipts or ())
    web3 = connect_export(export)
    return export.hash_of(export.head), web3.provider.make_request("eth_getCode", []), export.read("0x8da5cb5b")  # type: ignore[arg-type]


_export = from_file("history.jsonl.gz", _read_export)


def _export_lines(data: bytes) -> object:
    return _export(gzip.compress(data, 0, mtime=0))


def _target(
    name: str, parse: Callable[[bytes], Any], seeds: Callable[[], list[bytes]], share: int, codec: Codec | None = None
) -> Target:
    limits = Limits(seconds=4.0, memory=8 * MEBI, memory_per_byte=2048, longest=8192)
    return Target(name, parse, (ChainError,), seeds, None, codec, limits, share, ("rlp",))


TARGETS = (
    _target("raw-block", _part, _parts, 12, prefixed(1, RLP)),
    _target("node-blocks", _read_blocks, _block_answers, 1, JSON_LINES),
    _target("node-probe", _probe, _probe_answers, 1, JSON_LINES),
    _target("ledger-answers", _read_ledger, _ledger_answers, 2, JSON_LINES),
    Target("announcement", _announce, (ValueError, TypeError), _announcements, None, JSON_LINES),
    _target("export-file", _export, _exports, 4, GZIP_JSON_LINES),
    _target("export-lines", _export_lines, lambda: [gzip.decompress(data) for data in _exports()], 6, JSON_LINES),
)
