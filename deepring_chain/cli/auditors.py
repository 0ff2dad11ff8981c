"""`deepring auditor-key` and `deepring admit-auditor`: who may read the evidence of verdicts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from deepring_chain.cli.arguments import DEFAULT_RING, RingOption
from deepring_chain.cli.console import print_line
from deepring_chain.cli.password import read_password
from deepring_chain.crypto.keys import create_sealing
from deepring_chain.crypto.sealing import public_bytes
from deepring_chain.ring.auditors import AuditorList, parse_auditor
from deepring_chain.ring.folder import RingFolder


def auditor_key(
    folder: Annotated[Path, typer.Argument(help="A folder for the key; made if it is not there.")],
) -> None:
    """Make an auditor's key pair, and print the public key for the ring's owner to admit."""
    key = create_sealing(folder, read_password(confirm=True))
    print_line(public_bytes(key).hex())


def admit_auditor(
    key: Annotated[str, typer.Argument(help="The auditor's public key, as `deepring auditor-key` prints it.")],
    ring: RingOption = DEFAULT_RING,
    dismiss: Annotated[bool, typer.Option("--dismiss", help="Admit it no longer.")] = False,
) -> None:
    """Admit an auditor to the evidence of all verdicts from now on; the running ouroboros takes notice by itself.

    The auditor can then read the inputs of disputed queries, and what a revealed key of an arrangement opens.
    """
    folder = RingFolder(ring)
    folder.load_config()
    auditors, public = AuditorList(folder.ouroboros), parse_auditor(key)
    if dismiss:
        auditors.dismiss(public)
        print_line("dismissed: the evidence of later verdicts is not sealed to this key")
    elif auditors.admit(public):
        print_line("admitted: the evidence of later verdicts is sealed to this key too")
    else:
        print_line("was admitted already")
