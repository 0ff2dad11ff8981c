"""Running experiments and drawing their page: what `deepring experiment` does."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from deepring_chain.experiments import markdown, plots
from deepring_chain.experiments.guessing import LAYERS, PAPER_PERCENT, count_guesses
from deepring_chain.experiments.lab_ring import ExperimentError
from deepring_chain.experiments.passes import PassSettings, Progress
from deepring_chain.experiments.results import Json, ResultBook, read_result
from deepring_chain.experiments.rows import IMPORTANCE_STEPS, PARTS, ROWS, Paper, PlainSettings, RowRun
from deepring_chain.experiments.subject import Subject, checkpoint_path, identify, load_subject
from deepring_chain.experiments.sweeps import Sweep, SweepSettings
from deepring_chain.files import write_atomic

SWEPT = ("mnist-dense", "cifar10-dense", "cifar10-vgg19")
"""Networks whose curves `deepring experiment attacks` measures unless told otherwise."""

SECTIONS = ("table1", "table2", "table3", "attacks")


@dataclass(frozen=True)
class Folders:
    """Where things are.

    Attributes:
        data: the data sets' files.
        models: float checkpoints.
        out: results and plots.
        work: rings while they run, and what is kept between runs.
    """

    data: Path
    models: Path
    out: Path
    work: Path


def run_table1(out: Path, trials: int, seed: int, command: str, on_progress: Progress) -> None:
    """Counts blind guesses."""
    book = ResultBook(out / "table1.json", {"settings": {"seed": seed, "trials": trials}}, command)
    book.part("counts", lambda: _count(trials, seed, on_progress))


def _count(trials: int, seed: int, on_progress: Progress) -> Json:
    rows = []
    for layers in LAYERS:
        done = 0

        def show(more: int, layers: int = layers) -> None:
            nonlocal done
            done += more
            on_progress(f"{layers} layers", done, trials)

        found = count_guesses(layers, trials, seed, show)
        rows.append({**found.as_json(), "paper": PAPER_PERCENT[layers] / 100})
    return {"rows": rows}


def choose_rows(table: str, only: Collection[str]) -> list[str]:
    """Networks of a table, the most important first.

    Raises:
        ExperimentError: `only` names one that is not in the table.
    """
    names = [name for name, row in ROWS.items() if row.table == table]
    return _chosen(names, only, table)


def _chosen(names: Collection[str], only: Collection[str], what: str) -> list[str]:
    unknown = sorted(set(only) - set(names))
    if unknown:
        raise ExperimentError(f"{what} has no {', '.join(unknown)}; it has {', '.join(names)}")
    return [name for name in names if not only or name in only]


def check_parts(parts: Collection[str]) -> tuple[str, ...]:
    """The parts of a row that are meant, all if none is named.

    Raises:
        ExperimentError: an unknown one.
    """
    return tuple(_chosen(PARTS, parts, "a row"))


@dataclass(frozen=True)
class RowJob:
    """What is to be done with rows.

    Attributes:
        settings: how the plain models are attacked.
        passing: how the test set goes through the rings.
        parts: which are run.
        command: for readers.
        again: whether `parts` are computed even if they are there.
    """

    settings: PlainSettings
    passing: PassSettings
    parts: Collection[str]
    command: str
    again: bool = False


def run_row(subject: Subject, paper: Paper, path: Path, work: Path, job: RowJob, on_progress: Progress) -> None:
    """Runs one row of Table 2 or 3, or what of it is not there yet.

    Args:
        subject: network and images.
        paper: what the paper prints.
        path: the row's result.
        work: folder for rings.
        job: what to do.
        on_progress: told what is done.
    """
    book = ResultBook(path, identify(subject, asdict(job.settings)), job.command)
    if job.again:
        book.forget(job.parts)
    RowRun(paper, subject, job.settings, job.passing, book, work, on_progress).run(job.parts)


def run_rows(
    names: Collection[str], folders: Folders, images: int | None, job: RowJob, on_progress: Progress
) -> Iterator[str]:
    """Runs rows of the zoo's networks, one after the other.

    Args:
        names: of the networks.
        folders: where things are.
        images: how many test images, the first ones; all if None.
        job: what to do.
        on_progress: told what is done.

    Yields:
        The name of each row, once it is done.

    Raises:
        ExperimentError: a network is not trained yet; the others are done then.
    """
    missing = [name for name in names if not checkpoint_path(folders.models, name).is_file()]
    for name in [name for name in names if name not in missing]:

        def show(what: str, done: int, whole: int, name: str = name) -> None:
            on_progress(f"{name}: {what}", done, whole)

        show("reading and quantising", 0, 1)
        subject = load_subject(name, folders.data, folders.models, folders.work, images)
        path, row = result_path(folders.out, ROWS[name].table, name), ROWS[name]
        run_row(subject, row.paper, path, folders.work, job, show)
        yield name
    for name in missing:
        load_subject(name, folders.data, folders.models, folders.work, images)


def run_sweeps(
    only: Collection[str], folders: Folders, images: int, settings: SweepSettings, command: str, on_progress: Progress
) -> None:
    """Measures the curves of networks."""
    for name in _chosen(ROWS, only, "attacks") if only else SWEPT:

        def show(what: str, done: int, whole: int, name: str = name) -> None:
            on_progress(f"{name}: {what}", done, whole)

        show("reading and quantising", 0, 1)
        subject = load_subject(name, folders.data, folders.models, folders.work, images)
        steps = replace(settings, importance_steps=IMPORTANCE_STEPS[ROWS[name].table])
        run_sweep(subject, folders.out, steps, command, show)


def run_sweep(subject: Subject, out: Path, settings: SweepSettings, command: str, on_progress: Progress) -> None:
    """Measures the curves of one network."""
    book = ResultBook(result_path(out, "attacks", subject.name), identify(subject, asdict(settings)), command)
    Sweep(subject, settings, book, on_progress).run()


def result_path(out: Path, experiment: str, name: str) -> Path:
    """File of one row's result."""
    return out / f"{experiment}-{name}.json"


