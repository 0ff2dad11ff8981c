"""Bit flips in stored weights: at random, and chosen by gradient (Rakin, He, Fan: Bit-Flip Attack, ICCV 2019).

Unless told otherwise, only bits 0 to 5 are flipped, which keep a weight in its legal range (see `attacks.weights`):
a single flip then moves a weight by at most 32 of its 64 steps. An attacker in memory can flip all eight.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch.nn import functional

from deepring_chain.attacks.gradient import weight_gradients
from deepring_chain.attacks.weights import LEGAL_BITS, BitFlip, copy_model, weight_tensors, with_wide_kernel
from deepring_chain.datasets.idx import LabeledImages
from deepring_chain.errors import ModelError
from deepring_chain.model.quantised import QuantisedModel


@dataclass(frozen=True)
class FoundFlip(BitFlip):
    """A flip that the search chose.

    Attributes:
        loss: mean cross entropy on the attack batch after this flip and those before it.
        accuracy: share (0..1) of the attack batch that is still right then.
    """

    loss: float = math.nan
    accuracy: float = math.nan


def random_flips(model: QuantisedModel, count: int, seed: int, *, in_range: bool = True) -> tuple[BitFlip, ...]:
    """Distinct bits, each equally likely among those of all weights.

    Args:
        model: only read.
        count: of flips.
        seed: of the choice.
        in_range: whether only bits are drawn whose flip keeps a legal weight legal.

    Raises:
        ModelError: fewer than `count` such bits.
    """
    sizes = {name: tensor.numel() for name, tensor in weight_tensors(model.layers).items()}
    bits = LEGAL_BITS if in_range else 8
    total = bits * sum(sizes.values())
    if not 0 <= count <= total:
        raise ModelError(f"{count} flips: the weights have {total} such bits")
    chosen = np.random.default_rng(seed).choice(total, count, replace=False, shuffle=True)
    return tuple(_locate(sizes, int(number) // bits, int(number) % bits) for number in chosen)


def _locate(sizes: dict[str, int], element: int, bit: int) -> BitFlip:
    """The flip in the `element`-th of all weights."""
    for name, size in sizes.items():
        if element < size:
            return BitFlip(name, 8 * element + bit)
        element -= size
    raise ModelError("no such weight")


def progressive_flips(
    model: QuantisedModel,
    data: LabeledImages,
    *,
    count: int,
    seed: int,
    batch: int = 128,
    candidates: int = 1,
    in_range: bool = True,
    device: torch.device | None = None,
    on_flip: Callable[[FoundFlip], None] = lambda _: None,
) -> tuple[FoundFlip, ...]:
    """Finds the bits whose flips raise the loss most, one after the other.

    For each flip: the gradient ranks the bits of each weight tensor by what their flip should add to the loss; the best
    `candidates` of each are tried on the integer model; the one with the highest loss stays flipped.

    Args:
        model: only read.
        data: what the attack may see; a batch of it is drawn.
        count: of flips.
        seed: of the batch.
        batch: images in it.
        candidates: tried per weight tensor and flip.
        in_range: whether weights stay in [-64, 63]. If not, the attacked model computes with `WIDE_KERNEL`.
        device: where to compute; the CPU by default.
        on_flip: called after each flip.

    Returns:
        At most `count` distinct flips in order; fewer when no candidate raises the loss any more.

    Raises:
        ModelError: no images, or images that the model does not take.
    """
    search = _Search(model, _draw(data, batch, seed), in_range, device or torch.device("cpu"))
    found: list[FoundFlip] = []
    for _ in range(count):
        best = search.step(candidates)
        if best is None:
            break
        found.append(best)
        on_flip(best)
    return tuple(found)


def _draw(data: LabeledImages, batch: int, seed: int) -> LabeledImages:
    if len(data.labels) == 0:
        raise ModelError("no images to attack with")
    chosen = np.random.default_rng(seed).choice(len(data.labels), min(batch, len(data.labels)), replace=False)
    return LabeledImages(data.images[chosen], data.labels[chosen])


class _Search:
    """A private copy of the model, with the flips so far, and the batch."""

    def __init__(self, model: QuantisedModel, data: LabeledImages, in_range: bool, device: torch.device) -> None:
        copied = copy_model(model)
        layers = tuple((layer if in_range else with_wide_kernel(layer)).to(device) for layer in copied.layers)
        self._model = replace(copied, layers=layers)
        self._weights = weight_tensors(layers)
        self._bits = LEGAL_BITS if in_range else 8
        inputs = model.card.quantise_input(data.images)
        x = torch.frombuffer(bytearray(inputs.data), dtype=torch.int8).view(inputs.shape)
        self._x = x.to(device)
        self._labels = torch.from_numpy(data.labels.astype(np.int64)).to(device)
        self._done: set[BitFlip] = set()
        self._loss = self._measure(0, self._x)[0]

    def step(self, candidates: int) -> FoundFlip | None:
        """Makes the best flip; None if there is none."""
        gradients = weight_gradients(self._model, self._x, self._labels)
        given = self._inputs_by_layer()
        best: FoundFlip | None = None
        for name, gradient in gradients.items():
            for flip in self._rank(name, gradient, candidates):
                self._flip(flip)
                loss, accuracy = self._measure(flip.layer - 1, given[flip.layer - 1])
                self._flip(flip)
                if loss > (self._loss if best is None else best.loss):
                    best = FoundFlip(flip.tensor, flip.bit, loss, accuracy)
        if best is not None:
            self._flip(best)
            self._loss = best.loss
            self._done.add(BitFlip(best.tensor, best.bit))
        return best

    def _inputs_by_layer(self) -> list[torch.Tensor]:
        given = [self._x]
        for layer in self._model.layers[:-1]:
            given.append(layer.forward(given[-1]))
        return given

    def _measure(self, first: int, x: torch.Tensor) -> tuple[float, float]:
        """Loss and accuracy, from the input of the layer at place `first` on."""
        for layer in self._model.layers[first:]:
            x = layer.forward(x)
        logits = x.double() * self._model.card.output_scale
        loss = functional.cross_entropy(logits, self._labels)
        return float(loss), float((logits.argmax(1) == self._labels).double().mean())

    def _rank(self, name: str, gradient: torch.Tensor, candidates: int) -> list[BitFlip]:
        """The flips of one tensor that should raise the loss most."""
        values = self._weights[name].view(-1).to(torch.int16)
        slope = gradient.reshape(-1)
        wanted = min(candidates + len(self._done), len(values))
        ranked: list[tuple[float, BitFlip]] = []
        for bit in range(self._bits):
            gains, elements = torch.topk(slope * _change(values, bit), wanted)
            pairs = zip(gains.tolist(), elements.tolist(), strict=True)
            ranked += [(gain, BitFlip(name, 8 * element + bit)) for gain, element in pairs if gain > 0]
        fresh = [(gain, flip) for gain, flip in ranked if flip not in self._done]
        return [flip for _, flip in sorted(fresh, key=lambda pair: (-pair[0], pair[1]))[:candidates]]

    def _flip(self, flip: BitFlip) -> None:
        self._weights[flip.tensor].view(-1).view(torch.uint8)[flip.element] ^= 1 << flip.bit % 8


def _change(values: torch.Tensor, bit: int) -> torch.Tensor:
    """What flipping a bit adds to each of the int8 `values` (as int16): float32."""
    step = -128 if bit == 7 else 1 << bit
    return torch.where((values >> bit) & 1 == 1, -step, step).float()


def flipped_tensors(flips: Collection[BitFlip]) -> tuple[str, ...]:
    """Names of the tensors that have flips, in the order of the first one."""
    return tuple(dict.fromkeys(flip.tensor for flip in flips))
