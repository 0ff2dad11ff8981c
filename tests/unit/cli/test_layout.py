"""On 80 columns no line is too long, nothing is cut, no word is broken; in a pipe nothing is wrapped at all."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import typer.main
from rich.console import Console
from typer.testing import CliRunner

from deepring_chain.actors.querent import QueryResult
from deepring_chain.cli import console, status, tables
from deepring_chain.cli.app import make_app
from deepring_chain.cli.console import PIPE_WIDTH, print_line, print_step_with_command
from deepring_chain.cli.query import print_result
from deepring_chain.cli.tables import Sheet, print_sheet
from deepring_chain.cli.timing import timing_sheet
from deepring_chain.cli.trail import print_trail
from deepring_chain.follow.history import HistoryEntry
from deepring_chain.health.timings import Timed, Turn
from deepring_chain.model.checkpoint import shipped_model
from deepring_chain.types import Attempt, Digest, Hop, OutputCommitment, QueryId, TensorBytes
from tests.explorer.scripted import NAMES, entries_of, ring
from tests.unit.health.test_diagnose import well

WIDTH = 80
HASH = "4c2203ac" * 8
LIE = OutputCommitment(Digest(bytes(range(32))))
LONG_NAMES = {address: f"{name}-standby-1" for address, name in NAMES.items()}


def commands(command: Any, *path: str) -> Iterator[tuple[str, ...]]:
    """The command's name and those of all commands within it."""
    yield path
    for name, inner in getattr(command, "commands", {}).items():
        yield from commands(inner, *path, name)


APP = make_app()
PAGES = list(commands(typer.main.get_command(APP)))


@cache
def page(path: tuple[str, ...], columns: int) -> str:
    shown = CliRunner().invoke(APP, [*path, "--help"], env={"COLUMNS": str(columns), "NO_COLOR": "1"})
    assert shown.exit_code == 0, shown.output
    return re.sub(r"\x1b\[[0-9;]*m", "", shown.output)


def words(text: str) -> set[str]:
    return set(re.sub("[\u2500-\u257f]", " ", text).split())


@pytest.mark.parametrize("path", PAGES, ids=lambda path: " ".join(path) or "deepring")
def test_help_page_fits_and_breaks_no_word(path: tuple[str, ...]) -> None:
    narrow = page(path, WIDTH)
    assert max(map(len, narrow.splitlines())) <= WIDTH
    assert "\u2026" not in narrow
    assert words(narrow) <= words(page(path, 1000))


@pytest.mark.parametrize("path", PAGES, ids=lambda path: " ".join(path) or "deepring")
def test_paragraph_of_a_help_page_breaks_only_where_it_must(path: tuple[str, ...]) -> None:
    """The next line's first word did not fit: a docstring's own line ends are not the page's."""
    text, _, _ = page(path, WIDTH).partition("\u256d")
    for paragraph in re.split(r"\n\s*\n", text):
        lines = paragraph.strip().splitlines()
        for line, after in itertools.pairwise(lines):
            assert len(line.strip()) + 1 + len(after.split()[0]) > WIDTH - 2


COMMAND = "deepring answer 1 --ring /home/somebody/experiments/the-ring-of-tuesday"


@pytest.mark.parametrize("width", [WIDTH, PIPE_WIDTH])
def test_command_to_copy_is_never_broken(
    width: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console, "ERR", Console(stderr=True, highlight=False, width=width))
    print_step_with_command("query 1 is on the ledger; to read its answer later:", COMMAND)
    console.print_error(f"/home/somebody/experiments: nothing is deployed; run `{COMMAND}` first")
    assert capsys.readouterr().err.count(COMMAND) == 2


def history() -> list[HistoryEntry]:
    """A query with a dispute, a verdict, a timeout and an answer."""
    script = ring()
    script.submit().open_route().post().post().contradict(LIE).judge(receiver=True)
    script.submit().open_route().post_run(2).time_out().reopen(2).post_run(2)
    return [entry for entry, _ in entries_of(script.calls)]


def turns() -> list[Timed]:
    """Three turns that took long."""
    phases = dict.fromkeys(("open", "compute", "seal", "store", "post"), 123.4567)
    return [
        Timed(Turn("worker-3-standby-1", QueryId(1), Attempt(1), Hop(hop), 0.0, 1234.5, phases), 123.4)
        for hop in range(3)
    ]


def answers() -> QueryResult:
    """Ten classes of ten images."""
    card = shipped_model().card
    return QueryResult(QueryId(1), TensorBytes("int32", (1, 10), bytes(40)), np.arange(10), np.eye(len(card.classes)))


def show_answers() -> None:
    names = [f"{HASH[:9]}-{number}.png" for number in range(10)]
    print_result(answers(), shipped_model().card, names)


SHOWN: dict[str, Any] = {
    "trail": lambda: print_trail(history(), NAMES),
    "trail of standbys": lambda: print_trail(history(), LONG_NAMES),
    "timing": lambda: print_sheet(timing_sheet(QueryId(1), turns())),
    "status": lambda: status.print_status(well()),
    "answers": show_answers,
    "remark": lambda: print_line(f"remark: blob {HASH} is somewhere else than block 12 (0x{HASH}) says that it is"),
}


def shown(show: Any, capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    show()
    return re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)


@pytest.mark.parametrize("what", SHOWN)
def test_output_on_a_terminal_fits_and_breaks_no_word(
    what: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = shown(SHOWN[what], capsys)
    for module in (console, tables):
        monkeypatch.setattr(module, "OUT", Console(highlight=False, width=WIDTH))
    narrow = shown(SHOWN[what], capsys)
    assert max(map(len, narrow.splitlines())) <= WIDTH
    assert "\u2026" not in narrow
    told = re.sub(r"no room for: .* shows all", "", " ".join(narrow.split()))
    assert words(told) <= words(whole)


@pytest.mark.parametrize("what", SHOWN)
def test_output_in_a_pipe_is_whole(what: str, capsys: pytest.CaptureFixture[str]) -> None:
    whole = shown(SHOWN[what], capsys)
    assert console.OUT.width == PIPE_WIDTH
    assert "\u2026" not in whole
    assert "no room" not in whole
    assert not any(line.endswith(" ") for line in whole.splitlines())


def test_remark_in_a_pipe_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(SHOWN["remark"], capsys).count("\n") == 1


def test_columns_are_left_out_in_turn_until_the_rest_fits(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    sheet = Sheet(("a", "b", "c"), [("1" * 30, "2" * 30, "3" * 30)], spare=("b", "a"))
    assert shown(lambda: print_sheet(sheet), capsys).count("2" * 30) == 1
    monkeypatch.setattr(tables, "OUT", Console(width=WIDTH))
    narrow = shown(lambda: print_sheet(sheet), capsys)
    assert ("1" * 30 in narrow, "2" * 30 in narrow, "3" * 30 in narrow) == (True, False, True)
    assert "no room for: b; a wider window or a pipe shows all" in " ".join(narrow.split())


@pytest.mark.parametrize(("skew", "told"), [(-0.3, "+0 s"), (0.3, "+0 s"), (-3.2, "-3 s")])
def test_clock_that_is_right_is_not_told_as_minus_nothing(skew: float, told: str) -> None:
    seen = well()
    assert seen.node is not None
    node = replace(seen.node, pending_time=1000, head_time=1000)
    assert any(told in line for line in status._node(replace(seen, node=node, taken_at=1000 - skew)))
