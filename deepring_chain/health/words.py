"""Words for people: durations, funds, what a query waits for, and the commands that mend what is wrong."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from deepring_chain.health.snapshot import ActorFacts, Awaited, Life, QueryFacts, Role, Snapshot
from deepring_chain.types import ArrangementId, Digest

WEI = 10**18

DEVNET_CHAINS = frozenset({1337, 31337})


def ago(seconds: float) -> str:
    """A duration with one or two units."""
    whole = max(0, int(seconds))
    if whole < 120:
        return f"{whole} s"
    if whole < 7200:
        return f"{whole // 60} min"
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours} h {minutes} min" if hours < 48 else f"{hours // 24} days"


def ether(wei: int) -> str:
    """Funds with six digits at most."""
    if 0 < wei < WEI // 10**6:
        return "less than 0.000001 ether"
    return f"{wei / WEI:.6f}".rstrip("0").rstrip(".") + " ether"


def awaited_in_words(snapshot: Snapshot, query: QueryFacts) -> str:
    """What a query waits for, and on whom."""
    names = ", ".join(snapshot.name_of(address) for address in query.whom)
    match query.awaits:
        case Awaited.HOP:
            return f"hop {query.next_hop} of {query.hops - 1}, by {names or 'a signer whom only the owner knows'}"
        case Awaited.VERDICT:
            return f"the verdict on hops {query.next_hop - 1} and {query.next_hop}, by {names}"
        case Awaited.ATTESTATION:
            return f"attestations of {names}"
        case Awaited.RESTORE:
            return f"a block to be restored, by {names}"
        case Awaited.ROUTE:
            return f"the route of attempt {query.attempt + 1}, by {names}"
    return f"{query.awaits.value}, by {names}"


def arrangements_were(arrangements: Sequence[ArrangementId]) -> str:
    """The beginning of a sentence on one arrangement, or on several, of which the last three are named."""
    if len(arrangements) == 1:
        return f"Arrangement {arrangements[0]} was"
    shown = ", ".join(map(str, arrangements[-3:]))
    return f"{len(arrangements)} of the last arrangements ({shown}) were"


@dataclass(frozen=True)
class Commands:
    """The command that mends each kind of trouble, for the ring that was looked at."""

    snapshot: Snapshot

    @property
    def up(self) -> str:
        """Starts the ring here."""
        return f"deepring up --ring {self._ring}{self._rpc_if_real}"

    @property
    def node(self) -> str:
        """Gets a node that answers. Another chain has no ledger: a ring that is started there is another ring."""
        target = self.snapshot.target
        if target.is_own_devnet and target.ring is not None:
            return f"deepring up --ring {self._ring}    # a new devnet and ledger: the old ones ended with their ring"
        chain = "" if target.chain_id is None else f" {target.chain_id}"
        return f"start that node again, or name another one of the same chain{chain} with --rpc"

    @property
    def right_node(self) -> str:
        """Names the ring's own chain."""
        return f"deepring doctor{self._where} --rpc URL    # of a node on chain {self.snapshot.target.chain_id}"

    @property
    def deploy_anew(self) -> str:
        """Deploys the ring where it is not."""
        if self.snapshot.target.ring is None:
            return "name the right ledger with --ledger, or the right node with --rpc"
        return f"deepring up --ring {self._ring} --rpc {self._rpc}    # deploys the ring there"

    @property
    def release(self) -> str:
        """Uses the release that the ledger was deployed with."""
        return f"install the release that deployed the ledger, or deploy anew with deepring up --ring {self._ring}"

    @property
    def store(self) -> str:
        """Brings the store back."""
        return "bring the store back, or correct store_url in deployment.toml, and start the ring again"

    @property
    def again(self) -> str:
        """Looks again."""
        return f"deepring status{self._where}    # if it stays there: start the actor again"

    @property
    def tracking(self) -> str:
        """Has the ouroboros restore."""
        owner = next((actor for actor in self.snapshot.actors if actor.role is Role.OUROBOROS), None)
        start = self.start(owner) if owner is not None else "start the ouroboros"
        return f"{start}    # the ouroboros orders restores by itself; deepring trail tells how far it is"

    @property
    def clock(self) -> str:
        """Sets a clock."""
        return "timedatectl set-ntp true    # here, or on the node's machine"

    def start(self, actor: ActorFacts) -> str:
        """Starts one actor, in the foreground, where it says what is wrong."""
        folder = actor.folder or Path(actor.name)
        return f"deepring run {shlex.quote(str(folder))} --deployment {self._deployment}"

    def one_owner(self, actor: ActorFacts) -> str:
        """Ends all processes of an actor but the one that answers."""
        others = [str(pid) for pid in actor.process.owners if pid != actor.process.pid]
        return f"kill {' '.join(others)}"

    @property
    def one_ouroboros(self) -> str:
        """Ends the other ouroboros, and seats the ring anew."""
        return f"stop the other ouroboros, wherever it runs; then: deepring arrange --ring {self._ring}"

    def bring_back(self, actor: ActorFacts) -> str:
        """Starts an actor that ended; where a host does that, tells why it does not stay."""
        if self._is_restarted:
            return f"{self.log(actor)}    # tells why; its host starts it again, unless that would not help"
        return self.start(actor)

    def restart(self, actor: ActorFacts) -> str:
        """Ends a process that hangs, and starts the actor again."""
        if self._is_restarted:
            return f"kill -9 {actor.process.pid}    # its host starts it again"
        return f"kill -9 {actor.process.pid}; {self.start(actor)}"

    def log(self, actor: ActorFacts) -> str:
        """Shows an actor's log."""
        return f"tail {shlex.quote(str(self._folder / 'logs' / (actor.name + '.log')))}"

    def restore_file(self, actor: ActorFacts, name: str) -> str:
        """Brings a file back."""
        folder = shlex.quote(str(actor.folder or actor.name))
        return f"cp BACKUP/{actor.name}/{name} {folder}/    # nobody else has it"

    def restore_blob(self, digest: Digest) -> str:
        """Brings a blob back."""
        name, store = digest.hex(), self.snapshot.store
        place = shlex.quote(store.url.removeprefix("file://")) if store else "STORE"
        return f"cp BACKUP/{name[:2]}/{name} {place}/{name[:2]}/    # or start whoever wrote it, who may have it yet"

    def fund(self, actor: ActorFacts) -> str:
        """Gives an account funds."""
        if self._is_devnet and self.snapshot.target.ring is not None:
            return f"deepring fund --ring {self._ring}"
        return f"send ether to {actor.address} on chain {self.snapshot.target.chain_id}"

    def overdue(self, query: QueryFacts) -> str:
        """Has an overdue hop timed out."""
        owner = next((actor for actor in self.snapshot.actors if actor.role is Role.OUROBOROS), None)
        start = self.start(owner) if owner is not None else "start the ouroboros"
        late = next((actor for actor in self.snapshot.actors if actor.address in query.whom), None)
        if owner is not None and owner.process.life is Life.RUNNING and self.snapshot.ring is not None:
            seconds = self.snapshot.ring.hop_seconds
            return f"deepring status{self._where}    # the ouroboros runs, and ends the attempt within {seconds} s"
        if late is None or late is owner:
            return f"{start}    # it ends the attempt and opens another one"
        return f"{self.start(late)}    # and the ouroboros must run: it ends the attempt and opens another one"

    def withdraw(self, query: QueryFacts) -> str:
        """Gives a query up."""
        return f"deepring withdraw {query.query} --ring {self._ring}"

    @property
    def _is_restarted(self) -> bool:
        host = self.snapshot.host
        return host is not None and host.is_alive and host.restarts

    @property
    def _folder(self) -> Path:
        target = self.snapshot.target
        return target.ring or (target.folder.resolve().parent if target.folder else Path("ring"))

    @property
    def _ring(self) -> str:
        return shlex.quote(str(self._folder))

    @property
    def _deployment(self) -> str:
        known = self.snapshot.target.deployment
        return shlex.quote(str(known or self._folder / "deployment.toml"))

    @property
    def _rpc(self) -> str:
        node = self.snapshot.node
        return node.url if node else "URL"

    @property
    def _where(self) -> str:
        target = self.snapshot.target
        if target.ring is not None:
            return f" --ring {self._ring}"
        return f" --actor {shlex.quote(str(target.folder))}" if target.folder else ""

    @property
    def _is_devnet(self) -> bool:
        target, node = self.snapshot.target, self.snapshot.node
        chain = target.chain_id if target.chain_id is not None else (node.chain_id if node else None)
        return chain in DEVNET_CHAINS

    @property
    def _rpc_if_real(self) -> str:
        """The ring's node is used further; only a devnet of its own that is gone is started anew."""
        node, target = self.snapshot.node, self.snapshot.target
        if node is None or (node.trouble is not None and target.is_own_devnet):
            return ""
        return f" --rpc {node.url}"
