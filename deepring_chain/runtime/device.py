"""Where layers are computed."""

from __future__ import annotations

import torch

from deepring_chain.errors import ConfigError
from deepring_chain.ring.options import ActorOptions


def open_device(options: ActorOptions) -> torch.device:
    """The device of an actor, with its threads set.

    Raises:
        ConfigError: there is no such device.
    """
    torch.set_num_threads(options.threads)
    return find_device(options.device)


def find_device(name: str) -> torch.device:
    """The device that a name stands for.

    Raises:
        ConfigError: there is no such device.
    """
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ConfigError(f"device {name}: there is no such device; say --device cpu or cuda") from None
    if device.type not in ("cpu", "cuda"):
        raise ConfigError(f"device {name}: no exact kernels for it; say --device cpu or cuda")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ConfigError(f"device {device}: this machine has no such device that torch can use; say --device cpu")
    return device
