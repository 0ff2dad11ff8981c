"""Digest of every tensor of a model under one root, to name what changed; no torch here.

The manifest lists the layers 0..n, 0 being the identity layer, so that the layer after the last has an entry too.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from deepring_chain.encoding import (
    TAG_LAYER,
    TAG_MANIFEST,
    TAG_TENSOR,
    decode_fields,
    encode_fields,
    tag,
    tensor_prefix,
)
from deepring_chain.errors import ModelError, ProtocolError
from deepring_chain.types import Digest, LayerContent, LayerIndex, ModelRoot

TAG_ENTRY = tag("manifest-entry")

ATTRIBUTES = "(attributes)"
"""Stands in a list of changed tensors for a layer's operator, attributes or tensor shapes."""


class HasContent(Protocol):
    """A layer, as far as the manifest is concerned."""

    def content(self) -> LayerContent:
        """Canonical content over the live tensors."""


@dataclass(frozen=True)
class TensorEntry:
    """One tensor: name, dtype, shape, and SHA-256 of tag, dtype, shape and elements."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    digest: Digest


@dataclass(frozen=True)
class LayerEntry:
    """One layer: place, operator, digest of its header, and its tensors in canonical order."""

    index: LayerIndex
    operator: str
    header_digest: Digest
    tensors: tuple[TensorEntry, ...]

    def encode(self) -> bytes:
        """Deterministic CBOR."""
        listed = [[entry.name, entry.dtype, list(entry.shape), entry.digest] for entry in self.tensors]
        return encode_fields("layer-entry", [self.index, self.operator, self.header_digest, listed])

    @classmethod
    def decode(cls, data: bytes) -> LayerEntry:
        """Inverse of `encode`.

        Raises:
            ModelError: malformed bytes.
        """
        index, operator, header_digest, listed = _decode(data, "layer-entry", [int, str, bytes, list])
        entries = tuple(_decode_tensor_entry(item) for item in listed)
        return cls(LayerIndex(index), operator, Digest(_check_digest(header_digest)), entries)

    def digest(self) -> Digest:
        """SHA-256 over a tag and the encoded entry."""
        return _sha256(TAG_ENTRY, self.encode())


@dataclass(frozen=True)
class Manifest:
    """The whole model: digest of the card and the entries of layers 0..n in order."""

    card_digest: Digest
    entries: tuple[LayerEntry, ...]

    def __post_init__(self) -> None:
        if [entry.index for entry in self.entries] != list(range(len(self.entries))):
            raise ModelError("manifest: entries are not those of layers 0, 1, ... in order")

    @classmethod
    def of(cls, card_digest: Digest, layers: Iterable[HasContent]) -> Manifest:
        """Manifest of the layers 0..n."""
        return cls(card_digest, tuple(make_entry(layer.content()) for layer in layers))

    def encode(self) -> bytes:
        """Deterministic CBOR."""
        return encode_fields("manifest", [self.card_digest, [entry.encode() for entry in self.entries]])

    @classmethod
    def decode(cls, data: bytes) -> Manifest:
        """Inverse of `encode`.

        Raises:
            ModelError: malformed bytes.
        """
        card_digest, entries = _decode(data, "manifest", [bytes, list])
        return cls(Digest(_check_digest(card_digest)), _decode_entries(entries))

    def root(self) -> ModelRoot:
        """The 32 bytes that stand for the model on the ledger."""
        return _root(self.card_digest, [entry.digest() for entry in self.entries])

    def slice(self, *indices: int) -> ManifestSlice:
        """What a worker holds: the entries of some layers, of all others only the digest.

        Raises:
            ModelError: no such layer.
        """
        if any(not 0 <= index < len(self.entries) for index in indices):
            raise ModelError(f"manifest: layers {list(indices)} asked for, it has 0..{len(self.entries) - 1}")
        digests = tuple(entry.digest() for entry in self.entries)
        return ManifestSlice(self.card_digest, digests, tuple(self.entries[index] for index in indices))


@dataclass(frozen=True)
class ManifestSlice:
    """A part of a manifest that leads to the same root.

    Attributes:
        card_digest: of the model's card.
        entry_digests: of layers 0..n in order.
        entries: those that are held in full.
    """

    card_digest: Digest
    entry_digests: tuple[Digest, ...]
    entries: tuple[LayerEntry, ...]

    def encode(self) -> bytes:
        """Deterministic CBOR."""
        held = [entry.encode() for entry in self.entries]
        return encode_fields("manifest-slice", [self.card_digest, list(self.entry_digests), held])

    @classmethod
    def decode(cls, data: bytes) -> ManifestSlice:
        """Inverse of `encode`.

        Raises:
            ModelError: malformed bytes.
        """
        card_digest, digests, entries = _decode(data, "manifest-slice", [bytes, list, list])
        checked = tuple(Digest(_check_digest(digest)) for digest in digests)
        return cls(Digest(_check_digest(card_digest)), checked, _decode_entries(entries))

    def root(self) -> ModelRoot:
        """The root that the entry digests lead to; `verify` also checks the entries held."""
        return _root(self.card_digest, self.entry_digests)

    def verify(self, root: ModelRoot) -> None:
        """Checks the slice against the root on the ledger.

        Raises:
            ModelError: the root differs, or an entry held is not the one under the root.
        """
        for entry in self.entries:
            if not 0 <= entry.index < len(self.entry_digests) or entry.digest() != self.entry_digests[entry.index]:
                raise ModelError(f"manifest: the entry of layer {entry.index} is not the one under the model's root")
        if self.root() != root:
            raise ModelError(f"manifest: its root is {self.root().hex()}, the ledger has {root.hex()}")


def make_entry(content: LayerContent) -> LayerEntry:
    """Entry of a layer, from its canonical content."""
    _, operator, _, listed = _decode(content.header[8:], "layer", [int, str, dict, list])
    tensors = tuple(
        TensorEntry(name, dtype, tuple(shape), digest_tensor(dtype, shape, view))
        for (name, dtype, shape), view in zip(listed, content.tensors, strict=True)
    )
    return LayerEntry(content.index, operator, _sha256(TAG_LAYER, content.header), tensors)


def digest_tensor(dtype: str, shape: Sequence[int], elements: memoryview) -> Digest:
    """SHA-256 of tag, dtype, shape and elements."""
    return _sha256(TAG_TENSOR, tensor_prefix(dtype, shape), elements)


def find_changed_tensors(manifest: Manifest | ManifestSlice, layer: HasContent) -> list[str]:
    """Names of the tensors of a layer whose live bytes are not those of the manifest.

    Args:
        manifest: must hold the layer's entry.
        layer: hashed as it is in memory now.

    Returns:
        Names in canonical order; `ATTRIBUTES` first if anything but elements differs. Empty if nothing changed.

    Raises:
        ModelError: the manifest does not hold the layer.
    """
    found = make_entry(layer.content())
    held = {entry.index: entry for entry in manifest.entries}
    if found.index not in held:
        raise ModelError(f"manifest: no entry of layer {found.index}, only of {sorted(held)}")
    expected = held[found.index]
    changed = [] if found.header_digest == expected.header_digest else [ATTRIBUTES]
    names = dict.fromkeys(entry.name for entry in (*expected.tensors, *found.tensors))
    before, now = ({entry.name: entry for entry in side.tensors} for side in (expected, found))
    return changed + [name for name in names if before.get(name) != now.get(name)]


def _sha256(*parts: bytes | memoryview) -> Digest:
    state = hashlib.sha256()
    for part in parts:
        state.update(part)
    return Digest(state.digest())


def _root(card_digest: Digest, entry_digests: Sequence[Digest]) -> ModelRoot:
    return ModelRoot(_sha256(TAG_MANIFEST, card_digest, struct.pack("<I", len(entry_digests)), *entry_digests))


def _decode(data: object, what: str, kinds: Sequence[type]) -> list[Any]:
    if not isinstance(data, bytes):
        raise ModelError(f"{what}: not bytes")
    try:
        return decode_fields(data, what, kinds)
    except ProtocolError as error:
        raise ModelError(str(error)) from None


def _decode_entries(entries: list[Any]) -> tuple[LayerEntry, ...]:
    return tuple(LayerEntry.decode(entry) for entry in entries)


def _decode_tensor_entry(item: object) -> TensorEntry:
    if not isinstance(item, list) or [type(part) for part in item] != [str, str, list, bytes]:
        raise ModelError("layer-entry: malformed tensor entry")
    name, dtype, shape, digest = item
    if any(type(size) is not int for size in shape):
        raise ModelError(f"layer-entry: tensor {name[:32]!r} has an unusable shape")
    return TensorEntry(name, dtype, tuple(shape), Digest(_check_digest(digest)))


def _check_digest(digest: object) -> bytes:
    if not isinstance(digest, bytes) or len(digest) != 32:
        raise ModelError("manifest: a digest that is not 32 bytes")
    return digest
