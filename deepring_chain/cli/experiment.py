"""`deepring experiment`: the paper's tables and the attacks' curves, measured; docs/experiments.md shows them."""

from __future__ import annotations

import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated, NoReturn

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from deepring_chain.cli.arguments import check_out_folder
from deepring_chain.cli.console import ERR, print_line
from deepring_chain.experiments.lab_ring import RingSettings
from deepring_chain.experiments.passes import PassSettings
from deepring_chain.experiments.passes import Progress as OnProgress
from deepring_chain.experiments.rows import IMPORTANCE_STEPS, PARTS, ROWS, PlainSettings
from deepring_chain.experiments.run import (
    Folders,
    RowJob,
    check_parts,
    choose_rows,
    draw_page,
    run_rows,
    run_sweeps,
    run_table1,
)
from deepring_chain.experiments.smoke import run_smoke
from deepring_chain.experiments.sweeps import SweepSettings

app = typer.Typer(
    no_args_is_help=True, help="Measure the paper's tables and the attacks, and draw docs/experiments.md from them."
)

PLAIN, PASSING, SWEEP = PlainSettings(), PassSettings(), SweepSettings()

DataOption = Annotated[Path, typer.Option(help="Folder with the data sets' files as they are published.")]
ModelsOption = Annotated[Path, typer.Option(help="Folder with NAME.float.safetensors, as `deepring train` writes it.")]
OutOption = Annotated[Path, typer.Option(help="Folder for results and plots.")]
PageOption = Annotated[Path, typer.Option(help="Page whose tables are written between its markers.")]
WorkOption = Annotated[Path, typer.Option(help="Folder for rings while they run, and what is kept between runs.")]
SeedOption = Annotated[int, typer.Option(min=0, help="Seed of everything random but keys and salts.")]
OnlyOption = Annotated[list[str] | None, typer.Option(help="Network to run, may be repeated; all by default.")]

PartOption = Annotated[list[str] | None, typer.Option(help=f"Part to run, may be repeated: {', '.join(PARTS)}.")]
ImagesOption = Annotated[int | None, typer.Option(min=1, help="Only the first so many test images.")]
FloatOption = Annotated[int | None, typer.Option(min=1, help="Only so many for the attacked float model.")]
BatchOption = Annotated[int, typer.Option(min=1, help="Images per query.")]
EveryOption = Annotated[int, typer.Option(min=1, help="An attack at every so many queries.")]
ThreadsOption = Annotated[int, typer.Option(min=1, help="CPU threads of each worker.")]
HopOption = Annotated[int, typer.Option(min=1, help="Deadline of a hop, in seconds.")]
StepsOption = Annotated[int, typer.Option(min=1, help="Steps of Algorithm 1's training of the importances.")]
AgainOption = Annotated[bool, typer.Option("--again", help="Run parts anew that are there already.")]

MODELS, OUT_FOLDER, WORK = Path("out/models"), Path("docs/experiments"), Path("out/experiments")
PAGE = Path("docs/experiments.md")


@app.command()
def table1(
    trials: Annotated[int, typer.Option(min=1, help="Fresh rings for each number of layers.")] = 1_000_000,
    seed: SeedOption = 1,
    out: OutOption = OUT_FOLDER,
    page: PageOption = PAGE,
) -> None:
    """Table 1: guess fresh routes blind, and count."""
    check_out_folder(out, "--out", out, makes_folder=True)
    command = f"deepring experiment table1 --trials {trials} --seed {seed}"
    with _progress() as show:
        run_table1(out, trials, seed, command, show)
    _draw(out, page)


@app.command()
def table2(
    data: DataOption,
    models: ModelsOption = MODELS,
    only: OnlyOption = None,
    part: PartOption = None,
    images: ImagesOption = None,
    float_images: FloatOption = None,
    batch: BatchOption = PASSING.batch,
    every: EveryOption = PASSING.every,
    threads: ThreadsOption = PASSING.ring.threads,
    hop_seconds: HopOption = PASSING.ring.hop_seconds,
    importance_steps: StepsOption = PLAIN.importance_steps,
    seed: SeedOption = PLAIN.seed,
    out: OutOption = OUT_FOLDER,
    page: PageOption = PAGE,
    work: WorkOption = WORK,
    again: AgainOption = False,
) -> None:
    """Table 2: VGG-19, plain and in a ring, under the paper's attacks. Takes up what an earlier run has done."""
    _run_table("table2", **locals())