# ---------------------------------------------------------------------- the page


def draw_page(out: Path, page: Path) -> None:
    """Draws all plots of the results in `out`, and puts tables and plots into the page, between its markers.

    A page that is not there yet is made, of nothing but tables and plots.
    """
    text = page.read_text(encoding="utf-8") if page.is_file() else markdown.empty_page(SECTIONS)
    relative = Path(os.path.relpath(out, page.parent))
    sections = dict.fromkeys(SECTIONS, "Not run yet.")
    guessing = read_result(out / "table1.json")
    if guessing is not None:
        plots.plot_guessing(guessing, out / "table1.png")
        picture = f"![Chance of guessing a fresh route]({relative / 'table1.png'})"
        sections["table1"] = f"{markdown.guessing_table(guessing)}\n\n{picture}"
    for table in ("table2", "table3"):
        found = _read_rows(out, table)
        if found:
            sections[table] = _table_text(table, found)
    sweeps = _read_rows(out, "attacks")
    if sweeps:
        sections["attacks"] = markdown.sweep_text(sweeps, _draw_sweeps(out, relative, sweeps))
    write_atomic(page, markdown.replace_sections(text, sections).encode(), error_type=ExperimentError)


def _table_text(table: str, found: Mapping[str, Json]) -> str:
    papers = {name: (row.data, row.paper) for name, row in ROWS.items() if row.table == table}
    parts = [
        "Accuracy in percent:",
        markdown.accuracy_table(found, papers),
        "The attacks on the plain models; drops in points:",
        markdown.strike_table(found),
        "The rings:",
        markdown.ring_table(found),
        markdown.cost_table(found),
        markdown.run_table(found),
    ]
    return "\n\n".join(parts)


def _read_rows(out: Path, experiment: str) -> dict[str, Json]:
    """Results of an experiment by network, in the tables' order, others after them."""
    found = {}
    for path in sorted(out.glob(f"{experiment}-*.json")):
        result = read_result(path)
        if result is not None and result["parts"]:
            found[path.stem.removeprefix(f"{experiment}-")] = result
    order = [*(name for name in ROWS if name in found), *(name for name in found if name not in ROWS)]
    return {name: found[name] for name in order}


def _draw_sweeps(out: Path, relative: Path, sweeps: Mapping[str, Json]) -> dict[str, str]:
    drawers = {"importance": plots.plot_importance, "sigma": plots.plot_sigma, "bits": plots.plot_bits}
    drawn = {}
    for name, result in sweeps.items():
        for kind, draw in drawers.items():
            if kind in result["parts"]:
                file = f"{name}-{kind}.png"
                draw(name, result, out / file)
                drawn[f"{name}/{kind}"] = str(relative / file)
    return drawn
