"""A development chain of our own: a node such as Anvil on a loopback port, which starts and stops with the program."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import FrameType, TracebackType
from typing import IO, Any, NoReturn

from eth_utils.address import to_checksum_address

from deepring_chain.chain.node_command import CHAIN_ID, node_command
from deepring_chain.chain.nodes import DEVNETS
from deepring_chain.errors import ChainError
from deepring_chain.types import Address

_HOST = "127.0.0.1"
_RETRIES = 4
_ANSWER_SECONDS = 2.0
_GRACE_SECONDS = 3.0
_LAUNCHER = Path(__file__).with_name("_die_with_parent.py")


class Devnet:
    """A node that lives as long as the `with` block, or from `start` to `stop`.

    It is stopped when the block is left, also by Ctrl-C or SIGTERM, and on Linux the kernel kills it when this process
    dies without leaving the block (kill -9). The kernel watches the *thread* that started the node: start it in a
    thread that lives as long as the node is needed, such as the main one.

    Args:
        kind: one of `nodes.DEVNETS`, such as "anvil".
        port: loopback port; a free one if None.
        chain_id: chain id of the new chain.
        block_time: seconds between blocks; None mines each transaction at once.
        log: file for the node's output, overwritten; a temporary one if None.
        extra: further flags of the node.
        timeout: seconds until the node must answer.
    """

    def __init__(
        self,
        kind: str = "anvil",
        *,
        port: int | None = None,
        chain_id: int = CHAIN_ID,
        block_time: float | None = None,
        log: Path | None = None,
        extra: Sequence[str] = (),
        timeout: float = 30.0,
    ) -> None:
        self.kind = kind
        self.timeout = timeout
        self._wanted_port = port
        self._block_time = block_time
        self._log_path = log
        self._extra = tuple(extra)
        self._block = ExitStack()
        self._log: IO[bytes] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._port = 0
        self._chain_id = chain_id

    def __enter__(self) -> Devnet:
        """Start the node, and have SIGTERM leave the block in an orderly way."""
        with ExitStack() as block:
            block.enter_context(_sigterm_as_exit())
            block.callback(self.stop)
            self.start()
            self._block = block.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the node."""
        self._block.close()

    def start(self) -> None:
        """Start the node and wait until it answers.

        Raises:
            ChainError: it is already started, its program is absent, the port is taken, or it does not answer in time;
                with the node's last output where it had any.
        """
        if self._process is not None:
            raise ChainError(f"this devnet already runs at {self.url}; stop it first")
        retries = _RETRIES if self._wanted_port is None else 0
        while True:
            try:
                return self._start_once()
            except _PortLostError:
                if retries == 0:
                    raise
                retries -= 1

    def stop(self) -> None:
        """Stop the node and reap it: a request first, then by force. Does nothing when it does not run."""
        process, self._process = self._process, None
        if process is not None:
            _signal_group(process.pid, signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                process.wait(_GRACE_SECONDS)
            _signal_group(process.pid, signal.SIGKILL)  # also whatever the program itself had started
            process.wait()
        if self._log is not None:
            self._log.close()
            self._log = None

    @property
    def url(self) -> str:
        """JSON-RPC endpoint, over HTTP and, at ws://, over WebSocket."""
        return f"http://{_HOST}:{self._port}"

    @property
    def port(self) -> int:
        """Loopback port that the node listens on."""
        return self._port

    @property
    def chain_id(self) -> int:
        """Chain id, as the node itself gave it."""
        return self._chain_id

    @property
    def process_id(self) -> int:
        """Process id of the node.

        Raises:
            ChainError: it is not started.
        """
        return self._running().pid

    def is_alive(self) -> bool:
        """Say whether the node's process still runs."""
        return self._process is not None and self._process.poll() is None

    def dev_accounts(self) -> tuple[Address, ...]:
        """Give the accounts that are unlocked on the node and hold 10,000 ether each.

        Raises:
            ChainError: the node does not answer.
        """
        self._running()
        try:
            accounts = _rpc(self._port, "eth_accounts", self.timeout)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise ChainError(f"the {self.kind} at {self.url} does not answer: {error}{self._said()}") from error
        return tuple(Address(to_checksum_address(account)) for account in accounts)

    def last_output(self) -> str:
        """Give the last lines of what the node printed, as one line; empty when it printed nothing."""
        if self._log is None:
            return ""
        end = self._log.seek(0, os.SEEK_END)
        self._log.seek(max(0, end - 2000))
        return " ".join(self._log.read().decode(errors="replace").split())[-500:]

    def _start_once(self) -> None:
        with _reserved(self._wanted_port) as reservation:
            self._port = reservation.getsockname()[1]
            command = node_command(
                self.kind, self._port, self._chain_id, block_time=self._block_time, extra=self._extra
            )
            if sys.platform != "linux":
                reservation.close()  # only Linux lets the node bind beside a bound socket that does not listen
            try:
                self._launch(command)
                self._chain_id = self._wait_until_it_answers()
            except BaseException:
                self.stop()
                raise

    def _launch(self, command: list[str]) -> None:
        self._log = self._open_log()
        launcher = [sys.executable, "-I", "-S", str(_LAUNCHER), str(os.getpid()), *command]
        # A session of its own: Ctrl-C in the terminal reaches this program alone, which then stops the node in order.
        self._process = subprocess.Popen(
            launcher, stdin=subprocess.DEVNULL, stdout=self._log, stderr=subprocess.STDOUT, start_new_session=True
        )

    def _open_log(self) -> IO[bytes]:
        if self._log_path is None:
            return tempfile.TemporaryFile(mode="w+b")
        try:
            return self._log_path.open("w+b")
        except OSError as error:
            raise ChainError(f"cannot write the node's log {self._log_path}: {error.strerror}; name another") from error

    def _wait_until_it_answers(self) -> int:
        deadline = time.monotonic() + self.timeout
        while time.monotonic() < deadline:
            with suppress(OSError, http.client.HTTPException, ValueError):
                chain_id = int(_rpc(self._port, "eth_chainId", _ANSWER_SECONDS), 16)
                self._check_running()
                return chain_id
            self._check_running()
            time.sleep(0.02)
        raise ChainError(f"{self.kind} did not answer at {self.url} in {self.timeout:g} s{self._said()}")

    def _check_running(self) -> None:
        code = self._running().poll()
        if code is None:
            return
        port_taken = DEVNETS[self.kind].port_taken
        if port_taken is not None and re.search(port_taken, self.last_output(), re.IGNORECASE):
            raise _PortLostError(_port_taken(self._port))
        raise ChainError(f"{self.kind} stopped at once with exit status {code}{self._said()}")

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise ChainError("this devnet does not run; start it first")
        return self._process

    def _said(self) -> str:
        output = self.last_output()
        return f"; its last output: {output}" if output else " and printed nothing"


class _PortLostError(ChainError):
    """Somebody else took the port between the choice and the node's start."""


def _port_taken(port: int) -> str:
    return f"port taken: something else listens on {_HOST}:{port}; choose another port or stop it"


@contextmanager
def _reserved(port: int | None) -> Iterator[socket.socket]:
    """Hold a port without listening on it, so that no other program is given it before the node binds it."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as reservation:
        reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            reservation.bind((_HOST, port or 0))
        except OverflowError as error:
            raise ChainError(f"{port} is no port; choose one in 1024..65535") from error
        except PermissionError as error:
            raise ChainError(f"port {port} needs privileges; choose one in 1024..65535") from error
        except OSError as error:
            raise ChainError(_port_taken(port or 0)) from error
        yield reservation


def _rpc(port: int, method: str, timeout: float) -> Any:
    """Call a method without parameters; raises OSError, HTTPException or ValueError when there is no proper answer."""
    connection = http.client.HTTPConnection(_HOST, port, timeout=timeout)
    try:
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": []})
        connection.request("POST", "/", body, {"Content-Type": "application/json"})
        answer = json.loads(connection.getresponse().read())
    finally:
        connection.close()
    if not isinstance(answer, dict) or "result" not in answer:
        raise ValueError(f"no result in {answer!r}")
    return answer["result"]


def _signal_group(group: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


@contextmanager
def _sigterm_as_exit() -> Iterator[None]:
    """Let SIGTERM unwind the stack, unless the program handles it itself or this is not the main thread."""
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, _exit_on)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _exit_on(number: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)
