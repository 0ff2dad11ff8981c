"""A second, slow implementation of layers of images in plain Python integers, and the golden vectors made by it.

Windows are walked pixel by pixel; what lies outside of an image is left out, not padded.

python -m tests.unit.model.image_reference > tests/vectors/image_layers.json
"""

from __future__ import annotations

import hashlib
import random
import struct
from collections.abc import Iterator
from typing import Any

import cbor2

from tests.unit.model.model_reference import render, requantised

Image = list[list[list[int]]]
"""[H][W][C]."""

WINDOW = (
    *("kernel_height", "kernel_width", "stride_height", "stride_width"),
    *("pad_top", "pad_left", "pad_bottom", "pad_right"),
)
POOLS = {"max": 1, "average": 2}


def placements(window: dict[str, int], height: int, width: int) -> list[list[list[tuple[int, int, int, int]]]]:
    """For each placement [row][column] the (kernel row, kernel column, image row, image column) inside of the image."""
    tops = range(-window["pad_top"], height + window["pad_bottom"] - window["kernel_height"] + 1)
    lefts = range(-window["pad_left"], width + window["pad_right"] - window["kernel_width"] + 1)
    return [
        [list(_inside(window, top, left, height, width)) for left in lefts[:: window["stride_width"]]]
        for top in tops[:: window["stride_height"]]
    ]


def _inside(
    window: dict[str, int], top: int, left: int, height: int, width: int
) -> Iterator[tuple[int, int, int, int]]:
    for dy in range(window["kernel_height"]):
        for dx in range(window["kernel_width"]):
            if 0 <= top + dy < height and 0 <= left + dx < width:
                yield dy, dx, top + dy, left + dx


def convolved(conv: dict[str, Any], image: Image) -> Image:
    """Accumulators."""
    channels, width = conv["item_shape"][2], conv["window"]["kernel_width"]
    result: Image = []
    for line in placements(conv["window"], *conv["item_shape"][:2]):
        result.append([])
        for pixels in line:
            sums = list(conv["bias"])
            for dy, dx, row, column in pixels:
                for channel in range(channels):
                    real = image[row][column][channel] - conv["input_zero_point"]
                    weights = conv["weight"][(dy * width + dx) * channels + channel]
                    sums = [total + weight * real for total, weight in zip(sums, weights, strict=True)]
            result[-1].append(sums)
    return result


def finished(layer: dict[str, Any], products: Image) -> Image:
    """Accumulators times multipliers to the layer's result."""
    low = layer["output_zero_point"] if layer["relu"] else -128
    pool = layer["pool"]

    def code(product: int, n: int) -> int:
        value: int = requantised(product, 1, layer["shift"][n]) + layer["output_zero_point"]
        return min(max(value, low), 127)

    channels = range(len(layer["shift"]))
    if pool is None:
        return [[[code(pixel[n], n) for n in channels] for pixel in line] for line in products]
    places = placements(layer["pool_window"], len(products), len(products[0]))
    floor = 0 if layer["relu"] else -(2**100)

    def pooled(pixels: list[tuple[int, int, int, int]], n: int) -> int:
        values = [products[row][column][n] for _, _, row, column in pixels]
        if pool == "average":
            return code(sum(max(value, floor) for value in values), n)
        return max(code(value, n) for value in values)

    return [[[pooled(pixels, n) for n in channels] for pixels in line] for line in places]


def conv_item(layer: dict[str, Any], image: Image) -> Image:
    return finished(layer, _times(convolved(layer, image), layer["multiplier"]))


def residual_item(layer: dict[str, Any], image: Image) -> Image:
    body = image
    for part in layer["inner"]:
        body = conv_item(part, body)
    body = _times(convolved(layer["tail"], body), layer["multiplier"])
    if layer["shortcut"] is None:
        zero_point = (layer["inner"] or [layer["tail"]])[0]["input_zero_point"]
        around = [[[value - zero_point for value in pixel] for pixel in line] for line in image]
    else:
        around = convolved(layer["shortcut"], image)
    around = _times(around, layer["shortcut_multiplier"])
    return finished(
        layer, [[_sum(*pair) for pair in zip(*lines, strict=True)] for lines in zip(body, around, strict=True)]
    )


def item(layer: dict[str, Any], image: Image) -> Image:
    return residual_item(layer, image) if "tail" in layer else conv_item(layer, image)


def _times(image: Image, factors: list[int]) -> Image:
    return [[[a * b for a, b in zip(pixel, factors, strict=True)] for pixel in line] for line in image]