@app.command()
def table3(
    data: DataOption,
    models: ModelsOption = MODELS,
    only: OnlyOption = None,
    part: PartOption = None,
    images: ImagesOption = None,
    float_images: FloatOption = None,
    batch: BatchOption = 200,
    every: EveryOption = 2,
    threads: ThreadsOption = 1,
    hop_seconds: HopOption = PASSING.ring.hop_seconds,
    importance_steps: StepsOption = IMPORTANCE_STEPS["table3"],
    seed: SeedOption = PLAIN.seed,
    out: OutOption = OUT_FOLDER,
    page: PageOption = PAGE,
    work: WorkOption = WORK,
    again: AgainOption = False,
) -> None:
    """Table 3: the dense network, plain and in a ring, under the paper's attacks. Takes up what was done before."""
    _run_table("table3", **locals())


def _run_table(
    table: str,
    data: Path,
    models: Path,
    only: list[str] | None,
    part: list[str] | None,
    images: int | None,
    float_images: int | None,
    batch: int,
    every: int,
    threads: int,
    hop_seconds: int,
    importance_steps: int,
    seed: int,
    out: Path,
    page: Path,
    work: Path,
    again: bool,
) -> None:
    check_out_folder(out, "--out", out, makes_folder=True)
    names, parts = choose_rows(table, only or []), check_parts(part or [])
    passing = PassSettings(batch, every, RingSettings(threads, hop_seconds))
    limits = f" --images {images}" if images else ""
    limits += f" --float-images {float_images}" if float_images else ""
    command = f"deepring experiment {table} --data DATA --batch {batch} --every {every} --threads {threads}"
    command += f" --importance-steps {importance_steps} --seed {seed}{limits}"
    settings = PlainSettings(seed=seed, float_images=float_images, importance_steps=importance_steps)
    job = RowJob(settings, passing, parts, command, again)
    with _ended_by_sigterm(), _progress() as show:
        for _ in run_rows(names, Folders(data, models, out, work), images, job, show):
            draw_page(out, page)
    _draw(out, page)


@app.command()
def attacks(
    data: DataOption,
    models: ModelsOption = MODELS,
    only: Annotated[list[str] | None, typer.Option(help=f"Network, may be repeated: {', '.join(ROWS)}.")] = None,
    images: Annotated[int, typer.Option(min=1, help="Test images that accuracies are measured on.")] = 1000,
    flips: Annotated[int, typer.Option(min=1, help="Flips of the progressive search.")] = SWEEP.flips,
    seed: SeedOption = SWEEP.seed,
    out: OutOption = OUT_FOLDER,
    page: PageOption = PAGE,
    work: WorkOption = WORK,
) -> None:
    """Curves of the plain models: accuracy against sigma and against flipped bits, importance of each layer."""
    check_out_folder(out, "--out", out, makes_folder=True)
    command = f"deepring experiment attacks --data DATA --images {images} --flips {flips} --seed {seed}"
    with _ended_by_sigterm(), _progress() as show:
        settings = SweepSettings(seed=seed, flips=flips)
        run_sweeps(only or [], Folders(data, models, out, work), images, settings, command, show)
    _draw(out, page)


@app.command("page")
def redraw(out: OutOption = OUT_FOLDER, page: PageOption = PAGE) -> None:
    """Write tables and plots anew from the results that are there."""
    _draw(out, page)


@app.command()
def smoke(
    out: Annotated[
        Path | None, typer.Option(help="Folder for page, results and plots; by default none is kept.")
    ] = None,
) -> None:
    """Run every experiment small, on the shipped network and a tiny convolutional one; needs no data."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="deepring-smoke-") as scratch, _ended_by_sigterm(), _progress() as show:
        checks = run_smoke(out or Path(scratch) / "out", Path(scratch) / "work", show)
    for check in checks:
        print_line(check)
    print_line(f"all experiments run in {time.monotonic() - started:.0f} s")


def _draw(out: Path, page: Path) -> None:
    draw_page(out, page)
    print_line(f"results and plots: {out}; page: {page}")


@contextmanager
def _progress() -> Iterator[OnProgress]:
    """Shows what is done now, and a line for each thing that was done when nobody looks at a terminal."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=ERR) as progress:
        task = progress.add_task("")
        last = ""

        def show(what: str, done: int, whole: int) -> None:
            nonlocal last
            if what != last:
                progress.reset(task)
                if not ERR.is_terminal:
                    ERR.print(f"  {time.strftime('%H:%M:%S')} {what}", markup=False, soft_wrap=True)
            last = what
            progress.update(task, description=what, completed=done, total=whole)

        yield show


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """SIGTERM ends the block like Ctrl-C: every process that it started is stopped."""

    def interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
