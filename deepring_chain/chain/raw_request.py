"""JSON-RPC without web3's formatting of what is asked and answered, which takes longer than a local node's answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hexbytes import HexBytes
from web3 import Web3
from web3.exceptions import Web3RPCError
from web3.types import LogReceipt, RPCEndpoint

from deepring_chain.errors import ChainError


def request(web3: Web3, method: str, *parameters: Any) -> Any:
    """What the node answers, as it is; to be called within `node_errors`.

    Raises:
        Web3RPCError: it refuses.
    """
    response = web3.provider.make_request(RPCEndpoint(method), list(parameters))
    if response.get("error") is not None:
        raise Web3RPCError(repr(response["error"]), rpc_response=response)
    return response["result"]


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
