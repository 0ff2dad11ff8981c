"""The brownie command, whose console knows the ledger of the ring in $DEEPRING_RING (./ring) on its node.

Brownie itself forgets what was deployed on a development network as soon as it attaches to that anew.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from brownie import web3
from brownie._cli import console
from brownie._cli.__main__ import main

from deepring_chain.cli.console import print_error
from deepring_chain.errors import DeepRingError
from deepring_chain.ring.deploy import find_deployment
from deepring_chain.ring.folder import RingFolder

make_console = console.Console


def know_ledger(project: Any) -> None:
    """Adds the ring's ledger to brownie's deployments, if it is on the node that brownie is connected to."""
    folder = RingFolder(Path(os.environ.get("DEEPRING_RING", "ring")))
    try:
        deployment = find_deployment(folder, web3.provider.endpoint_uri)
    except DeepRingError as error:
        print_error(str(error))
        return
    if deployment is not None:
        project.Ledger.at(deployment.ledger)


def console_with_ledger(project: Any = None, *arguments: Any, **named: Any) -> Any:
    """Brownie's console, made after it connected."""
    if project is not None:
        know_ledger(project)
    return make_console(project, *arguments, **named)


if __name__ == "__main__":
    console.Console = console_with_ledger
    main()
