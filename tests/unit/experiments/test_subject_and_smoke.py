"""Subjects of experiments: trained checkpoints, and the small networks of the smoke run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from deepring_chain.datasets.idx import LabeledImages
from deepring_chain.errors import ModelError
from deepring_chain.experiments.lab_ring import ExperimentError
from deepring_chain.experiments.passes import PassSettings
from deepring_chain.experiments.rows import PARTS, PlainSettings
from deepring_chain.experiments.run import Folders, RowJob, run_rows
from deepring_chain.experiments.smoke import conv_subject, dense_subject, dequantise
from deepring_chain.experiments.strikes import perturbation, tampering, weigh_layers
from deepring_chain.experiments.subject import (
    Subject,
    accuracy,
    best_class,
    checkpoint_path,
    digest_images,
    float_predictions,
    integer_logits,
    load_subject,
)
from deepring_chain.types import TensorBytes


@pytest.fixture(scope="module")
def conv() -> Subject:
    return conv_subject(80)


def test_missing_checkpoint_is_named_with_the_command_that_makes_it(tmp_path: Path) -> None:
    with pytest.raises(ExperimentError, match=r"`deepring train mnist-vgg19 --data FOLDER --out .*mnist-vgg19\.float"):
        load_subject("mnist-vgg19", tmp_path, tmp_path, tmp_path)


def test_unknown_network_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no network named 'lenet'"):
        load_subject("lenet", tmp_path, tmp_path, tmp_path)


def test_dequantised_network_sees_what_the_quantised_one_sees() -> None:
    subject = dense_subject(200)
    found = float_predictions(subject.network, subject.test.images)
    assert (found == best_class(integer_logits(subject.model, subject.test.images))).mean() > 0.99
    assert accuracy(found, subject.test) > 0.97


def test_only_dense_networks_are_dequantised(conv: Subject) -> None:
    with pytest.raises(ModelError, match="only dense layers"):
        dequantise(conv.model)


def test_small_convolutional_network_learns_its_task(conv: Subject) -> None:
    assert [layer.operator for layer in conv.model.layers][-1] == "dense"
    assert len({layer.operator for layer in conv.model.layers}) == 2
    assert accuracy(best_class(integer_logits(conv.model, conv.test.images)), conv.test) > 0.95


def test_attacker_does_not_train_on_the_images_that_are_asked() -> None:
    subject = dense_subject(300)
    asked = {image.tobytes() for image in subject.test.images}
    assert (len(subject.test.labels), len(subject.training.labels)) == (300, 700)
    assert not asked & {image.tobytes() for image in subject.training.images}


def test_digest_depends_on_every_image_and_label(conv: Subject) -> None:
    images, labels = conv.test.images.copy(), conv.test.labels.copy()
    known = digest_images(LabeledImages(images, labels))
    images[-1, -1, -1] ^= 1
    changed = digest_images(LabeledImages(images, labels))
    labels[-1] ^= 1
    assert len({known, changed, digest_images(LabeledImages(images, labels))}) == 3


def test_integer_logits_of_parts_are_those_of_the_whole(conv: Subject) -> None:
    many = np.concatenate([conv.test.images] * 4)
    whole = conv.model.run(conv.model.card.quantise_input(many))
    assert integer_logits(conv.model, many).tobytes() == whole.data
    assert isinstance(whole, TensorBytes)


def test_tampering_meets_the_most_important_layer_and_harms_with_sigma(conv: Subject) -> None:
    weighed = weigh_layers(conv, steps=5, batch=16, seed=1)
    strike = tampering(conv, weighed, seed=1)
    assert strike.layer == max(weighed, key=lambda entry: entry.importance).index
    clean = best_class(integer_logits(conv.model, conv.test.images))
    assert (strike.integer_predictions(0.0, conv.test.images) == clean).all()
    assert accuracy(strike.integer_predictions(50.0, conv.test.images), conv.test) < 0.9
    assert accuracy(strike.float_predictions(50.0, conv.test.images), conv.test) < 0.9


def test_each_live_tampering_has_noise_of_its_own(conv: Subject) -> None:
    strike = tampering(conv, weigh_layers(conv, steps=1, batch=8, seed=1), seed=1)
    first, again, other = (strike.weight(0.5, seed) for seed in (1, 1, 2))
    assert (first == again).all()
    assert (first != other).any()


def test_perturbation_meets_the_third_layer_and_harms_with_sigma(conv: Subject) -> None:
    strike = perturbation(conv, seed=1)
    assert strike.layer == 3
    clean = best_class(integer_logits(conv.model, conv.test.images))
    assert (strike.integer_predictions(0.0, conv.test.images) == clean).all()
    assert accuracy(strike.integer_predictions(50.0, conv.test.images), conv.test) < 0.7
    assert accuracy(strike.float_predictions(50.0, conv.test.images), conv.test) < 0.7


def test_layer_that_is_not_there_cannot_be_perturbed(conv: Subject) -> None:
    with pytest.raises(ExperimentError, match="no layer 9"):
        perturbation(conv, seed=1, layer=9)


def test_rows_whose_networks_are_not_trained_come_last_and_are_named(tmp_path: Path) -> None:
    folders = Folders(tmp_path, tmp_path, tmp_path, tmp_path)
    checkpoint_path(tmp_path, "mnist-dense").write_bytes(b"damaged")
    job = RowJob(PlainSettings(), PassSettings(), PARTS, "command")
    with pytest.raises(ModelError, match=r"mnist-dense\.float\.safetensors"):
        list(run_rows(["cifar10-dense", "mnist-dense"], folders, None, job, lambda *_: None))
    checkpoint_path(tmp_path, "mnist-dense").unlink()
    with pytest.raises(ExperimentError, match="`deepring train cifar10-dense"):
        list(run_rows(["cifar10-dense", "mnist-dense"], folders, None, job, lambda *_: None))
