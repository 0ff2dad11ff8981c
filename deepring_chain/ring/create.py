"""Making a ring's folder: keys for everyone, the checkpoint for the owner, two layers for each worker."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from deepring_chain.crypto.keys import create_keys
from deepring_chain.errors import ConfigError
from deepring_chain.files import write_atomic
from deepring_chain.model.checkpoint import save_layers, save_model
from deepring_chain.model.quantised import QuantisedModel
from deepring_chain.ring.folder import (
    MANIFEST_FILE,
    MODEL_FILE,
    PARAMS_FILE,
    RING_FILE,
    RingConfig,
    RingFolder,
    WorkerEntry,
)
from deepring_chain.types import MAX_LAYERS


def init_ring(
    path: Path, model: QuantisedModel, password: str, on_step: Callable[[str], None], standbys: int = 0
) -> RingConfig:
    """Splits `model` into a new ring folder.

    Each actor's folder is complete by itself and can be carried to another machine. `ring.toml` is written last: a
    folder without it is no ring, and an interrupted run leaves nothing that looks finished.

    Args:
        path: a folder that does not hold a ring.
        model: the committed model.
        password: protects all key files.
        on_step: told what is made, for progress.
        standbys: further workers for each layer, which take over when one fails.

    Raises:
        ConfigError: there is a ring, or the folder is not empty or not writable; the password is empty; the model has
            more layers than a ring takes.
    """
    if not password:
        raise ConfigError("an empty password protects nothing; choose one")
    if model.card.layers > MAX_LAYERS:
        raise ConfigError(f"{model.card.name}: has {model.card.layers} layers; a ring takes {MAX_LAYERS} at most")
    with new_folder(path):
        return _write_ring(RingFolder(path), model, password, on_step, standbys)


def _write_ring(
    folder: RingFolder, model: QuantisedModel, password: str, on_step: Callable[[str], None], standbys: int
) -> RingConfig:
    manifest = model.manifest()
    owner = create_keys(folder.ouroboros, password)
    save_model(folder.ouroboros / MODEL_FILE, model)
    write_atomic(folder.ouroboros / MANIFEST_FILE, manifest.encode())
    create_keys(folder.querent, password)
    on_step("ouroboros and querent")
    workers = []
    for index in range(1, model.card.layers + 1):
        for standby in range(standbys + 1):
            workers.append(_init_worker(folder.worker(index, standby), model, index, password))
        on_step(f"worker of layer {index}" + (f" and {standbys} standby" if standbys else ""))
    config = RingConfig(model.card.name, manifest.root(), owner.address, owner.sealing_public, tuple(workers))
    folder.save_config(config)
    return config


def _init_worker(folder: Path, model: QuantisedModel, index: int, password: str) -> WorkerEntry:
    keys = create_keys(folder, password)
    following = model.next_index(index)
    save_layers(folder / PARAMS_FILE, (model.layer(index), model.layer(following)))
    write_atomic(folder / MANIFEST_FILE, model.manifest().slice(index, following).encode())
    return WorkerEntry(folder.name, index, keys.address, keys.sealing_public)


@contextmanager
def new_folder(path: Path) -> Iterator[None]:
    """Make a folder that stays only if the block succeeds: a failed or interrupted one leaves nothing behind.

    Raises:
        ConfigError: there is a ring, or the folder is not empty or cannot be made.
    """
    _check_free(path)
    made = _make(path)
    try:
        yield
    except BaseException:
        for inner in path.iterdir():
            shutil.rmtree(inner) if inner.is_dir() else inner.unlink()
        for folder in made:
            with suppress(OSError):  # somebody else put something there meanwhile
                folder.rmdir()
        raise


def _make(path: Path) -> list[Path]:
    """Makes a folder; returns it and those of its parents that were made, the innermost first."""
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        for folder in missing:
            if folder.is_dir():
                folder.rmdir()
        raise ConfigError(f"{path}: cannot be written ({error.strerror}); choose a writable place") from None
    return missing


def _check_free(path: Path) -> None:
    if (path / RING_FILE).exists():
        raise ConfigError(f"{path}: holds a ring already; choose another folder")
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise ConfigError(f"{path}: is not an empty folder; choose another one")
