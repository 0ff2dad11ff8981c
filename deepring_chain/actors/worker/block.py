"""A worker's parameters: in memory for computing and attesting, on disk for the next start, replaced by a restore."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import torch

from deepring_chain.errors import ConfigError, ModelError
from deepring_chain.files import write_atomic
from deepring_chain.model.checkpoint import decode_layers, find_damaged_tensors, load_layers
from deepring_chain.model.layer import Layer
from deepring_chain.model.manifest import ManifestSlice, find_changed_tensors
from deepring_chain.ring.folder import PARAMS_FILE
from deepring_chain.types import LayerContent, LayerIndex

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class BlockLayers:
    """The layer that a block serves and the next one, which it validates."""

    own: Layer
    following: Layer


class Block:
    """The parameters of one worker.

    A file that does not load does not keep the worker from starting: it attests what it found, which cannot match, and
    so the ring restores it (paper 3.4.4) instead of waiting for it.

    Args:
        folder: the worker's.
        manifest: its slice of the manifest.
        device: where layers are computed.
    """

    def __init__(self, folder: Path, manifest: ManifestSlice, device: torch.device) -> None:
        self.folder = folder
        self._path = folder / PARAMS_FILE
        self._manifest = manifest
        self._device = device
        self.layers = self._load()

    def contents(self) -> tuple[LayerContent, LayerContent]:
        """Canonical contents of both layers, over the memory that computes; of a damaged file, its raw bytes."""
        if self.layers is None:
            damaged = LayerContent(LayerIndex(0), b"damaged", (memoryview(self._read()),))
            return damaged, damaged
        return self.layers.own.content(), self.layers.following.content()

    def changed_tensors(self) -> list[str]:
        """Names of the tensors that differ from the manifest, in memory or, if the file did not load, there."""
        if self.layers is None:
            return find_damaged_tensors(self._path, self._manifest)
        return [
            f"layer.{layer.index}.{name}"
            for layer in (self.layers.own, self.layers.following)
            for name in find_changed_tensors(self._manifest, layer)
        ]

    def restore(self, parameters: bytes) -> list[str]:
        """Replaces the parameters, on disk and in memory.

        Args:
            parameters: bytes of a parameter file.

        Returns:
            Names of the tensors that had changed.

        Raises:
            ModelError: `parameters` are not what the manifest says; nothing is replaced.
        """
        layers = self._parse(decode_layers(parameters, "restored parameters"))
        for layer in (layers.own, layers.following):
            if find_changed_tensors(self._manifest, layer):
                raise ModelError("restored parameters: not those of the model's manifest; nothing was replaced")
        changed = self.changed_tensors()
        write_atomic(self._path, parameters, 0o600)
        self.layers = self._on_device(layers)
        return changed

    def _load(self) -> BlockLayers | None:
        if not self._path.exists():
            raise ConfigError(f"{self._path}: no parameters here; `deepring init` makes them")
        try:
            return self._on_device(self._parse(load_layers(self._path)))
        except ModelError as error:
            LOG.error("%s; waiting for the ring to restore it", error)  # noqa: TRY400 - one line is the point
            return None

    def _parse(self, layers: tuple[Layer, ...]) -> BlockLayers:
        held = [entry.index for entry in self._manifest.entries]
        if [layer.index for layer in layers] != held:
            raise ModelError(f"{self._path}: holds layers {[layer.index for layer in layers]}, expected {held}")
        return BlockLayers(layers[0], layers[1])

    def _on_device(self, layers: BlockLayers) -> BlockLayers:
        return BlockLayers(layers.own.to(self._device), layers.following.to(self._device))

    def _read(self) -> bytes:
        try:
            return self._path.read_bytes()
        except OSError as error:
            raise ConfigError(f"{self._path}: cannot be read ({error.strerror})") from None
