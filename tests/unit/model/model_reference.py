"""A second, slow implementation of a dense layer in plain Python integers, and the golden vector made by it.

python -m tests.unit.model.model_reference > tests/vectors/dense_layer.json
"""

from __future__ import annotations

import hashlib
import json
import random
import struct
from typing import Any

import cbor2


def requantised(acc: int, multiplier: int, shift: int) -> int:
    """acc * multiplier / 2**shift to the nearest integer, ties upwards, by the floor of a doubled fraction."""
    divisor: int = 2**shift
    return (2 * acc * multiplier + divisor) // (2 * divisor)


def dense_item(layer: dict[str, Any], item: list[int]) -> list[int]:
    outputs = len(layer["bias"])
    low, high = (-128, 127) if layer["output_bits"] == 8 else (-(2**31), 2**31 - 1)
    if layer["relu"]:
        low = layer["output_zero_point"]
    result = []
    for n in range(outputs):
        acc = layer["bias"][n]
        for k, value in enumerate(item):
            acc += layer["weight"][k][n] * (value - layer["input_zero_point"])
        value = requantised(acc, layer["multiplier"][n], layer["shift"][n]) + layer["output_zero_point"]
        result.append(min(max(value, low), high))
    return result


def dense_batch(layer: dict[str, Any], batch: list[list[int]]) -> list[list[int]]:
    return [dense_item(layer, item) for item in batch]


def content_digest(layer: dict[str, Any]) -> str:
    """SHA-256 of the layer's canonical header and tensors, written out by hand."""
    features, outputs = len(layer["weight"]), len(layer["bias"])
    attributes = {name: layer[name] for name in ("input_zero_point", "output_zero_point", "output_bits", "relu")}
    attributes |= {f"input_size_{axis}": size for axis, size in enumerate(layer["item_shape"])}
    names = ("bias", "multiplier", "shift")
    tensors = [["weight", "int8", [features, outputs]], *([name, "int32", [outputs]] for name in names)]
    header = cbor2.dumps(["layer", 1, layer["index"], "dense", attributes, tensors], canonical=True)
    weights = b"".join(struct.pack(f"<{outputs}b", *row) for row in layer["weight"])
    rest = b"".join(struct.pack(f"<{outputs}i", *layer[name]) for name in names)
    return hashlib.sha256(struct.pack("<Q", len(header)) + header + weights + rest).hexdigest()


def make_layer(rng: random.Random, item_shape: list[int], outputs: int, **attributes: int) -> dict[str, Any]:
    features = 1
    for size in item_shape:
        features *= size
    return {
        "index": rng.randint(1, 9),
        "item_shape": item_shape,
        "weight": [[rng.choice((-64, 63, rng.randint(-64, 63))) for _ in range(outputs)] for _ in range(features)],
        "bias": [rng.randint(-(2**15), 2**15) for _ in range(outputs)],
        "multiplier": [rng.randint(2**30, 2**31 - 1) for _ in range(outputs)],
        "shift": [rng.randint(36, 40) for _ in range(outputs)],
        **attributes,
    }


def make_vectors() -> list[dict[str, Any]]:
    rng = random.Random(1)  # noqa: S311 (test data)
    kinds = [
        ([4, 5], 7, {"input_zero_point": -128, "output_zero_point": -128, "relu": 1, "output_bits": 8}),
        ([33], 5, {"input_zero_point": 0, "output_zero_point": 0, "relu": 0, "output_bits": 8}),
        ([9], 1, {"input_zero_point": -128, "output_zero_point": 0, "relu": 0, "output_bits": 32}),
        ([64], 10, {"input_zero_point": 17, "output_zero_point": 0, "relu": 1, "output_bits": 32}),
    ]
    vectors = []
    for item_shape, outputs, attributes in kinds:
        layer = make_layer(rng, item_shape, outputs, **attributes)
        features = len(layer["weight"])
        batch = [[rng.choice((-128, 127, rng.randint(-128, 127))) for _ in range(features)] for _ in range(3)]
        expected = dense_batch(layer, batch)
        vectors.append({"layer": layer, "content_sha256": content_digest(layer), "input": batch, "output": expected})
    # Halves, above and below zero: the ties that show the rounding rule.
    ties = make_layer(rng, [1], 4, input_zero_point=0, output_zero_point=0, relu=0, output_bits=8)
    ties |= {
        "index": 1,
        "weight": [[1, 1, -1, 3]],
        "bias": [0, 2, 0, 0],
        "multiplier": [1, 1, 1, 3],
        "shift": [1, 2, 1, 1],
    }
    batch = [[value] for value in (-3, -2, -1, 0, 1, 2, 3)]
    expected = dense_batch(ties, batch)
    vectors.append({"layer": ties, "content_sha256": content_digest(ties), "input": batch, "output": expected})
    return vectors


def render(vectors: list[dict[str, Any]]) -> str:
    return "[\n" + ",\n".join(json.dumps(vector) for vector in vectors) + "\n]\n"


if __name__ == "__main__":
    print(render(make_vectors()), end="")
