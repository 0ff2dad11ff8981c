"""Run in a copy of the package with `cancun_node.py` in it: a ring's ledger lives on the new devnet."""

from __future__ import annotations

import json
import urllib.request

from typer.testing import CliRunner

from deepring_chain.chain import node_blocks, nodes, pending, sender
from deepring_chain.chain.connection import connect
from deepring_chain.chain.devnet import Devnet
from deepring_chain.cli import arguments
from deepring_chain.cli.app import make_app
from tests.chain.ring_driver import Ledger, ScriptedRing, account_named, fund
from tests.recipes.copied_package import is_copied
from tests.waiting import FOREVER


def hard_fork(url: str) -> str:
    """What the node says of itself."""
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "anvil_nodeInfo", "params": []}).encode()
    asked = urllib.request.Request(url, body, {"Content-Type": "application/json"})  # noqa: S310 - loopback
    with urllib.request.urlopen(asked) as answer:  # noqa: S310 - loopback
        found: str = json.load(answer)["result"]["hardFork"]
    return found.lower()


def check_query() -> None:
    names = ("owner", "querent", *(f"worker {layer}" for layer in (1, 2, 3)))
    owner, querent, *workers = (account_named(name) for name in names)
    with Devnet("cancun", timeout=FOREVER) as node:
        assert hard_fork(node.url) == "cancun"
        web3 = connect(node.url)
        fund(web3, [owner, querent, *workers])
        ring = ScriptedRing(Ledger.deploy(web3, node.url, owner), owner, tuple(workers))
        ring.make_authentic()
        ring.submit(querent).compute().deliver()


def main() -> None:
    assert is_copied(nodes.__file__)
    assert "cancun" in [chain.value for chain in arguments.Chain]
    shown = CliRunner().invoke(make_app(), ["up", "--help"], env={"COLUMNS": "200"}).output
    assert "cancun" in shown, shown
    assert "replaced by the sequencer" in vars(pending)["TAKEN"]
    assert -32004 in vars(node_blocks)["METHOD_NOT_FOUND"]
    assert "output" in vars(sender)["REVERT_KEYS"]
    check_query()


if __name__ == "__main__":
    main()
