"""JSON-RPC without web3's formatting of what is asked and answered, which takes longer than a local node's answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from eth_abi.exceptions import DecodingError
from hexbytes import HexBytes
from web3 import Web3
from web3.exceptions import BadFunctionCallOutput, Web3RPCError
from web3.types import LogReceipt, RPCEndpoint

from deepring_chain.chain.calldata import CallEncoder
from deepring_chain.errors import ChainError
from deepring_chain.types import Address


def request(web3: Web3, method: str, *parameters: Any) -> Any:
    """What the node answers, as it is; to be called within `node_errors`.

    Raises:
        Web3RPCError: it refuses.
    """
    response = web3.provider.make_request(RPCEndpoint(method), list(parameters))
    if response.get("error") is not None:
        raise Web3RPCError(repr(response["error"]), rpc_response=response)
    return response["result"]


def call_view(web3: Web3, address: Address, encoder: CallEncoder, function: str, *arguments: object) -> Any:
    """The one value that a contract's view returns now; to be called within `node_errors`.

    web3's own calls hash the signatures of all of the contract's functions each time.

    Raises:
        Web3RPCError: the node refuses.
        BadFunctionCallOutput: its answer is no such value.
    """
    data = f"0x{encoder.encode(function, arguments).hex()}"
    answer = request(web3, "eth_call", {"to": address, "data": data}, "latest")
    try:
        return encoder.decode(function, HexBytes(answer))
    except DecodingError as error:
        raise BadFunctionCallOutput(f"{function}: {error!s:.200}") from None


def read_logs(answer: Any) -> list[LogReceipt]:
    """Logs in the form that web3 gives them.

    Raises:
        ChainError: the answer is no list of logs.
    """
    if not isinstance(answer, list):
        raise ChainError(f"the node's answer is no list of logs ({type(answer).__name__})")
    try:
        return [_read_log(log) for log in answer]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ChainError(f"the node's answer is no list of logs ({type(error).__name__})") from None


def _read_log(log: Mapping[str, Any]) -> LogReceipt:
    return LogReceipt(
        address=log["address"],
        topics=[HexBytes(topic) for topic in log["topics"]],
        data=HexBytes(log["data"]),
        blockNumber=int(log["blockNumber"], 16),  # type: ignore[typeddict-item]
        blockHash=HexBytes(log["blockHash"]),
        transactionHash=HexBytes(log["transactionHash"]),
        transactionIndex=int(log["transactionIndex"], 16),
        logIndex=int(log["logIndex"], 16),
        removed=bool(log.get("removed", False)),
    )
