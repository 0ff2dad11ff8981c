"""What a float network's modules say: their parameters, geometry and the reasons to refuse them."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from deepring_chain.errors import ModelError
from deepring_chain.model.pooling import AVERAGE, MAX, Pool
from deepring_chain.model.windows import Window

BatchNorm = nn.BatchNorm1d | nn.BatchNorm2d


class UnsupportedModule(ModelError):
    """A module that the ring cannot compute in exact integers."""


def refuse(place: str, module: nn.Module, reason: str = "") -> UnsupportedModule:
    """The error for a module, with its place and the reason; `split_model` adds what is supported."""
    because = f" ({reason})" if reason else ""
    return UnsupportedModule(f"module '{type(module).__name__}' at '{place}' cannot be made exact{because}")


def read_values(place: str, module: nn.Module, name: str) -> torch.Tensor:
    """A parameter or buffer of a module as finite float64 on the CPU.

    Raises:
        ModelError: it holds NaN or infinity.
    """
    values: torch.Tensor = getattr(module, name).detach().to("cpu", torch.float64)
    if not bool(values.isfinite().all()):
        raise ModelError(f"module '{type(module).__name__}' at '{place}': its {name} holds NaN or infinity")
    return values


def read_bias(place: str, module: nn.Linear | nn.Conv2d) -> torch.Tensor:
    """The bias, float64 [outputs]; zeros if the module has none."""
    if module.bias is None:
        return torch.zeros(len(module.weight), dtype=torch.float64)
    return read_values(place, module, "bias")


def batch_norm_affine(place: str, module: BatchNorm) -> tuple[torch.Tensor, torch.Tensor]:
    """Scale and offset per channel that a batch normalization in evaluation mode applies, float64 [channels].

    Raises:
        UnsupportedModule: it keeps no running statistics.
    """
    if module.running_mean is None or module.running_var is None:
        raise refuse(place, module, "it keeps no running statistics")
    mean, variance = read_values(place, module, "running_mean"), read_values(place, module, "running_var")
    if not bool((variance + float(module.eps) > 0).all()):
        raise ModelError(f"module '{type(module).__name__}' at '{place}': its running_var holds a negative number")
    scale = 1 / torch.sqrt(variance + float(module.eps))
    offset = torch.zeros_like(mean)
    if module.weight is not None:
        scale = scale * read_values(place, module, "weight")
    if module.bias is not None:
        offset = read_values(place, module, "bias")
    return scale, offset - mean * scale


def conv_window(place: str, module: nn.Conv2d) -> Window:
    """Geometry of a convolution.

    Raises:
        UnsupportedModule: groups, dilation or a padding other than zeros.
    """
    if module.groups != 1:
        raise refuse(place, module, f"it has {module.groups} groups")
    if _pair(module.dilation) != (1, 1):
        raise refuse(place, module, f"it is dilated by {module.dilation}")
    if module.padding_mode != "zeros":
        raise refuse(place, module, f"it pads by {module.padding_mode}")
    height, width = _pair(module.kernel_size)
    if isinstance(module.padding, str):
        # torch puts the odd pixel of "same" below and to the right.
        total = (height - 1, width - 1) if module.padding == "same" else (0, 0)
        top, left = total[0] // 2, total[1] // 2
        paddings = (top, left, total[0] - top, total[1] - left)
    else:
        paddings = _pair(module.padding) * 2
    try:
        return Window(height, width, *_pair(module.stride), *paddings)
    except ModelError as error:
        raise refuse(place, module, str(error)) from None


def max_pool(place: str, module: nn.MaxPool2d) -> Pool:
    """Geometry of a maximum pooling.

    Raises:
        UnsupportedModule: dilation, ceil_mode or indices.
    """
    if _pair(module.dilation) != (1, 1) or module.ceil_mode or module.return_indices:
        raise refuse(place, module, "it has a dilation, ceil_mode or return_indices")
    return _pool(place, module, MAX, _pair(module.kernel_size), _pair(module.stride), _pair(module.padding))


def average_pool(place: str, module: nn.AvgPool2d) -> Pool:
    """Geometry of an average pooling.

    Raises:
        UnsupportedModule: ceil_mode, a divisor of its own, or padding that is not counted.
    """
    padding = _pair(module.padding)
    if module.ceil_mode or module.divisor_override is not None:
        raise refuse(place, module, "it has ceil_mode or divisor_override")
    if padding != (0, 0) and not module.count_include_pad:
        raise refuse(place, module, "its windows at the border count fewer pixels")
    return _pool(place, module, AVERAGE, _pair(module.kernel_size), _pair(module.stride), padding)


def adaptive_pool(place: str, module: nn.AdaptiveAvgPool2d, height: int, width: int) -> Pool | None:
    """Geometry of an average pooling to a fixed size for images of this size; None if it leaves them as they are.

    Raises:
        UnsupportedModule: the windows would not be all of one size.
    """
    wanted = _pair(module.output_size)
    rows, columns = (size if given is None else given for given, size in zip(wanted, (height, width), strict=True))
    if (rows, columns) == (height, width):
        return None
    if rows < 1 or columns < 1 or height % rows or width % columns:
        raise refuse(place, module, f"it takes {height} x {width} to {rows} x {columns}, which does not divide it")
    size = (height // rows, width // columns)
    return _pool(place, module, AVERAGE, size, size, (0, 0))


Pair = tuple[int, int]


def _pool(place: str, module: nn.Module, kind: str, kernel: Pair, stride: Pair, padding: Pair) -> Pool:
    try:
        return Pool(kind, Window(*kernel, *stride, *padding, *padding))
    except ModelError as error:
        raise refuse(place, module, str(error)) from None


def _pair(value: Any) -> Pair:
    """Height and width of what torch takes as one number, or as a tuple or list of one or two."""
    sizes = tuple(value) if isinstance(value, (tuple, list)) else (value,)
    return sizes[0], sizes[-1]
