"""Where an actor's metrics and condition can be read over HTTP, and the file that says so.

`GET /metrics` is for Prometheus; `GET /health` answers 200 or 503 with JSON for `deepring status`, people and probes;
`GET /timings` says where the time of the last hops went. Whoever reaches the address can read all of it: it is the
loopback interface unless the operator says otherwise. A page in a browser reaches it too, and is refused by its name.
"""

from __future__ import annotations

import json
import os
import socketserver
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import make_wsgi_app

from deepring_chain import __version__
from deepring_chain.errors import ConfigError
from deepring_chain.files import write_atomic
from deepring_chain.host_header import REFUSAL, names_server
from deepring_chain.ring.options import ActorOptions
from deepring_chain.ring.running import RunningActor, process_start, remove_run_file, run_file
from deepring_chain.telemetry.metrics import ActorMetrics, Identity

STALE_SECONDS = 60.0
"""An actor that has not seen the chain for so long is not well: a request gives up after 20 s, a pause lasts 2 s."""

CLIENT_SECONDS = 10.0
"""A reader that is slower than this is hung up on."""

STOP_SECONDS = 0.2
"""How often the endpoint looks whether it shall end."""


@contextmanager
def published(metrics: ActorMetrics, actor: Identity, folder: Path, options: ActorOptions) -> Iterator[None]:
    """Serves the metrics as long as the block runs, and says where in `run/NAME.json` below `folder`.

    Raises:
        ConfigError: the port cannot be opened, or the file cannot be written.
    """
    metrics.identify(actor)
    if options.metrics_port is None:
        yield
        return
    pages = _Pages(metrics, actor, options.metrics_host)
    server = _open_server(options.metrics_host, options.metrics_port, pages)
    file = run_file(folder, actor.name)
    # A daemon: the thread ends with the process, and an actor that is killed never waits for a reader.
    threading.Thread(target=server.serve_forever, args=(STOP_SECONDS,), name="metrics", daemon=True).start()
    try:
        port = int(server.server_address[1])
        running = RunningActor(actor.name, options.metrics_host, port, os.getpid(), process_start(os.getpid()) or "")
        write_atomic(file, running.encode())
        yield
    finally:
        remove_run_file(file, os.getpid())
        server.shutdown()
        server.server_close()


class _Server(socketserver.ThreadingMixIn, WSGIServer):
    daemon_threads = True
    request_queue_size = 16

    def server_bind(self) -> None:
        """As the class above, without its look-up of the host's name, which can take seconds."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])
        self.setup_environ()


class _SilentHandler(WSGIRequestHandler):
    timeout = CLIENT_SECONDS

    def log_message(self, *_arguments: object) -> None:
        """Readers come every few seconds, and are not worth a line."""

    def get_stderr(self) -> Any:
        """Nowhere: what goes wrong for one reader is that reader's matter."""
        return _Nowhere()


class _Nowhere:
    def write(self, _text: str) -> None: ...

    def flush(self) -> None: ...


def _open_server(host: str, port: int, pages: _Pages) -> _Server:
    try:
        server = _Server((host, port), _SilentHandler)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(
            f"metrics at {host}:{port}: cannot be served ({reason}); choose another --metrics-port or --metrics-host"
        ) from None
    server.set_app(pages)
    return server


class _Pages:
    """The WSGI application (PEP 3333) with its pages."""

    def __init__(
        self, metrics: ActorMetrics, actor: Identity, listening: str, now: Callable[[], float] = time.time
    ) -> None:
        self._metrics, self._actor, self._listening, self._now = metrics, actor, listening, now
        self._show_metrics = make_wsgi_app(metrics.registry)
        self._started = now()

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if not names_server(environ.get("HTTP_HOST"), self._listening):
            start_response("400 Bad Request", [("Content-Type", "text/plain")])
            return [REFUSAL]
        if environ.get("PATH_INFO") == "/metrics":
            shown: Iterable[bytes] = self._show_metrics(environ, start_response)
            return shown
        if environ.get("PATH_INFO") == "/health":
            return self._show_health(start_response)
        if environ.get("PATH_INFO") == "/timings":
            start_response("200 OK", [("Content-Type", "application/json")])
            return [json.dumps(self._metrics.timings.plain()).encode()]
        start_response("404 Not Found", [("Content-Type", "text/plain")])
        return [b"/metrics, /health and /timings are here\n"]

    def _show_health(self, start_response: Callable[..., Any]) -> Iterable[bytes]:
        health = self._health()
        is_well = health["seconds_since_poll"] is not None and health["seconds_since_poll"] < STALE_SECONDS
        start_response("200 OK" if is_well else "503 Service Unavailable", [("Content-Type", "application/json")])
        return [json.dumps(health).encode()]

    def _health(self) -> dict[str, Any]:
        metrics, now = self._metrics, self._now()
        return {
            "actor": self._actor.name,
            "address": self._actor.address,
            "chain_id": self._actor.domain.chain_id,
            "ledger": self._actor.domain.ledger,
            "version": __version__,
            "pid": os.getpid(),
            "seconds_up": round(now - self._started, 3),
            "seconds_since_poll": None if metrics.last_poll is None else round(max(0.0, now - metrics.last_poll), 3),
            "head_block": metrics.head,
            "follows": "subscription" if metrics.is_announced else "polling",
            "doing": metrics.doing.value if metrics.doing else None,
            "troubles": dict(metrics.troubles),
        }
