"""How an actor runs; apart, so that starting a ring does not import torch."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from deepring_chain.errors import ConfigError

SERVE_MIB = 1024
"""Queries of so many MiB are served at once, unless the owner says otherwise: four of the largest."""


def usable_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True)
class ActorOptions:
    """How an actor runs.

    Attributes:
        device: "cpu" or "cuda".
        threads: CPU threads for the kernels; they meet once in a layer, so that actors may share all cores.
        poll_seconds: pause between looks at the chain.
        arrange_every: finished queries per arrangement (ouroboros only).
        serve_mib: queries of so many MiB are served at once, where each is largest on its way; others wait (ouroboros
            only).
        metrics_host: interface of the metrics' endpoint.
        metrics_port: its port; 0 for a free one, None for no endpoint.
        log_format: "text" or "json".
        relay: http address of the relay, at which the ouroboros listens: hops go on from signed updates, and are
            settled in batches. None: each update is a transaction of its own.
    """

    device: str = "cpu"
    threads: int = field(default_factory=usable_cores)
    poll_seconds: float = 0.02
    arrange_every: int = 1
    serve_mib: int = SERVE_MIB
    metrics_host: str = "127.0.0.1"
    metrics_port: int | None = 0
    log_format: str = "text"
    relay: str | None = None


def relay_place(address: str) -> tuple[str, int]:
    """Host and port of a relay's address.

    Raises:
        ConfigError: it is no such address.
    """
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if host is None or port is None or parts.scheme != "http" or parts.path not in ("", "/"):
        raise ConfigError(f"relay {address}: not an address; say it as http://127.0.0.1:8600")
    return host, port


def free_relay_address() -> str:
    """An address on the loopback interface whose port is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"
