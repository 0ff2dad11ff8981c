"""`deepring run`: one actor in this process, as its operator runs it on a machine of its own."""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from deepring_chain.cli.arguments import (
    ArrangeOption,
    DeviceOption,
    LogFormatOption,
    MetricsHostOption,
    MetricsPortOption,
    RelayOption,
    ServeOption,
    StoreOption,
    ThreadsOption,
)
from deepring_chain.cli.console import print_line
from deepring_chain.cli.password import read_password
from deepring_chain.ring.folder import load_deployment
from deepring_chain.ring.folder_lock import locked
from deepring_chain.ring.options import ActorOptions
from deepring_chain.runtime.actor import load_actor
from deepring_chain.telemetry.logs import LogFormat, open_log
from deepring_chain.telemetry.metrics_endpoint import published

ACTOR_OPTIONS = ActorOptions()


def run(
    folder: Annotated[Path, typer.Argument(help="The actor's folder, such as RING/worker-3.")],
    deployment: Annotated[Path, typer.Option(help="The ring's deployment.toml, as its owner publishes it.")],
    rpc: Annotated[str | None, typer.Option(help="This operator's own node; by default the deployment's.")] = None,
    store: StoreOption = None,
    device: DeviceOption = "cpu",
    threads: ThreadsOption = ACTOR_OPTIONS.threads,
    arrange_every: ArrangeOption = 1,
    serve_mib: ServeOption = ACTOR_OPTIONS.serve_mib,
    relay: RelayOption = None,
    metrics_port: MetricsPortOption = 0,
    metrics_host: MetricsHostOption = "127.0.0.1",
    log_format: LogFormatOption = LogFormat.TEXT,
) -> None:
    """Run one worker, or the ouroboros, until Ctrl-C."""
    known = load_deployment(deployment)
    known = replace(known, rpc_url=rpc or known.rpc_url, store_url=store or known.store_url)
    name = folder.resolve().name
    open_log(log_format, name)
    options = ActorOptions(
        device=device,
        threads=threads,
        arrange_every=arrange_every,
        serve_mib=serve_mib,
        metrics_host=metrics_host,
        metrics_port=metrics_port,
        log_format=log_format.value,
        relay=relay,
    )
    with locked(folder):
        actor = load_actor(folder, known, read_password(), options)
        keeps_running = _until_signalled()
        with published(actor.member.metrics, actor.identity(name), folder, options):
            print_line(f"{name} is ready as {actor.member.keys.address}; Ctrl-C stops it")
            actor.run(options, keeps_running)


def _until_signalled() -> Callable[[], bool]:
    """Whether neither Ctrl-C nor SIGTERM came since this was called."""
    stopping = False

    def stop(_number: int, _frame: object) -> None:
        nonlocal stopping
        stopping = True

    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
    return lambda: not stopping
