"""The measurements' own arithmetic, and one measurement from its begin to its page. No figure is judged here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from benchmarks import bench_attestation, bench_ezkl, bench_query
from benchmarks.__main__ import NAMES
from benchmarks.__main__ import main as run_named
from benchmarks.harness import ROOT, Page, fit_line, median_ratio, take_turns
from benchmarks.plots import plot_lines, plot_parts
from benchmarks.rings import Split
from benchmarks.subjects import small_dense
from deepring_chain.health.timings import Timed, Turn
from deepring_chain.types import Attempt, Hop, QueryId


def test_measures_take_turns_and_the_warm_up_is_not_kept() -> None:
    order: list[str] = []
    figures = iter(range(100))

    def measure(name: str) -> float:
        order.append(name)
        return next(figures)

    found = take_turns({"a": lambda: measure("a"), "b": lambda: measure("b")}, rounds=2, warm_up=1)
    assert order == ["a", "b"] * 3
    assert found == {"a": [2, 4], "b": [3, 5]}


def test_ratio_is_that_of_figures_from_one_round() -> None:
    assert median_ratio([2, 30, 8], [1, 10, 2]) == 3


def test_line_through_points_on_a_line_fits_wholly_and_others_less() -> None:
    line = fit_line([1, 2, 4], [5, 7, 11])
    assert (line.slope, line.offset, line.fit) == pytest.approx((2, 3, 1))
    assert fit_line([1, 2, 3], [0, 9, 0]).fit == pytest.approx(0)
    assert fit_line([1, 2], [4, 4]).fit == 1
    assert str(line) == "y = 2 x + 3, R2 = 1.0000"


def turn(began: float, ended: float, **phases: float) -> Timed:
    return Timed(Turn("worker-1", QueryId(1), Attempt(1), Hop(1), began, ended, phases), 0.0)


def test_split_of_a_query_adds_up_to_its_total() -> None:
    timed = [turn(1, 2, compute=0.5, open=0.125, seal=0.125), turn(3, 5, store=0.5, post=0.5, compute=0.25)]
    split = Split.of(6, timed)
    assert split.parts() == {
        "compute": 0.75, "crypto": 0.25, "store": 0.5, "chain": 0.5, "other": 1.0, "waiting": 3.0,
    }  # fmt: skip
    assert sum(split.parts().values()) == split.total
    assert tuple(split.parts()) == bench_query.PARTS


def test_page_says_how_it_was_measured_and_holds_tables_and_pictures(tmp_path: Path) -> None:
    page = Page("hop", "How long?")
    page.table(("what", "ms"), [("a hop", 3)])
    page.plot(plot_lines(tmp_path / "lines.png", "Lines", {"a": ([1, 2], [3, 4])}, ("x", "y")))
    page.plot(plot_parts(tmp_path / "parts.png", "Parts", ["one"], {"compute": [1.0]}, "ms"))
    text = page.write(tmp_path).read_text()
    assert text.startswith("# How long?\n\n- command: `")
    assert "make bench ONLY=hop`" in text
    assert "| what | ms |\n|---|---:|\n| a hop | 3 |" in text
    assert "![How long?](lines.png)" in text
    assert (tmp_path / "parts.png").read_bytes().startswith(b"\x89PNG")


def test_attestation_is_measured_over_the_bytes_that_the_blocks_hold() -> None:
    model = small_dense((16, 8, 4)).model
    blocks = [(model.layer(1), model.layer(2)), (model.layer(2), model.layer(0))]
    size, *rates = bench_attestation.measure(blocks, rounds=2)
    parameters = [sum(part.nbytes for part in layer.tensors.values()) for layer in model.layers]
    headers = sum(len(layer.content().header) for pair in blocks for layer in pair)
    assert int(size.replace(",", "")) == parameters[0] + 2 * parameters[1] + headers
    assert all(float(rate) >= 0 for rate in rates)


def test_network_that_is_proven_is_the_one_that_the_ring_serves() -> None:
    subject = small_dense((16, 8, 4))
    images = subject.images(1)
    inputs = subject.to_input(images).numpy()
    session = onnxruntime.InferenceSession(bench_ezkl.to_onnx(subject.network).SerializeToString())
    (found,) = session.run(None, {"input": inputs})
    assert found == pytest.approx(subject.plain_float(images)().numpy(), abs=1e-5)
    assert np.argmax(found) == subject.model.card.predictions(subject.plain_integer(images)())[0]


def test_every_measurement_has_a_file_and_unknown_names_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    for module in NAMES.values():
        assert (ROOT / f"{module.replace('.', '/')}.py").is_file(), module
    with pytest.raises(SystemExit) as refused:
        run_named(["nonsense"])
    assert refused.value.code == 1
    assert "no measurement named nonsense" in capsys.readouterr().err
