"""Images on their way into a float network."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray


def to_float(images: NDArray[np.uint8]) -> torch.Tensor:
    """Images as the networks take them: float32, 0..1, [N, H, W] as it is and [N, H, W, C] as [N, C, H, W]."""
    pixels = torch.from_numpy(images.astype(np.float32) / np.float32(255))
    return pixels.permute(0, 3, 1, 2) if pixels.dim() == 4 else pixels


def batches(images: NDArray[np.uint8], size: int = 1000) -> Iterator[NDArray[np.uint8]]:
    """Cuts images into batches."""
    for start in range(0, len(images), size):
        yield images[start : start + size]
