"""The owner's checkpoint: what every block must hold, itself checked against the manifest before it accuses anyone."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from pathlib import Path

import torch

from deepring_chain.actors.thread_pool import ThreadPool
from deepring_chain.encoding import ITEM_SIZES
from deepring_chain.errors import ModelError, ProtocolError
from deepring_chain.model.checkpoint import encode_layers, load_model
from deepring_chain.model.layer import Layer, run_layer
from deepring_chain.model.manifest import find_changed_tensors
from deepring_chain.model.quantised import QuantisedModel
from deepring_chain.protocol.block_hash import block_leaf
from deepring_chain.protocol.roster import Roster
from deepring_chain.ring.folder import MODEL_FILE, RingConfig, WorkerEntry
from deepring_chain.types import Address, Challenge, LayerContent, Leaf, ModelRoot, TensorBytes


def roster_of(config: RingConfig) -> Roster:
    """Return who may serve which layer, from the owner's list."""
    layers = sorted({entry.layer for entry in config.workers})
    return Roster(config.ouroboros, {layer: _of_layer(config.workers, layer) for layer in layers})


def _of_layer(workers: tuple[WorkerEntry, ...], layer: int) -> tuple[Address, ...]:
    return tuple(entry.address for entry in workers if entry.layer == layer)


class ModelOwner:
    """The stable checkpoint in memory. Any thread may ask.

    Args:
        folder: the ouroboros's.
        root: the manifest's root, from the ring's configuration.
        device: where layers are computed.
    """

    def __init__(self, folder: Path, root: ModelRoot, device: torch.device) -> None:
        self._path = folder / MODEL_FILE
        self._root = root
        self.device = device
        # One thread computes layers and checks them: a dispute must not starve the hops, nor be read from disk twice.
        self._compute = ThreadPool(1, "compute")
        self._model = self._load()
        self._manifest = self._model.manifest()

    @property
    def layer_count(self) -> int:
        """N."""
        return self._model.card.layers

    def encode_card(self) -> bytes:
        """The model's public card, as the store holds it."""
        return self._model.card.encode()

    @property
    def item_shape(self) -> tuple[int, ...]:
        """Shape of one input of the network."""
        return self._model.card.input_shape

    @property
    def largest_item(self) -> int:
        """Bytes of one item where it is largest on its way through the network."""
        outputs = [(layer.output_dtype, layer.output_shape) for layer in self._model.layers]
        sizes = [prod(shape) * ITEM_SIZES[dtype] for dtype, shape in outputs if dtype is not None and shape is not None]
        return max(prod(self.item_shape), *sizes)

    def check_output(self, tensor: TensorBytes) -> None:
        """Raises ProtocolError unless `tensor` is a batch of what the last layer gives."""
        last = self._model.layer(self.layer_count)
        if (tensor.dtype, tensor.shape[1:]) != (last.output_dtype, last.output_shape):
            raise ProtocolError(f"layer {last.index} does not give {tensor.dtype} {list(tensor.shape)}")

    def expected_leaves(self, indices: Sequence[int], challenge: Challenge) -> list[Leaf]:
        """The leaves that the blocks of these layers must attest under `challenge`."""
        contents = [layer.content() for layer in self._all_layers(self.verified())]
        return [block_leaf(challenge, contents[index], contents[(index + 1) % len(contents)]) for index in indices]

    def own_contents(self) -> tuple[LayerContent, LayerContent]:
        """What the ouroboros's own block holds: the identity layer and layer 1."""
        return self._model.layer(0).content(), self._model.layer(1).content()

    def parameters_of(self, index: int) -> bytes:
        """The parameter file of the block of layer `index`."""
        model = self.verified()
        return encode_layers((model.layer(index), model.layer(model.next_index(index))))

    def run_layer(self, index: int, tensor: TensorBytes) -> TensorBytes:
        """Computes layer `index`; 0 is the identity."""
        return self._compute.submit(lambda: run_layer(self._model.layer(index), tensor, self.device)).result()

    def outputs(self, entered: TensorBytes) -> list[TensorBytes]:
        """O_0 .. O_n, and once more O_n for the ring's closing hop: what honest blocks make of an input."""
        self.verified()
        outputs = [entered]
        for index in range(1, self.layer_count + 1):
            outputs.append(self.run_layer(index, outputs[-1]))
        return [*outputs, outputs[-1]]

    def verified(self) -> QuantisedModel:
        """The model, after a check of its tensors in memory; read anew from disk if they changed.

        Raises:
            ModelError: the file is not the ring's model either: the owner needs its backup.
        """
        return self._compute.submit(self._verify).result()

    def verify_layer(self, index: int) -> None:
        """`verified` for one layer, which is all that a query's begin needs: a large model takes its time to hash.

        Raises:
            ModelError: as `verified` does.
        """
        self._compute.submit(lambda: self._verify_layer(index)).result()

    def _verify(self) -> QuantisedModel:
        if self._model.manifest().root() != self._root:
            self._model = self._load()
        return self._model

    def _verify_layer(self, index: int) -> None:
        if find_changed_tensors(self._manifest, self._model.layer(index)):
            self._model = self._load()

    def _all_layers(self, model: QuantisedModel) -> list[Layer]:
        return [model.layer(index) for index in range(self.layer_count + 1)]

    def _load(self) -> QuantisedModel:
        model = load_model(self._path)
        if model.manifest().root() != self._root:
            raise ModelError(f"{self._path}: not the model that the ring was made for; restore it from a backup")
        return QuantisedModel(model.card, tuple(layer.to(self.device) for layer in model.layers))
