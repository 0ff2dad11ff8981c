"""Plots of the results: colors that color-blind readers can tell apart (Okabe and Ito), and marks that do in gray."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from deepring_chain.experiments.results import Json
from deepring_chain.experiments.statistics import median

BLUE, VERMILION, GREEN, BLACK, GRAY = "#0072B2", "#D55E00", "#009E73", "#000000", "#777777"

STYLE: Any = {
    "font.size": 11,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "legend.frameon": False,
}


@contextmanager
def _drawing(path: Path, title: str, width: float = 7.2, height: float = 4.3) -> Iterator[Axes]:
    """One plot, saved when the block ends; the same results give the same picture."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(width, height), dpi=110, layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots()
        axes.set_title(title, loc="left", fontsize=12)
        yield axes
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, metadata={"Software": ""})


def plot_guessing(result: Json, path: Path) -> None:
    """Table 1: the measured chance of a blind guess against 1/n!, with intervals."""
    rows = result["parts"]["counts"]["rows"]
    layers = [row["layers"] for row in rows]
    with _drawing(path, "Chance of guessing a fresh route blind") as axes:
        axes.plot(layers, [row["expected"] for row in rows], "--", color=GRAY, label="1/n!", zorder=1)
        for row in rows:
            _plot_count(axes, row)
        axes.errorbar([], [], yerr=[], fmt="o", color=BLUE, capsize=4, label="measured, 95 % interval")
        if any(row["hits"] == 0 for row in rows):
            axes.plot([], [], "v", color=VERMILION, markersize=8, label="no right guess: upper end of the interval")
        axes.plot(layers, [row["known_hits"] / row["trials"] for row in rows], "s-", color=GREEN, markersize=6)
        axes.annotate("after one query was seen", (layers[-1], 1), (0, -14), textcoords="offset points", ha="right")
        axes.set(yscale="log", xlabel="layers n", ylabel="share of right guesses", xticks=layers, ylim=(1e-7, 3))
        axes.legend(loc="lower left")


def _plot_count(axes: Axes, row: Json) -> None:
    if row["hits"] == 0:
        axes.plot([row["layers"]], [row["high"]], "v", color=VERMILION, markersize=8)
        return
    share = row["hits"] / row["trials"]
    reach = [[share - row["low"]], [row["high"] - share]]
    axes.errorbar([row["layers"]], [share], yerr=reach, fmt="o", color=BLUE, capsize=4)


def plot_importance(name: str, result: Json, path: Path) -> None:
    """Importance of each layer, as Algorithm 1 finds it; the attacked one stands out."""
    layers = result["parts"]["importance"]["layers"]
    values = [entry["importance"] for entry in layers]
    best = values.index(max(values))
    with _drawing(path, f"{name}: importance of each layer's weights") as axes:
        axes.plot(range(len(values)), values, "o", color=BLUE, markersize=8)
        axes.plot([best], [values[best]], "D", color=VERMILION, markersize=11)
        axes.annotate("attacked", (best, values[best]), (0, 9), textcoords="offset points", ha="center")
        axes.set_xticks(range(len(values)), [str(entry["index"]) for entry in layers])
        axes.margins(y=0.2)
        axes.set(xlabel="layer", ylabel="p after training (Algorithm 1)")


def plot_sigma(name: str, result: Json, path: Path) -> None:
    """Accuracy against sigma, of both attacks, on both plain models."""
    part = result["parts"]["sigma"]
    with _drawing(path, f"{name}: accuracy of the plain models under noise") as axes:
        kinds = (("tampering", VERMILION, "o"), ("perturbation", BLUE, "s"))
        for attack, color, mark in kinds:
            sigmas = [point[0] for point in part[attack]]
            where = {"tampering": "weights", "perturbation": "input"}[attack] + f" of layer {part['layers'][attack]}"
            for column, kind, line, face in ((1, "float32", "-", color), (2, "integers", "--", "white")):
                shares = [100 * point[column] for point in part[attack]]
                label = f"{where}, {kind}"
                axes.plot(sigmas, shares, line, color=color, marker=mark, markerfacecolor=face, label=label)
        axes.axhline(100 * part["clean"][1], color=GRAY, linestyle=":", label="ring under either attack")
        axes.set(xscale="log", xlabel="sigma of the noise", ylabel=f"accuracy on {part['images']:,} images, %")
        axes.set_ylim(0, 104)
        axes.legend(loc="lower left", fontsize=9)


def plot_bits(name: str, result: Json, path: Path) -> None:
    """Accuracy against the number of flipped bits: chosen by gradient, and at random."""
    part = result["parts"]["bits"]
    drawn = part["random"]
    with _drawing(path, f"{name}: accuracy of the plain integer model with flipped bits") as axes:
        kinds = zip(part["progressive"].items(), ((VERMILION, "o-"), (GREEN, "^-")), strict=False)
        for (bits, chosen), (color, mark) in kinds:
            shares = [100 * point[1] for point in chosen]
            axes.plot([point[0] for point in chosen], shares, mark, color=color, label=f"chosen by gradient, {bits}")
        middle, low, high = _spread([point[1:] for point in drawn])
        xs = [point[0] for point in drawn]
        axes.fill_between(xs, low, high, color=BLUE, alpha=0.2, linewidth=0)
        label = f"bits 0 to 5 at random, median and range of {len(drawn[0]) - 1}"
        axes.plot(xs, middle, "s--", color=BLUE, markerfacecolor="white", label=label)
        axes.set_xscale("symlog", linthresh=1)
        axes.set(
            xlabel="flipped bits", ylabel=f"accuracy on {part['images']:,} images, %", ylim=(0, 104), xlim=(-0.1, None)
        )
        axes.legend(loc="center right", fontsize=9)


def _spread(draws: Sequence[Sequence[float]]) -> tuple[list[float], list[float], list[float]]:
    middle = [100 * (median(draw) or 0.0) for draw in draws]
    return middle, [100 * min(draw) for draw in draws], [100 * max(draw) for draw in draws]
