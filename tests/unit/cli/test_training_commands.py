"""`deepring train`, `quantise` and `init --onnx`: what they print, keep and refuse."""

from __future__ import annotations

import re
import signal
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deepring_chain.cli import training
from deepring_chain.model.checkpoint import load_model
from deepring_chain.training.evaluate import load_float
from deepring_chain.training.train import TrainReport
from tests.e2e.command import DEEPRING, Terminal, environment
from tests.unit.datasets.data_files import write_idx, write_mnist
from tests.unit.importing.onnx_tools import Writer, exported, images, saved, vgg


def train(data: Path, out: Path, *more: object) -> tuple[object, ...]:
    return ("train", "mnist-dense", "--data", data, "--out", out, "--epochs", 3, "--seed", 1, *more)


def test_training_prints_a_line_for_each_epoch_and_leaves_only_the_checkpoint(
    terminal: Terminal, tmp_path: Path
) -> None:
    write_mnist(tmp_path / "MNIST" / "raw")
    out = tmp_path / "models" / "float.safetensors"
    code, output, errors = terminal.run(*train(tmp_path, out))
    assert code == 0, errors
    lines = [line.strip() for line in errors.splitlines()]
    assert [line.split(", loss")[0] for line in lines] == [f"mnist-dense, epoch {epoch}/3" for epoch in (1, 2, 3)]
    assert output.startswith(f"{out}: ")
    assert re.search(r" % of 20 test images; trained for \d+\.\d minutes\n$", output)
    assert [path.name for path in out.parent.iterdir()] == ["float.safetensors"]
    assert load_float(out)[0] == "mnist-dense"
    quantised = tmp_path / "models" / "quantised.safetensors"
    said = terminal.said("quantise", out, "--data", tmp_path, "--out", quantised)
    assert "test images: 20" in said
    assert load_model(quantised).card.name == "mnist-dense"


def test_interrupted_command_goes_on_to_the_same_checkpoint(
    terminal: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_mnist(tmp_path)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    terminal.said(*train(tmp_path, whole))
    show = training._Display.show

    def stop(display: Any, report: TrainReport) -> None:
        show(display, report)
        if report.epoch == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(training._Display, "show", stop)
        code, output, errors = terminal.run(*train(tmp_path, broken))
    assert (code, output) == (130, "")
    state = tmp_path / "broken.state"
    assert errors.splitlines()[-1].strip() == f"interrupted; the same command goes on from {state}"
    code, _, errors = terminal.run(*train(tmp_path, broken))
    assert code == 0
    assert errors.splitlines()[0].strip() == f"going on from {state}"
    assert broken.read_bytes() == whole.read_bytes()
    assert not state.exists()


def test_real_interrupt_leaves_a_usable_state(tmp_path: Path) -> None:
    write_mnist(tmp_path, train=2000)
    command = train(
        tmp_path, tmp_path / "float", "--epochs", 1_000_000
    )  # it never gets there: nobody reads what it says
    process = subprocess.Popen(
        [str(part) for part in (DEEPRING, *command)],
        env=environment(OMP_NUM_THREADS="1"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        assert "epoch 1/1000000" in process.stderr.readline()
        assert "epoch 2/1000000" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate()
    finally:
        process.kill()
        process.wait()
    assert (process.returncode, output) == (130, "")
    assert errors.splitlines()[-1].strip().startswith("interrupted; the same command goes on from")
    assert [path.name for path in tmp_path.glob("float*")] == ["float.state"]


def test_state_of_another_seed_is_refused_and_kept(
    terminal: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_mnist(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(training, "save_float", lambda *_given: (_ for _ in ()).throw(KeyboardInterrupt))
        terminal.run(*train(tmp_path, tmp_path / "float"))
    state = tmp_path / "float.state"
    kept = state.read_bytes()
    refusal = terminal.refusal(*train(tmp_path, tmp_path / "float", "--seed", 2))
    assert f"{state}: of another training (mnist-dense, seed 1, 3 epochs, float32, cpu, 40 images" in refusal
    assert state.read_bytes() == kept


def test_training_that_cannot_end_well_is_refused_before_it_starts(terminal: Terminal, tmp_path: Path) -> None:
    write_mnist(tmp_path)
    out = tmp_path / "float"
    assert "--precision half: known are float32, bfloat16" in terminal.refusal(
        *train(tmp_path, out, "--precision", "half")
    )
    assert "--device tpu: known are cpu and cuda" in terminal.refusal(*train(tmp_path, out, "--device", "tpu"))
    assert "is a folder; name the file to write" in terminal.refusal(*train(tmp_path, tmp_path))
    write_idx(tmp_path / "t10k-images-idx3-ubyte.gz", np.zeros((20, 9, 9), np.uint8))
    assert "takes images of shape (28, 28), got (9, 9)" in terminal.refusal(*train(tmp_path, out))
    assert not out.exists()
    missing = terminal.refusal("train", "cifar10-dense", "--data", tmp_path, "--out", out)
    assert "no CIFAR-10 file data_batch_1" in missing
    assert "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz" in missing
    assert "SHA-256 ce6b8e74" in terminal.refusal("train", "tiny-vgg19", "--data", tmp_path, "--out", out)


def test_ring_is_made_of_an_onnx_file_and_a_folder_of_images(terminal: Terminal, tmp_path: Path) -> None:
    network, item_shape = vgg()
    path = saved(tmp_path / "cut.onnx", exported(network, item_shape))
    np.save(tmp_path / "images.npy", images(item_shape))
    ring = tmp_path / "ring"
    said = terminal.said("init", "--ring", ring, "--onnx", path, "--calibrate", tmp_path)
    assert said.startswith(f"ring of 5 workers for cut in {ring}\n  same class as in float: ")
    assert "calibration images: 60" in said


def test_options_and_files_of_an_onnx_ring_are_checked(terminal: Terminal, tmp_path: Path) -> None:
    ring, path = tmp_path / "ring", saved(tmp_path / "net.onnx", exported(*vgg()))
    init = ("init", "--ring", ring)
    assert "--onnx: needs images" in terminal.refusal(*init, "--onnx", path)
    assert "--calibrate: images for a network" in terminal.refusal(*init, "--calibrate", tmp_path)
    both = (*init, "--onnx", path, "--calibrate", tmp_path, "--data", tmp_path)
    assert "leave --model and --data out" in terminal.refusal(*both)
    assert "no png or npy file" in terminal.refusal(*init, "--onnx", path, "--calibrate", tmp_path)
    writer = Writer()
    saved(path, writer.finish(writer.add("Elu", "image"), ["n", 6]))
    refusal = terminal.refusal(*init, "--onnx", path, "--calibrate", tmp_path)
    assert "node '/net/elu.0' (Elu) cannot be made exact" in refusal
    path.write_bytes(path.read_bytes()[:20])
    assert "damaged or not an ONNX file" in terminal.refusal(*init, "--onnx", path, "--calibrate", tmp_path)
    assert not ring.exists()
