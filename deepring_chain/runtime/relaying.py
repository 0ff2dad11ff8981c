"""An actor's part in batched settlement: a worker joins the relay, the ouroboros runs it."""

from __future__ import annotations

from deepring_chain.actors.member import Member
from deepring_chain.actors.ouroboros.router import Router
from deepring_chain.actors.posting import RelayedPosting, Transport
from deepring_chain.actors.relay.client import RelayClient
from deepring_chain.actors.relay.relay import Relay
from deepring_chain.actors.relay.server import RelayServer
from deepring_chain.actors.relay.settler import Settler
from deepring_chain.protocol.relayed import RelayedHops
from deepring_chain.ring.options import relay_place


def join_relay(member: Member, url: str) -> None:
    """From now on the worker's updates go through the relay at this http address.

    Raises:
        ConfigError: it is no such address.
    """
    relay_place(url)
    hops = RelayedHops(member.client.domain)
    _post_through(member, hops, RelayClient(url, hops, member.keys.address))


def run_relay(member: Member, router: Router, url: str) -> Settler:
    """The ouroboros relays at this http address, and settles what it takes in."""
    hops, me = RelayedHops(member.client.domain), member.keys.address
    relay = Relay(hops, lambda: member.state, member.journal, router.signer_due)
    _post_through(member, hops, RelayServer(relay, url, me))
    return Settler(member.client, hops, lambda: relay.tell(me))


def _post_through(member: Member, hops: RelayedHops, transport: Transport) -> None:
    member.posting = RelayedPosting(member.client, member.keys.address, lambda: member.state, hops, transport)
