"""Orders for a lab worker: a file in its folder that it reads, follows once and removes."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from enum import Enum
from pathlib import Path

from deepring_chain.errors import ConfigError
from deepring_chain.files import write_atomic

ORDER_FILE = "lab-order.json"

DEVNET_CHAINS = frozenset({1337, 31337})
"""Chain ids of local devnets: nothing here acts on any other chain."""


class Lie(Enum):
    """How a worker misbehaves, once."""

    FLIP_MEMORY_BIT = "flip-memory-bit"
    PERTURBED_INPUT = "perturbed-input"
    ECHO = "echo"
    BOGUS_NEXT = "bogus-next"
    GARBAGE_KEY = "garbage-key"
    GARBAGE_CIPHERTEXT = "garbage-ciphertext"
    MISSING_BLOB = "missing-blob"
    TRUNCATED_BLOB = "truncated-blob"
    SILENCE = "silence"
    FALSE_COMPLAINT = "false-complaint"
    COMPLAINT_WITHOUT_KEY = "complaint-without-key"


@dataclass(frozen=True)
class LabOrder:
    """One order.

    Attributes:
        lie: what to do.
        tensor: for a bit flip, its name such as "layer.3.weight".
        bit: for a bit flip, its number within the tensor's bytes.
    """

    lie: Lie
    tensor: str = ""
    bit: int = 0


def give_order(folder: Path, order: LabOrder) -> None:
    """Leaves an order in a worker's folder."""
    write_atomic(folder / ORDER_FILE, json.dumps({**asdict(order), "lie": order.lie.value}).encode())


def take_order(folder: Path) -> LabOrder | None:
    """The order in a worker's folder, which is removed; None if there is none.

    Raises:
        ConfigError: it cannot be read.
    """
    path = folder / ORDER_FILE
    if not path.exists():
        return None
    try:
        data = json.loads(path.read_text())
        path.unlink()
        return LabOrder(Lie(data["lie"]), str(data["tensor"]), int(data["bit"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{path}: no readable order ({error})") from None
