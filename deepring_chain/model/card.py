"""What a querent must know of a model to ask it and to read its answers; no torch here."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepring_chain.encoding import ITEM_SIZES, MAX_DIMENSIONS, decode_fields, encode_fields, tag
from deepring_chain.errors import ModelError, ProtocolError
from deepring_chain.types import Digest, TensorBytes

TAG_CARD = tag("model-card")


@dataclass(frozen=True)
class ModelCard:
    """The public face of a quantised model.

    Attributes:
        name: of the model.
        input_shape: shape of one image, as the images are stored.
        input_scale: real value of one step of the int8 input.
        input_zero_point: int8 value that stands for 0.0.
        classes: label of each output.
        output_scale: logit per unit of the int32 output.
        layers: number of layers, without the identity layer.
        figures: measured properties, e.g. accuracies, for people; floats and texts.
    """

    name: str
    input_shape: tuple[int, ...]
    input_scale: float
    input_zero_point: int
    classes: tuple[str, ...]
    output_scale: float
    layers: int
    figures: dict[str, str | float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 0 < len(self.input_shape) < MAX_DIMENSIONS or any(not _is_count(size) for size in self.input_shape):
            raise ModelError(f"model card: unusable input shape {self.input_shape}")
        if not (_is_scale(self.input_scale) and _is_scale(self.output_scale)):
            raise ModelError(f"model card: unusable scales {self.input_scale}, {self.output_scale}")
        if not -128 <= self.input_zero_point <= 127 or not _is_count(self.layers) or not self.classes:
            raise ModelError("model card: unusable zero point, number of layers or classes")
        if any(type(label) is not str for label in self.classes):
            raise ModelError("model card: a class label that is no text")
        if any(type(key) is not str or not _is_figure(value) for key, value in self.figures.items()):
            raise ModelError("model card: figures must be texts or finite floats, by name")

    def encode(self) -> bytes:
        """Deterministic CBOR."""
        lists = (list(self.input_shape), list(self.classes))
        scale, zero_point = self.input_scale, self.input_zero_point
        values = [self.name, lists[0], scale, zero_point, lists[1], self.output_scale, self.layers, self.figures]
        return encode_fields("model-card", values)

    @classmethod
    def decode(cls, data: bytes) -> ModelCard:
        """Inverse of `encode`.

        Raises:
            ModelError: malformed bytes, or values that no card can have.
        """
        kinds = [str, list, float, int, list, float, int, dict]
        try:
            name, shape, scale, zero_point, classes, output_scale, layers, figures = decode_fields(
                data, "model-card", kinds
            )
        except ProtocolError as error:
            raise ModelError(str(error)) from None
        return cls(name, tuple(shape), scale, zero_point, tuple(classes), output_scale, layers, figures)

    def digest(self) -> Digest:
        """SHA-256 over a tag and the encoded card; part of the model's root."""
        return Digest(hashlib.sha256(TAG_CARD + self.encode()).digest())

    def quantise_input(self, images: NDArray[Any]) -> TensorBytes:
        """Turns images into the int8 input of layer 1.

        Args:
            images: one item or a batch [N, *input_shape]; uint8 pixels stand for pixel / 255, floats for themselves.

        Returns:
            int8 [N, *input_shape]. With scale 1/255 and zero point -128 it holds `pixel - 128`, so nothing is lost.

        Raises:
            ModelError: other shape or dtype, no image, or a value that is not finite.
        """
        batch = images[None] if images.shape == self.input_shape else images
        if batch.shape[1:] != self.input_shape or len(batch) == 0:
            expected = f"{list(self.input_shape)} or a batch of it"
            raise ModelError(f"{self.name} takes images of shape {expected}, got {list(images.shape)}")
        steps = np.rint(_to_real(self.name, batch) / self.input_scale) + self.input_zero_point
        quantised = np.clip(steps, -128, 127).astype(np.int8)
        return TensorBytes("int8", quantised.shape, quantised.tobytes())

    def read_logits(self, output: TensorBytes) -> NDArray[np.float64]:
        """Logits [N, classes] of the last layer's int32 output.

        Raises:
            ModelError: other dtype, shape or length.
        """
        if output.dtype != "int32" or len(output.shape) != 2 or output.shape[1] != len(self.classes):
            got = f"{output.dtype} {list(output.shape)}"
            raise ModelError(f"{self.name}: an answer is int32 [N, {len(self.classes)}], got {got}")
        if len(output.data) != output.shape[0] * output.shape[1] * ITEM_SIZES["int32"]:
            raise ModelError(f"{self.name}: an answer of {len(output.data)} bytes for shape {list(output.shape)}")
        return np.frombuffer(output.data, "<i4").reshape(output.shape).astype(np.float64) * self.output_scale

    def probabilities(self, output: TensorBytes) -> NDArray[np.float64]:
        """Softmax of the logits, [N, classes].

        Raises:
            ModelError: other dtype, shape or length.
        """
        logits = self.read_logits(output)
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        shares: NDArray[np.float64] = powers / powers.sum(axis=1, keepdims=True)
        return shares

    def predictions(self, output: TensorBytes) -> NDArray[np.int64]:
        """Index into `classes` of the largest logit, [N]; of equal ones the first.

        Raises:
            ModelError: other dtype, shape or length.
        """
        found: NDArray[np.int64] = self.read_logits(output).argmax(axis=1).astype(np.int64)
        return found


def _is_count(value: object) -> bool:
    return type(value) is int and 0 < value < 2**31


def _is_scale(value: object) -> bool:
    return type(value) is float and math.isfinite(value) and value > 0


def _is_figure(value: object) -> bool:
    return type(value) is str or (type(value) is float and math.isfinite(value))


def _to_real(name: str, batch: NDArray[Any]) -> NDArray[np.float64]:
    if batch.dtype == np.uint8:
        return batch.astype(np.float64) / 255
    if batch.dtype.kind != "f":
        raise ModelError(f"{name} takes images of uint8 or float, got {batch.dtype}")
    real = batch.astype(np.float64)
    if not np.isfinite(real).all():
        raise ModelError(f"{name}: an image holds NaN or infinity")
    return real
