"""`deepring up`: a node, the ledger and the ring's processes, until Ctrl-C."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from deepring_chain.attacks.orders import DEVNET_CHAINS
from deepring_chain.chain.connection import connect, node_errors
from deepring_chain.chain.deployment import Deadlines
from deepring_chain.chain.devnet import Devnet
from deepring_chain.cli.arguments import (
    DEFAULT_CHAIN,
    DEFAULT_RING,
    ArrangeOption,
    Chain,
    DeviceOption,
    LogFormatOption,
    MetricsHostOption,
    MetricsPortOption,
    RingOption,
    ServeOption,
    Settling,
    StoreOption,
    ThreadsOption,
)
from deepring_chain.cli.clients import member_names, open_reader
from deepring_chain.cli.console import print_line, print_step
from deepring_chain.cli.news import RingNews
from deepring_chain.cli.password import read_password
from deepring_chain.errors import ChainError, ConfigError
from deepring_chain.ring.deploy import check_ring, deploy_ring, find_deployment
from deepring_chain.ring.folder import Deployment, RingFolder
from deepring_chain.ring.options import ActorOptions, free_relay_address
from deepring_chain.runtime.device import find_device
from deepring_chain.runtime.processes import HONEST_HOST, ActorStatus, RingProcesses, owning
from deepring_chain.telemetry.logs import LogFormat

WATCH_SECONDS = 0.5
DEADLINES = Deadlines()
ACTOR_OPTIONS = ActorOptions()


def up(
    ring: RingOption = DEFAULT_RING,
    chain: Annotated[Chain, typer.Option(help="Devnet to start.")] = DEFAULT_CHAIN,
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Port of the devnet; a free one by default.")
    ] = None,
    rpc: Annotated[str | None, typer.Option(help="Use the node at this http(s) address instead of a devnet.")] = None,
    store: StoreOption = None,
    device: DeviceOption = "cpu",
    threads: ThreadsOption = ACTOR_OPTIONS.threads,
    arrange_every: ArrangeOption = 1,
    serve_mib: ServeOption = ACTOR_OPTIONS.serve_mib,
    hop_seconds: Annotated[
        int, typer.Option(min=1, help="Seconds for a hop, in a new ledger; then the attempt is ended.")
    ] = DEADLINES.hop,
    withdraw_seconds: Annotated[
        int, typer.Option(min=2, help="Seconds until a querent may withdraw a query, in a new ledger.")
    ] = DEADLINES.withdraw,
    lab: Annotated[
        bool, typer.Option("--lab", help="Workers that take orders to misbehave (`deepring tamper`, `perturb`).")
    ] = False,
    settle: Annotated[
        Settling, typer.Option(help="Post each hop by itself, or settle whole queries, many in a transaction.")
    ] = Settling.UPDATE,
    metrics_port: MetricsPortOption = 0,
    metrics_host: MetricsHostOption = "127.0.0.1",
    log_format: LogFormatOption = LogFormat.TEXT,
) -> None:
    """Run the ring: start a devnet (or use --rpc), deploy the ledger, start every actor, until Ctrl-C.

    On a node that stays (--rpc) a ring that is deployed there already is taken up where it was left.
    Other terminals then use `deepring query`, `deepring trail` and `deepring audit`.
    """
    if rpc is not None and port is not None:
        raise ConfigError("--rpc and --port: a node that runs already has its port; give one of the two")
    folder = RingFolder(ring)
    folder.load_config()
    find_device(device)
    password = read_password()
    check_ring(folder, password, store)
    options = ActorOptions(
        device=device,
        threads=threads,
        arrange_every=arrange_every,
        serve_mib=serve_mib,
        metrics_host=metrics_host,
        metrics_port=metrics_port,
        log_format=log_format.value,
        relay=free_relay_address() if settle is Settling.BATCH else None,
    )
    with (
        stopped_by_signals("ring is down"),
        owning(folder) as lock,
        running_node(folder, chain, port, rpc) as (url, devnet),
    ):
        host = choose_host(_chain_of(url), lab=lab)  # before anything is paid for
        deadlines = Deadlines(hop_seconds, withdraw_seconds)
        deployment = find_or_deploy(folder, url, password, store, deadlines, is_own_devnet=devnet is not None)
        news = RingNews(open_reader(deployment), member_names(folder), print_step)
        with RingProcesses(
            folder, deployment, password, options, host_module=host, on_status=StatusPrinter(), lock=lock
        ) as processes:
            print_line(f"ring is up: node {url}, ledger {deployment.ledger}; Ctrl-C stops it")
            watch(processes, devnet, news)


@contextmanager
def running_node(
    folder: RingFolder, chain: Chain, port: int | None, rpc: str | None
) -> Iterator[tuple[str, Devnet | None]]:
    """The node to use: the one named, or a devnet for as long as the context lasts."""
    if rpc is not None:
        yield rpc, None
        return
    with Devnet(kind=chain.value, port=port, log=folder.log_file(chain.value)) as devnet:
        print_step(f"{chain.value} runs at {devnet.url}")
        yield devnet.url, devnet


def find_or_deploy(
    folder: RingFolder, url: str, password: str, store: str | None, deadlines: Deadlines, *, is_own_devnet: bool
) -> Deployment:
    """The ring's deployment on the node at `url`; a new one if there is none."""
    known = find_deployment(folder, url)
    if known is None:
        return deploy_ring(folder, url, password, store, print_step, deadlines, is_own_devnet=is_own_devnet)
    print_step(f"ledger found at {known.ledger}")
    return known


def _chain_of(url: str) -> int:
    web3 = connect(url)
    with node_errors(url):
        return web3.eth.chain_id


def choose_host(chain: int, *, lab: bool) -> str:
    """The module whose processes run the actors: one that takes orders to misbehave, on a devnet alone.

    Raises:
        ConfigError: `lab` on another chain.
    """
    if not lab:
        return HONEST_HOST
    if chain not in DEVNET_CHAINS:
        raise ConfigError(f"--lab: for devnets only ({sorted(DEVNET_CHAINS)}), this is chain {chain}")
    return "deepring_chain.attacks"


def watch(processes: RingProcesses, devnet: Devnet | None, news: RingNews) -> None:
    """Tells what happens to the ring. Returns never; raises when the host or the devnet is gone."""
    while True:
        time.sleep(WATCH_SECONDS)
        if devnet is not None and not devnet.is_alive():
            raise ChainError(f"the devnet ended; its last words: {devnet.last_output()}")
        if not processes.is_alive():
            raise ConfigError("the host of the actors ended; see the ring's logs folder")
        news.look()


class StatusPrinter:
    """Prints what becomes of the actors. What several say alike, such as that the store is away, is said once."""

    def __init__(self) -> None:
        self._said: set[str] = set()

    def __call__(self, name: str, status: ActorStatus) -> None:
        """Take the next change."""
        if status.state == "ready":
            self._said.clear()
        if status.state == "exited":
            print_step(f"{name} ended (code {status.code}); it is started again")
        elif status.error is not None and status.error in self._said:
            return
        elif status.state != "started":
            print_step(f"{name}: {status.error or status.state} (process {status.pid})")
            self._said |= {status.error} if status.error is not None else set()


@contextmanager
def stopped_by_signals(farewell: str) -> Iterator[None]:
    """Ctrl-C and SIGTERM end the block in order, and are no error; `farewell` is printed then."""

    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        print_line(farewell)
    finally:
        signal.signal(signal.SIGTERM, before)
