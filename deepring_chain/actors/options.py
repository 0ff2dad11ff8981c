"""How an actor runs; apart, so that starting a ring does not import torch."""

from __future__ import annotations

import os
from dataclasses import dataclass, field


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
        metrics_host: interface of the metrics' endpoint.
        metrics_port: its port; 0 for a free one, None for no endpoint.
        log_format: "text" or "json".
    """

    device: str = "cpu"
    threads: int = field(default_factory=usable_cores)
    poll_seconds: float = 0.02
    arrange_every: int = 1
    metrics_host: str = "127.0.0.1"
    metrics_port: int | None = 0
    log_format: str = "text"
