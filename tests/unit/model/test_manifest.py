"""A layer's content and the manifest bind everything that the layer is, and name what changed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from deepring_chain.encoding import decode_fields
from deepring_chain.errors import ModelError
from deepring_chain.model.card import ModelCard
from deepring_chain.model.dense import DenseLayer
from deepring_chain.model.layer import IdentityLayer
from deepring_chain.model.manifest import ATTRIBUTES, Manifest, ManifestSlice, find_changed_tensors, make_entry
from deepring_chain.types import Digest, LayerContent, LayerIndex, ModelRoot
from tests.unit.model.model_tools import small_layer, small_model

CARD = Digest(bytes(range(32)))


def content_bytes(content: LayerContent) -> bytes:
    return b"".join((content.header, *content.tensors))


def model_layers() -> list[DenseLayer | IdentityLayer]:
    return [IdentityLayer(), *(small_layer(index, seed=index, outputs=6) for index in (1, 2, 3))]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_content_changes_with_any_element(data: Any) -> None:
    layer = small_layer()
    name = data.draw(st.sampled_from(sorted(layer.tensors)))
    flat = layer.tensors[name].view(-1).view(torch.uint8)
    place = data.draw(st.integers(0, len(flat) - 1))
    content = layer.content()
    before = content_bytes(content)
    flat[place] ^= 1 << data.draw(st.integers(0, 7))
    assert content_bytes(layer.content()) != before
    assert content_bytes(content) != before, "a view taken earlier shows the live memory"
    assert find_changed_tensors(Manifest.of(CARD, [IdentityLayer(), small_layer()]), layer) == [name]


CHANGES: list[Callable[[DenseLayer], DenseLayer]] = [
    lambda layer: replace(layer, index=LayerIndex(2)),
    lambda layer: replace(layer, input_zero_point=-127),
    lambda layer: replace(layer, output_zero_point=-127),
    lambda layer: replace(layer, relu=False),
    lambda layer: replace(layer, output_zero_point=0, output_dtype="int32"),
    lambda layer: replace(layer, item_shape=(2, 3)),
    lambda layer: replace(layer, item_shape=(3, 2)),
    lambda layer: replace(layer, item_shape=(6, 1)),
    lambda layer: replace(layer, item_shape=(4,), weight=layer.weight.view(-1)[:16].view(4, 4)),
]


def test_content_changes_with_index_and_every_attribute() -> None:
    variants = [small_layer(), *(change(small_layer()) for change in CHANGES)]
    assert len({content_bytes(layer.content()) for layer in variants}) == len(variants)
    assert len({layer.content().header for layer in variants}) == len(variants)


def test_content_header_names_dtypes_and_shapes() -> None:
    header = small_layer().content().header
    index, operator, attributes, listed = decode_fields(header[8:], "layer", [int, str, dict, list])
    assert (index, operator, attributes["relu"], attributes["input_size_0"]) == (1, "dense", 1, 6)
    assert listed == [["weight", "int8", [6, 4]], *([name, "int32", [4]] for name in ("bias", "multiplier", "shift"))]


def test_swapped_layers_of_one_shape_have_other_contents() -> None:
    first, second = small_layer(1, seed=1), small_layer(2, seed=2)
    swapped = replace(second, index=LayerIndex(1)), replace(first, index=LayerIndex(2))
    straight = {content_bytes(layer.content()) for layer in (first, second)}
    assert straight.isdisjoint(content_bytes(layer.content()) for layer in swapped)


def test_content_is_a_read_only_view_of_the_tensors_that_forward_uses() -> None:
    layer = small_layer()
    view = layer.content().tensors[0]
    assert view.readonly
    inputs = torch.ones(1, 6, dtype=torch.int8)
    before = layer.forward(inputs)
    layer.weight.fill_(63)
    assert set(view) == {63}
    assert not torch.equal(layer.forward(inputs), before)


def test_identity_content_has_no_tensors() -> None:
    content = IdentityLayer().content()
    assert (content.index, content.tensors) == (0, ())
    assert decode_fields(content.header[8:], "layer", [int, str, dict, list]) == [0, "identity", {}, []]


def test_manifest_root_is_the_hash_of_card_and_entries() -> None:
    manifest = Manifest.of(CARD, model_layers())
    hashed = b"deepring/v1/manifest".ljust(32, b"\0") + CARD + (4).to_bytes(4, "little")
    hashed += b"".join(entry.digest() for entry in manifest.entries)
    assert manifest.root() == hashlib.sha256(hashed).digest()


def test_tensor_digest_is_over_tag_dtype_shape_and_elements() -> None:
    layer = small_layer()
    bias = make_entry(layer.content()).tensors[1]
    sizes = (1).to_bytes(4, "little") + (4).to_bytes(8, "little")
    hashed = b"deepring/v1/tensor".ljust(32, b"\0") + b"int32\0\0\0" + sizes + layer.bias.numpy().tobytes()
    assert (bias.name, bias.digest) == ("bias", hashlib.sha256(hashed).digest())


def test_root_changes_with_the_card_and_with_any_layer() -> None:
    layers = model_layers()
    roots = {Manifest.of(CARD, layers).root(), Manifest.of(Digest(bytes(32)), layers).root()}
    for number in (1, 2, 3):
        changed = [small_layer(number, seed=99, outputs=6) if layer.index == number else layer for layer in layers]
        roots.add(Manifest.of(CARD, changed).root())
    roots.add(Manifest.of(CARD, layers[:-1]).root())
    assert len(roots) == 6


def test_manifest_with_layers_out_of_order_is_refused() -> None:
    layers = model_layers()
    with pytest.raises(ModelError, match="in order"):
        Manifest.of(CARD, [layers[0], layers[2], layers[1], layers[3]])


@pytest.mark.parametrize("held", [(1, 2), (3, 0), ()])
def test_slice_leads_to_the_root_and_survives_encoding(held: tuple[int, ...]) -> None:
    manifest = Manifest.of(CARD, model_layers())
    part = ManifestSlice.decode(manifest.slice(*held).encode())
    assert part == manifest.slice(*held)
    assert [entry.index for entry in part.entries] == list(held)
    part.verify(manifest.root())
    assert Manifest.decode(manifest.encode()) == manifest


def test_slice_of_another_model_is_refused() -> None:
    part = Manifest.of(CARD, model_layers()).slice(1, 2)
    with pytest.raises(ModelError, match="the ledger has 0000"):
        part.verify(ModelRoot(Digest(bytes(32))))


def test_slice_with_a_foreign_entry_is_refused() -> None:
    manifest = Manifest.of(CARD, model_layers())
    foreign = make_entry(small_layer(1, seed=50, outputs=6).content())
    part = replace(manifest.slice(1, 2), entries=(foreign, manifest.entries[2]))
    with pytest.raises(ModelError, match="entry of layer 1"):
        part.verify(manifest.root())


def test_slice_with_an_entry_beyond_the_last_layer_is_refused() -> None:
    manifest = Manifest.of(CARD, model_layers())
    part = replace(manifest.slice(1), entries=(make_entry(small_layer(9).content()),))
    with pytest.raises(ModelError, match="entry of layer 9"):
        part.verify(manifest.root())


def test_slice_of_a_missing_layer_is_refused() -> None:
    with pytest.raises(ModelError, match=r"layers \[4\] asked for, it has 0..3"):
        Manifest.of(CARD, model_layers()).slice(4)


def test_changed_tensors_are_named_from_the_slice() -> None:
    layers = model_layers()
    part = Manifest.of(CARD, layers).slice(2, 3)
    assert [find_changed_tensors(part, layer) for layer in layers[2:]] == [[], []]
    layers[2].tensors["weight"][0, 0] ^= 1
    layers[2].tensors["shift"][3] += 1
    assert find_changed_tensors(part, layers[2]) == ["weight", "shift"]
    assert find_changed_tensors(part, layers[3]) == []


def test_changed_attribute_is_named() -> None:
    layer = small_layer()
    part = Manifest.of(CARD, [IdentityLayer(), layer]).slice(1, 0)
    assert find_changed_tensors(part, replace(layer, relu=False)) == [ATTRIBUTES]
    assert find_changed_tensors(part, IdentityLayer()) == []


def test_layer_that_the_slice_does_not_hold_is_refused() -> None:
    part = Manifest.of(CARD, model_layers()).slice(1, 2)
    with pytest.raises(ModelError, match=r"no entry of layer 3, only of \[1, 2\]"):
        find_changed_tensors(part, small_layer(3))


def mutations(data: bytes) -> list[bytes]:
    return [b"", data[:-1], data + b"\0", data[:1] + b"\x00" + data[2:], b"\xff" * 8, b"\xa0", b"\x9f" * 2000]


@pytest.mark.parametrize("kind", ["manifest", "slice", "card"])
def test_damaged_encoding_is_refused(kind: str) -> None:
    model = small_model()
    values: dict[str, Manifest | ManifestSlice | ModelCard] = {
        "manifest": model.manifest(),
        "slice": model.manifest().slice(1, 2),
        "card": model.card,
    }
    value = values[kind]
    for data in mutations(value.encode()):
        with pytest.raises(ModelError):
            type(value).decode(data)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_slice_with_a_flipped_bit_is_refused_or_leads_elsewhere(data: Any) -> None:
    manifest = Manifest.of(CARD, model_layers())
    encoded = bytearray(manifest.slice(1, 2).encode())
    encoded[data.draw(st.integers(0, len(encoded) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(ModelError):
        ManifestSlice.decode(bytes(encoded)).verify(manifest.root())
