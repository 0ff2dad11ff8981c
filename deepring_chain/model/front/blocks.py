"""A module that a plain `nn.Sequential` lacks, for networks that are to be split."""

from __future__ import annotations

import torch
from torch import nn


class Residual(nn.Module):
    """body(x) + shortcut(x), one unit of the ring (arXiv 1512.03385); an activation may follow it.

    Attributes:
        body: convolutions with their batch normalizations and activations; the last has no activation.
        shortcut: empty for the identity, else one convolution with or without a batch normalization.
    """

    def __init__(self, body: nn.Sequential, shortcut: nn.Sequential | None = None) -> None:
        super().__init__()
        self.body = body
        self.shortcut = shortcut if shortcut is not None else nn.Sequential()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[N, C, H, W] to [N, C', H', W']."""
        summed: torch.Tensor = self.body(x) + self.shortcut(x)
        return summed