def _sum(first: list[int], second: list[int]) -> list[int]:
    return [a + b for a, b in zip(first, second, strict=True)]


def attributes_of(layer: dict[str, Any]) -> dict[str, int]:
    """A layer's attributes, written out by hand."""
    if "tail" not in layer:
        return _conv_attributes(layer) | _finish_attributes(layer)
    found = {"inner": len(layer["inner"]), "has_shortcut": int(layer["shortcut"] is not None)}
    for number, part in enumerate(layer["inner"]):
        found |= {f"inner.{number}.{name}": value for name, value in attributes_of(part).items()}
    for name in ("tail", "shortcut"):
        found |= {f"{name}.{key}": value for key, value in _conv_attributes(layer[name] or {}).items()}
    return found | _finish_attributes(layer)


def _conv_attributes(conv: dict[str, Any]) -> dict[str, int]:
    if not conv:
        return {}
    shape = dict(zip(("input_height", "input_width", "input_channels"), conv["item_shape"], strict=True))
    return {**shape, "input_zero_point": conv["input_zero_point"], **conv["window"]}


def _finish_attributes(layer: dict[str, Any]) -> dict[str, int]:
    found = {name: layer[name] for name in ("output_zero_point", "relu")}
    if layer["pool"] is None:
        return {**found, "pool": 0}
    return {**found, "pool": POOLS[layer["pool"]]} | {
        f"pool_{key}": value for key, value in layer["pool_window"].items()
    }


def tensors_of(layer: dict[str, Any]) -> list[tuple[str, Any]]:
    """A layer's tensors by name, in canonical order."""
    if "tail" not in layer:
        return [(name, layer[name]) for name in ("weight", "bias", "multiplier", "shift")]
    found = [(f"inner.{n}.{name}", value) for n, part in enumerate(layer["inner"]) for name, value in tensors_of(part)]
    for name in ("tail", "shortcut"):
        found += [(f"{name}.{key}", layer[name][key]) for key in ("weight", "bias") if layer[name] is not None]
    return found + [(name, layer[name]) for name in ("multiplier", "shortcut_multiplier", "shift")]


def content_digest(layer: dict[str, Any]) -> str:
    """SHA-256 of the layer's canonical header and tensors, written out by hand."""
    listed, elements = [], b""
    for name, values in tensors_of(layer):
        if isinstance(values[0], list):
            listed.append([name, "int8", [len(values), len(values[0])]])
            elements += b"".join(struct.pack(f"<{len(row)}b", *row) for row in values)
        else:
            listed.append([name, "int32", [len(values)]])
            elements += struct.pack(f"<{len(values)}i", *values)
    operator = "residual" if "tail" in layer else "conv"
    header = cbor2.dumps(["layer", 1, layer["index"], operator, attributes_of(layer), listed], canonical=True)
    return hashlib.sha256(struct.pack("<Q", len(header)) + header + elements).hexdigest()


def make_window(*sizes: int) -> dict[str, int]:
    """Kernel, strides (1) and paddings (0), in the order of `WINDOW`."""
    return dict(zip(WINDOW, (*sizes, *(1, 1, 1, 1, 0, 0, 0, 0)[len(sizes) :]), strict=True))


def make_conv(
    rng: random.Random, item_shape: list[int], outputs: int, window: dict[str, int], zero: int
) -> dict[str, Any]:
    rows = window["kernel_height"] * window["kernel_width"] * item_shape[2]
    return {
        "item_shape": item_shape,
        "window": window,
        "input_zero_point": zero,
        "weight": [[rng.choice((-64, 63, rng.randint(-64, 63))) for _ in range(outputs)] for _ in range(rows)],
        "bias": [rng.randint(-(2**12), 2**12) for _ in range(outputs)],
    }


