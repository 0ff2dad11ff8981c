"""How an actor runs; apart, so that starting a ring does not import torch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ActorOptions:
    """How an actor runs.

    Attributes:
        device: "cpu" or "cuda".
        threads: CPU threads for the kernels.
        poll_seconds: pause between looks at the chain.
        arrange_every: finished queries per arrangement (ouroboros only).
        metrics_host: interface of the metrics' endpoint.
        metrics_port: its port; 0 for a free one, None for no endpoint.
        log_format: "text" or "json".
    """

    device: str = "cpu"
    threads: int = 1
    poll_seconds: float = 0.02
    arrange_every: int = 1
    metrics_host: str = "127.0.0.1"
    metrics_port: int | None = 0
    log_format: str = "text"
