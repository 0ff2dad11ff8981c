"""Pictures beside the results."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

from matplotlib import pyplot
from matplotlib.axes import Axes

COLORS = ("#0072B2", "#D55E00", "#009E73", "#E69F00", "#CC79A7", "#999999")
"""Told apart by color-blind readers too (Okabe and Ito)."""


@contextmanager
def _drawing(path: Path, title: str) -> Iterator[Axes]:
    figure, axes = pyplot.subplots(figsize=(7.5, 4.2), layout="constrained")
    axes.set_title(title, loc="left", fontsize=11)
    axes.spines[["top", "right"]].set_visible(False)
    try:
        yield axes
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=110, metadata={"Software": ""})
    finally:
        pyplot.close(figure)


def plot_parts(path: Path, title: str, bars: Sequence[str], parts: Mapping[str, Sequence[float]], unit: str) -> Path:
    """Stacked bars: for each part its share of every bar."""
    with _drawing(path, title) as axes:
        below = [0.0] * len(bars)
        for color, (name, values) in zip(COLORS, parts.items(), strict=False):
            axes.bar(bars, values, bottom=below, label=name, color=color)
            below = [a + b for a, b in zip(below, values, strict=True)]
        axes.set_ylabel(unit)
        axes.legend(frameon=False)
    return path


def plot_lines(
    path: Path, title: str, lines: Mapping[str, tuple[Sequence[float], Sequence[float]]], axes_names: tuple[str, str]
) -> Path:
    """Points of several series, joined."""
    with _drawing(path, title) as axes:
        for color, (name, (xs, ys)) in zip(COLORS, lines.items(), strict=False):
            axes.plot(xs, ys, "o-", color=color, label=name)
        axes.set(xlabel=axes_names[0], ylabel=axes_names[1], ylim=(0, None))
        axes.legend(frameon=False)
    return path
