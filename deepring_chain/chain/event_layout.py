"""An event's fields out of a log's bytes, as the ABI lays them out (Solidity: contract ABI specification, "Events")."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eth_abi.codec import ABICodec
from eth_utils.abi import collapse_if_tuple

Entry = Mapping[str, Any]
"""A parameter in the JSON ABI."""


class NotThisEvent(ValueError):
    """A log does not have the event's number of topics."""


@dataclass(frozen=True)
class EventLayout:
    """How one event's logs are read.

    web3 reads any contract's logs, and normalizes all that it finds. Every actor reads every log of the ledger: this
    takes a fraction of the time.

    Attributes:
        name: of the event.
        indexed, plain: its parameters in the topics and in the data.
        indexed_types, plain_types: the same, as eth-abi names types.
    """

    name: str
    indexed: tuple[Entry, ...]
    plain: tuple[Entry, ...]
    indexed_types: tuple[str, ...]
    plain_types: tuple[str, ...]

    @classmethod
    def of(cls, abi: Entry) -> EventLayout:
        """From the event's entry in the JSON ABI."""
        inputs: Sequence[Entry] = abi["inputs"]
        indexed = tuple(item for item in inputs if item["indexed"])
        plain = tuple(item for item in inputs if not item["indexed"])
        return cls(abi["name"], indexed, plain, tuple(map(type_of, indexed)), tuple(map(type_of, plain)))

    def read(self, codec: ABICodec, topics: Sequence[bytes], data: bytes) -> dict[str, Any]:
        """The parameters by name; structs as dictionaries.

        Raises:
            NotThisEvent: too few topics or too many.
            DecodingError: malformed.
        """
        if len(topics) != 1 + len(self.indexed):
            raise NotThisEvent(f"{len(topics)} topics, expected {1 + len(self.indexed)}")
        values = [codec.decode([kind], topic)[0] for kind, topic in zip(self.indexed_types, topics[1:], strict=True)]
        values += codec.decode(self.plain_types, data)
        return {
            item["name"]: _named(item, value) for item, value in zip(self.indexed + self.plain, values, strict=True)
        }


def type_of(item: Entry) -> str:
    """A parameter's type as eth-abi names it: structs by their members."""
    return collapse_if_tuple(dict(item))


def _named(item: Entry, value: Any) -> Any:
    match item["type"]:
        case "tuple":
            members = item["components"]
            return {member["name"]: _named(member, part) for member, part in zip(members, value, strict=True)}
        case "tuple[]":
            return [_named({**item, "type": "tuple"}, part) for part in value]
    return value
