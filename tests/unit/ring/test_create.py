"""Making a ring's folder: complete, private, each member with no more than it needs, and never over another."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from deepring_chain.crypto import keys as keys_module
from deepring_chain.crypto.keys import ACCOUNT_FILE, SEALING_FILE, ActorKeys, load_keys, read_address
from deepring_chain.errors import ConfigError
from deepring_chain.model.checkpoint import load_layers, load_model
from deepring_chain.model.manifest import Manifest, ManifestSlice, find_changed_tensors
from deepring_chain.model.quantised import QuantisedModel
from deepring_chain.ring import create as module
from deepring_chain.ring.create import init_ring
from deepring_chain.ring.folder import MANIFEST_FILE, MODEL_FILE, PARAMS_FILE, RING_FILE, RingConfig, RingFolder

PASSWORD = "password"


@pytest.fixture(scope="module", autouse=True)
def _cheap_scrypt() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keys_module, "SCRYPT_N", 2)
        yield


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, model: QuantisedModel) -> tuple[RingFolder, RingConfig, list[str]]:
    path = tmp_path_factory.mktemp("rings") / "ring"
    steps: list[str] = []
    config = init_ring(path, model, PASSWORD, steps.append)
    return RingFolder(path), config, steps


Made = tuple[RingFolder, RingConfig, list[str]]


def test_config_names_the_members_whose_keys_are_there(made: Made, model: QuantisedModel) -> None:
    folder, config, steps = made
    assert folder.load_config() == config
    assert (config.model_name, config.model_root) == ("tiny", model.manifest().root())
    owner = load_keys(folder.ouroboros, PASSWORD)
    assert (config.ouroboros, config.ouroboros_key) == (owner.address, owner.sealing_public)
    for layer, entry in enumerate(config.workers, start=1):
        keys = load_keys(folder.worker(layer), PASSWORD)
        assert (entry.layer, entry.address, entry.sealing_key) == (layer, keys.address, keys.sealing_public)
        assert folder.path / entry.name == folder.worker(layer)
    assert steps == ["ouroboros and querent", "worker of layer 1", "worker of layer 2", "worker of layer 3"]


def test_model_of_more_layers_than_a_ring_takes_is_refused_before_anything_is_made(
    tmp_path: Path, model: QuantisedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_LAYERS", 2)
    with pytest.raises(ConfigError, match=r"tiny: has 3 layers; a ring takes 2 at most"):
        init_ring(tmp_path / "ring", model, PASSWORD, print)
    assert not (tmp_path / "ring").exists()


def test_all_members_have_keys_of_their_own(made: Made) -> None:
    folder = made[0]
    places = [folder.ouroboros, folder.querent, *(folder.worker(layer) for layer in (1, 2, 3))]
    assert len({read_address(place) for place in places}) == 5
    assert len({load_keys(place, PASSWORD).sealing_public for place in places}) == 5


def test_each_worker_holds_its_layer_and_the_next_and_no_more(made: Made, model: QuantisedModel) -> None:
    """A worker looks into its folder for the rest of the model."""
    folder = made[0]
    for layer, following in ((1, 2), (2, 3), (3, 0)):
        place = folder.worker(layer)
        assert {entry.name for entry in place.iterdir()} == {ACCOUNT_FILE, SEALING_FILE, PARAMS_FILE, MANIFEST_FILE}
        held = load_layers(place / PARAMS_FILE)
        assert [content.index for content in held] == [layer, following]
        manifest = ManifestSlice.decode((place / MANIFEST_FILE).read_bytes())
        manifest.verify(model.manifest().root())
        assert [entry.index for entry in manifest.entries] == [layer, following]
        assert [find_changed_tensors(manifest, content) for content in held] == [[], []]


def test_owner_holds_the_whole_model(made: Made, model: QuantisedModel) -> None:
    folder = made[0]
    assert load_model(folder.ouroboros / MODEL_FILE).manifest() == model.manifest()
    assert Manifest.decode((folder.ouroboros / MANIFEST_FILE).read_bytes()) == model.manifest()
    assert {entry.name for entry in folder.querent.iterdir()} == {ACCOUNT_FILE, SEALING_FILE}


def test_key_files_are_the_owners_alone(made: Made) -> None:
    keys = [*made[0].path.glob(f"*/{ACCOUNT_FILE}"), *made[0].path.glob(f"*/{SEALING_FILE}")]
    assert len(keys) == 10
    assert {stat.S_IMODE(path.stat().st_mode) for path in keys} == {0o600}


def test_ring_is_never_made_over_another(made: Made, model: QuantisedModel) -> None:
    folder = made[0]
    before = {path: path.read_bytes() for path in folder.path.rglob("*") if path.is_file()}
    with pytest.raises(ConfigError, match="holds a ring already"):
        init_ring(folder.path, model, PASSWORD, print)
    assert {path: path.read_bytes() for path in folder.path.rglob("*") if path.is_file()} == before


def test_folder_with_something_in_it_is_refused(tmp_path: Path, model: QuantisedModel) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(ConfigError, match="not an empty folder"):
        init_ring(tmp_path, model, PASSWORD, print)
    with pytest.raises(ConfigError, match="not an empty folder"):
        init_ring(tmp_path / "thesis.txt", model, PASSWORD, print)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_empty_folder_is_taken(tmp_path: Path, model: QuantisedModel) -> None:
    init_ring(tmp_path, model, PASSWORD, lambda _step: None)
    assert (tmp_path / RING_FILE).exists()


def test_empty_password_is_refused_before_anything_is_made(tmp_path: Path, model: QuantisedModel) -> None:
    with pytest.raises(ConfigError, match="empty password"):
        init_ring(tmp_path / "ring", model, "", print)
    assert not (tmp_path / "ring").exists()


def test_interrupted_run_leaves_no_ring(tmp_path: Path, model: QuantisedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Path] = []

    def interrupted(folder: Path, password: str) -> ActorKeys:
        made.append(folder)
        if len(made) == 4:
            raise KeyboardInterrupt
        return keys_module.create_keys(folder, password)

    monkeypatch.setattr(module, "create_keys", interrupted)
    with pytest.raises(KeyboardInterrupt):
        init_ring(tmp_path / "ring", model, PASSWORD, lambda _step: None)
    assert not RingFolder(tmp_path / "ring").is_initialized
    with pytest.raises(ConfigError, match="no ring here"):
        RingFolder(tmp_path / "ring").load_config()


@pytest.mark.parametrize("step", range(4))
@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError, ConfigError])
def test_making_that_is_broken_off_leaves_nothing_behind(
    tmp_path: Path, model: QuantisedModel, step: int, error: type[BaseException]
) -> None:
    done: list[str] = []

    def break_off(text: str) -> None:
        done.append(text)
        if len(done) > step:
            raise error

    (tmp_path / "empty").mkdir()
    for path in (tmp_path / "new" / "rings" / "ring", tmp_path / "empty"):
        done.clear()
        with pytest.raises(error):
            init_ring(path, model, PASSWORD, break_off)
    assert list(tmp_path.rglob("*")) == [tmp_path / "empty"]
