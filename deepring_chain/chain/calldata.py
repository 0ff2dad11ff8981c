"""The ledger's calls and what they return as bytes, as the ABI lays them out (Solidity: contract ABI specification)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eth_abi.codec import ABICodec
from eth_utils import function_abi_to_4byte_selector

from deepring_chain.chain.event_layout import Entry, type_of


@dataclass(frozen=True)
class FunctionLayout:
    """How calls of one function are written.

    Attributes:
        selector: the first four bytes.
        inputs: the parameters' entries in the JSON ABI.
        types: their types, as eth-abi names them.
        returned: the types of what it returns.
    """

    selector: bytes
    inputs: tuple[Entry, ...]
    types: tuple[str, ...]
    returned: tuple[str, ...]

    @classmethod
    def of(cls, abi: Entry) -> FunctionLayout:
        """From the function's entry in the JSON ABI."""
        inputs: Sequence[Entry] = abi["inputs"]
        selector = function_abi_to_4byte_selector(dict(abi))  # type: ignore[arg-type]
        returned = tuple(map(type_of, abi["outputs"]))
        return cls(selector, tuple(inputs), tuple(map(type_of, inputs)), returned)


class CallEncoder:
    """Writes the calls of one contract, and reads what its views return.

    Args:
        abi: its JSON ABI.
        codec: eth-abi's, with web3's strict types: nothing is padded or cut to fit.
    """

    def __init__(self, abi: Sequence[Any], codec: ABICodec) -> None:
        self._codec = codec
        self._layouts = {entry["name"]: FunctionLayout.of(entry) for entry in abi if entry["type"] == "function"}

    def encode(self, function: str, arguments: Sequence[object]) -> bytes:
        """A call's data.

        Args:
            function: its name.
            arguments: as the function takes them; structs as dictionaries by member, or as tuples.

        Raises:
            EncodingError, ValueError: they do not fit.
        """
        layout = self._layouts[function]
        values = [_unnamed(item, value) for item, value in zip(layout.inputs, arguments, strict=True)]
        return layout.selector + self._codec.encode(layout.types, values)

    def decode(self, function: str, returned: bytes) -> Any:
        """The one value that a view returns.

        Raises:
            DecodingError: the bytes are none.
        """
        (value,) = self._codec.decode(self._layouts[function].returned, returned)
        return value


def _unnamed(item: Entry, value: Any) -> Any:
    match item["type"]:
        case "tuple":
            members = item["components"]
            parts = [value[member["name"]] for member in members] if isinstance(value, Mapping) else value
            return tuple(_unnamed(member, part) for member, part in zip(members, parts, strict=True))
        case "tuple[]":
            return [_unnamed({**item, "type": "tuple"}, part) for part in value]
    return value
