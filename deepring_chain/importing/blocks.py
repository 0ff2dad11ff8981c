"""A network of residual blocks."""

from __future__ import annotations

from torch import nn

from deepring_chain.model.front.blocks import Residual

RESNET18_CHANNELS = (64, 128, 256, 512)
"""Channels of the four stages, of two blocks each (arXiv 1512.03385, table 1)."""


def build_resnet18(inputs: int, classes: int, channels: tuple[int, ...] = RESNET18_CHANNELS) -> nn.Sequential:
    """ResNet-18 in the usual form for small images: a 3 x 3 stem that keeps their size, no pooling after it.

    Args:
        inputs: channels of the images.
        classes: outputs.
        channels: of each stage; all but the first halve height and width.
    """
    modules = [*_normalized_conv(inputs, channels[0], 3, 1), nn.ReLU()]
    given = channels[0]
    for stage, outputs in enumerate(channels):
        for stride in (1 if stage == 0 else 2, 1):
            modules += [_basic_block(given, outputs, stride), nn.ReLU()]
            given = outputs
    return nn.Sequential(*modules, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(given, classes))


def _basic_block(inputs: int, outputs: int, stride: int) -> Residual:
    first, second = _normalized_conv(inputs, outputs, 3, stride), _normalized_conv(outputs, outputs, 3, 1)
    keeps_shape = stride == 1 and inputs == outputs
    shortcut = None if keeps_shape else nn.Sequential(*_normalized_conv(inputs, outputs, 1, stride))
    return Residual(nn.Sequential(*first, nn.ReLU(), *second), shortcut)


def _normalized_conv(inputs: int, outputs: int, kernel: int, stride: int) -> list[nn.Module]:
    conv = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False)
    return [conv, nn.BatchNorm2d(outputs)]
