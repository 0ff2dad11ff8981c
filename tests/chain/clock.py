"""The chain's clock, set by hand: a deadline is met or missed by one second, and no test waits for it."""

from __future__ import annotations

from web3 import Web3
from web3.types import RPCEndpoint


class Clock:
    """Time of an Anvil.

    Args:
        web3: the node.
    """

    def __init__(self, web3: Web3) -> None:
        self._web3 = web3

    @property
    def now(self) -> int:
        """Time of the last block, Unix seconds; a call and an estimate see it too."""
        return int(self._web3.eth.get_block("latest")["timestamp"])

    def advance(self, seconds: int) -> None:
        """Mines an empty block so much later."""
        self._request("evm_setNextBlockTimestamp", self.now + seconds)
        self._request("evm_mine")

    def stop(self) -> None:
        """From now on a block has the time of the block before."""
        self._request("anvil_setBlockTimestampInterval", 0)

    def go_on(self) -> None:
        """Time passes by itself again."""
        self._request("anvil_removeBlockTimestampInterval")

    def _request(self, method: str, *arguments: int) -> None:
        answer = self._web3.provider.make_request(RPCEndpoint(method), list(arguments))
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