def make_finish(
    rng: random.Random, outputs: int, zero: int, relu: int, pool: str | None, pool_window: dict[str, int] | None
) -> dict[str, Any]:
    """ReLU, pooling, and multipliers and shifts that bring small accumulators into the range of int8."""
    area = pool_window["kernel_height"] * pool_window["kernel_width"] if pool_window and pool == "average" else 1
    limit = (2**30 - 1) // area
    return {
        "output_zero_point": zero,
        "relu": relu,
        "pool": pool,
        "pool_window": pool_window if pool else None,
        "multiplier": [rng.randint(limit // 2, limit) for _ in range(outputs)],
        "shift": [rng.randint(36, 39) for _ in range(outputs)],
    }


def make_layer(
    rng: random.Random, item_shape: list[int], outputs: int, window: dict[str, int], **end: Any
) -> dict[str, Any]:
    zero = rng.randint(-128, 127)
    ends = {"zero": rng.randint(-128, 127), "relu": 0, "pool": None, "pool_window": None, **end}
    conv = make_conv(rng, item_shape, outputs, window, zero)
    return {"index": rng.randint(1, 9), **conv, **make_finish(rng, outputs, **ends)}


def make_residual(rng: random.Random, item_shape: list[int], outputs: int, stride: int, **end: Any) -> dict[str, Any]:
    """A basic block: two 3 x 3 convolutions; the shortcut is the identity if it can be."""
    ends = {"zero": rng.randint(-128, 127), "relu": 1, "pool": None, "pool_window": None, **end}
    size = [-(-side // stride) for side in item_shape[:2]]
    inner = make_layer(rng, item_shape, outputs, make_window(3, 3, stride, stride, 1, 1, 1, 1), relu=1)
    tail = make_conv(rng, [*size, outputs], outputs, make_window(3, 3, 1, 1, 1, 1, 1, 1), inner["output_zero_point"])
    zero, shortcut = inner["input_zero_point"], None
    if stride > 1 or outputs != item_shape[2]:
        shortcut = make_conv(rng, item_shape, outputs, make_window(1, 1, stride, stride), zero)
    finish = make_finish(rng, outputs, **ends)
    around = [factor >> rng.randint(0, 3) for factor in finish["multiplier"]]
    layer = {"index": inner["index"], "inner": [inner], "tail": tail, "shortcut": shortcut}
    return {**layer, **finish, "shortcut_multiplier": around}


def make_images(rng: random.Random, item_shape: list[int], count: int) -> list[Image]:
    height, width, channels = item_shape
    return [[[_make_pixel(rng, channels) for _ in range(width)] for _ in range(height)] for _ in range(count)]


def _make_pixel(rng: random.Random, channels: int) -> list[int]:
    return [rng.choice((-128, 127, 0, rng.randint(-128, 127))) for _ in range(channels)]


def make_ties() -> dict[str, Any]:
    """Averages of four values whose halves show that there is one rounding, after the sum, and that ties go upwards."""
    window = make_window(2, 2, 2, 2)
    conv = {
        "item_shape": [2, 2, 1],
        "window": make_window(1, 1),
        "input_zero_point": 0,
        "weight": [[1, -1]],
        "bias": [0, 0],
    }
    end = {"output_zero_point": 0, "relu": 0, "pool": "average", "pool_window": window}
    return {"index": 1, **conv, **end, "multiplier": [1, 1], "shift": [2, 2]}


def make_vectors() -> list[dict[str, Any]]:
    rng = random.Random(2)  # noqa: S311 (test data)
    same, halves = make_window(3, 3, 1, 1, 1, 1, 1, 1), make_window(2, 2, 2, 2)
    layers = [
        make_layer(rng, [4, 5, 3], 4, same, relu=1, pool="max", pool_window=halves),
        make_layer(rng, [5, 4, 2], 3, make_window(2, 3, 1, 2, 0, 2, 1, 0)),
        make_layer(rng, [4, 4, 2], 2, same, relu=1, pool="average", pool_window=make_window(4, 4, 4, 4)),
        make_layer(rng, [4, 4, 2], 1, same, pool="average", pool_window=make_window(3, 3, 2, 2, 1, 1, 1, 1)),
        make_layer(rng, [1, 1, 5], 3, make_window(1, 1, 2, 3)),
        make_residual(rng, [3, 4, 3], 3, 1, zero=-128),
        make_residual(rng, [4, 4, 2], 3, 2, zero=-100, pool="average", pool_window=halves),
    ]
    vectors = []
    for layer in layers:
        images = make_images(rng, (layer["inner"][0] if "tail" in layer else layer)["item_shape"], 2)
        expected = [item(layer, image) for image in images]
        vectors.append({"layer": layer, "content_sha256": content_digest(layer), "input": images, "output": expected})
    images = [[[[a], [b]], [[c], [d]]] for a, b, c, d in ((1, 1, 0, 0), (-1, -1, 0, 0), (3, 1, 1, 1), (1, 0, 0, 0))]
    ties = make_ties()
    expected = [item(ties, image) for image in images]
    vectors.append({"layer": ties, "content_sha256": content_digest(ties), "input": images, "output": expected})
    return vectors


if __name__ == "__main__":
    print(render(make_vectors()), end="")
