"""The node under a ring that is mistreated: its calls for tests, its death, and its return."""

from __future__ import annotations

import gzip
import os
import random
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import requests

from deepring_chain.chain.devnet import Devnet
from deepring_chain.errors import ChainError

ANSWER_SECONDS = 3.0
DUMP_SECONDS = 30.0
SETTLE_SECONDS = 0.1


def free_port() -> int:
    """A port that the node can come back to."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Node:
    """Anvil with its state in a file.

    Args:
        folder: for that file.
        keeps_history: whether a node that was started again still tells what was before; for short chains.

    Attributes:
        devnet: the process.
        floor: no reorganization goes below this block.
    """

    def __init__(self, folder: Path, *, keeps_history: bool = True) -> None:
        self._state, self._keeps_history = folder / "chain.json", keeps_history
        history = ("--preserve-historical-states",) if keeps_history else ()
        self.devnet = Devnet(port=free_port(), extra=("--state", str(self._state), *history))
        self.floor = 0

    def call(self, method: str, *parameters: Any, seconds: float = ANSWER_SECONDS) -> Any:
        """What the node answers.

        Raises:
            ChainError: it does not, or refuses.
        """
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(parameters)}
        try:
            answer = requests.post(self.devnet.url, json=body, timeout=seconds).json()
        except (OSError, ValueError) as error:
            raise ChainError(f"{method}: {type(error).__name__}") from None
        if "error" in answer:
            raise ChainError(f"{method}: {answer['error'].get('message')}")
        return answer["result"]

    def height(self) -> int:
        """Number of the newest block."""
        return int(self.call("eth_blockNumber"), 16)

    def kill(self) -> None:
        """Kill -9; what the node will know when it is back is what it knows now."""
        self.wake()
        self._hold()
        self._state.write_bytes(
            gzip.decompress(bytes.fromhex(self.call("anvil_dumpState", self._keeps_history, seconds=DUMP_SECONDS)[2:]))
        )
        os.kill(self.devnet.process_id, signal.SIGKILL)
        self.devnet.stop()

    def stop(self) -> None:
        """Ends in order."""
        self.wake()
        self._hold()
        os.kill(self.devnet.process_id, signal.SIGTERM)
        deadline = time.monotonic() + DUMP_SECONDS
        while self.devnet.is_alive() and time.monotonic() < deadline:  # it writes all that it knows to its file
            time.sleep(0.02)
        self.devnet.stop()

    def start(self) -> None:
        """Starts again, unless it runs. Anvil 1.7.1 loses everything in a reorganization below its own start."""
        if not self.devnet.is_alive():
            self.devnet.stop()
            self.devnet.start()
            self.floor = self.height()

    def pause(self) -> None:
        """SIGSTOP."""
        os.kill(self.devnet.process_id, signal.SIGSTOP)

    def wake(self) -> None:
        """SIGCONT; nothing for a node that runs, or is away."""
        with suppress(ChainError, ProcessLookupError):
            os.kill(self.devnet.process_id, signal.SIGCONT)

    def _hold(self) -> None:
        """No block from now on: what Anvil 1.7.1 saves while it mines is a state that its blocks do not lead to."""
        self.call("evm_setAutomine", False)
        self.call("evm_setIntervalMining", 0)
        time.sleep(SETTLE_SECONDS)

    @contextmanager
    def _still(self) -> Iterator[None]:
        """No block meanwhile.

        One that Anvil 1.7.1 mines in a revert keeps its number, and those below it are gone.
        """
        self._hold()
        try:
            yield
        finally:
            self.call("evm_setAutomine", True)
            self.call("evm_mine")

    def snapshot(self) -> str:
        """Something to go back to."""
        with self._still():
            return str(self.call("evm_snapshot"))

    def go_back(self, snapshot: str) -> None:
        """Takes the chain back to a snapshot.

        Raises:
            ChainError: the node has lost it.
        """
        with self._still():
            if not self.call("evm_revert", snapshot, seconds=DUMP_SECONDS):
                raise ChainError("the node has lost the snapshot")

    def revert_blocks(self, depth: int) -> int:
        """A reorganization: the last blocks are replaced by empty ones; returns how many."""
        with self._still():
            depth = min(depth, self.height() - self.floor)
            if depth > 0:
                self.call("anvil_reorg", depth, [], seconds=DUMP_SECONDS)
        return depth

    def reorder_blocks(self, depth: int, rng: random.Random) -> int:
        """A reorganization: the transactions of the last blocks come in another order; returns how many blocks."""
        with self._still():
            height = self.height()
            depth = min(depth, height - self.floor)
            if depth > 0:
                found = [self._raw_transactions(number) for number in range(height - depth + 1, height + 1)]
                mixed = _mix([transaction for block in found for transaction in block], rng)
                places = sorted(rng.randrange(depth) for _ in mixed)
                self.call(
                    "anvil_reorg", depth, [list(pair) for pair in zip(mixed, places, strict=True)], seconds=DUMP_SECONDS
                )
        return depth

    def _raw_transactions(self, number: int) -> list[tuple[str, str]]:
        block = self.call("eth_getBlockByNumber", hex(number), True)
        raw = "eth_getRawTransactionByHash"
        return [(transaction["from"], self.call(raw, transaction["hash"])) for transaction in block["transactions"]]


def _mix(transactions: list[tuple[str, str]], rng: random.Random) -> list[str]:
    """Another order that keeps each sender's own, which the nonces prescribe."""
    senders = [sender for sender, _ in transactions]
    rng.shuffle(senders)
    queues = {sender: [raw for other, raw in transactions if other == sender] for sender in senders}
    return [queues[sender].pop(0) for sender in senders]
