"""The demo's half blocks make a digit by their colors alone: where there are none, the digit's answer is not drawn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from deepring_chain.actors.querent import QueryResult
from deepring_chain.cli import demo
from deepring_chain.datasets.idx import LabeledImages
from deepring_chain.datasets.samples import load_mnist_samples
from deepring_chain.model.checkpoint import shipped_model
from deepring_chain.types import QueryId, TensorBytes


def shown(console: Console, out: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(demo, "OUT", console)
    samples = load_mnist_samples()
    asked = LabeledImages(samples.images[:2], samples.labels[:2])
    classes = asked.labels.astype(np.int64)
    result = QueryResult(QueryId(1), TensorBytes("int32", (2, 10), bytes(80)), classes, np.eye(10)[classes])
    with console.capture() as printed:
        demo._print_answers(asked, result, shipped_model(), out)
    assert (out / "answers.png").is_file()
    return printed.get()


def test_digits_are_drawn_on_a_terminal_with_colors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = shown(Console(force_terminal=True, color_system="truecolor", width=80), tmp_path, monkeypatch)
    assert "▀" in drawn
    assert "says 7" in drawn


def test_no_blocks_are_drawn_in_a_pipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "▀" not in shown(Console(force_terminal=False, color_system=None, width=80), tmp_path, monkeypatch)
