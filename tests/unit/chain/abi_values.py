"""Values that fit a parameter in the JSON ABI."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

from web3 import Web3


def value_of(item: Mapping[str, Any], rng: random.Random) -> Any:
    """One of them; structs as dictionaries or as tuples."""
    kind = item["type"]
    if kind.endswith("[]"):
        return [value_of({**item, "type": kind[:-2]}, rng) for _ in range(rng.randrange(4))]
    match kind:
        case "tuple":
            named = {member["name"]: value_of(member, rng) for member in item["components"]}
            return rng.choice([named, tuple(named.values())])
        case "address":
            return Web3.to_checksum_address(rng.randbytes(20))
        case "bool":
            return rng.random() < 0.5
        case "bytes32":
            return rng.choice([bytes(32), b"\xff" * 32, rng.randbytes(32)])
        case "bytes":
            return rng.randbytes(rng.randrange(70))
        case "string":
            return "".join(chr(rng.choice([0, 65, 0xE9, 0x20AC, 0x1F600])) for _ in range(rng.randrange(40)))
    bits = int(kind.removeprefix("uint"))
    return rng.choice([0, 1, 2**bits - 1, rng.getrandbits(bits)])
