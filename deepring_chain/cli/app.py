"""The commands of `deepring`; the module of a command is imported when it is typed, which takes a second or more."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import import_module
from typing import Annotated, Any

import typer

from deepring_chain import __version__
from deepring_chain.cli.console import errors_as_one_line, print_line

COMMANDS: Mapping[str, tuple[str, str]] = {
    "demo": ("demo", "demo"),
    "init": ("init", "init"),
    "up": ("up", "up"),
    "query": ("query", "query"),
    "answer": ("query", "answer"),
    "withdraw": ("control", "withdraw"),
    "status": ("status", "status"),
    "doctor": ("doctor", "doctor"),
    "trail": ("trail", "trail"),
    "explorer": ("explorer", "explorer"),
    "report": ("report", "report"),
    "audit": ("audit", "audit"),
    "export": ("export", "export"),
    "auditor-key": ("auditors", "auditor_key"),
    "admit-auditor": ("auditors", "admit_auditor"),
    "arrange": ("control", "arrange"),
    "fund": ("control", "fund"),
    "run": ("run", "run"),
    "tamper": ("lab", "tamper"),
    "perturb": ("lab", "perturb"),
    "kill": ("lab", "kill"),
    "train": ("training", "train_network"),
    "quantise": ("training", "quantise_network"),
    "experiment": ("experiment", "app"),
}
"""Module in this package, and function or group in it, of each command, in the help page's order."""


def _print_version(wanted: bool) -> None:
    if wanted:
        print_line(f"deepring {__version__}")
        raise typer.Exit


def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Deep-learning inference whose every step is on a tamper-evident public record."""


def _help(command: Callable[..., Any]) -> str:
    """What a command's docstring says, each paragraph in one line, which the help page breaks where it needs to."""
    return "\n\n".join(" ".join(part.split()) for part in inspect.getdoc(command).split("\n\n"))  # type: ignore[union-attr]


def make_app(names: Iterable[str] = COMMANDS) -> typer.Typer:
    """Import the named commands and return an app of them."""
    app = typer.Typer(
        name="deepring",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        help="Deep-learning inference whose every step is on a tamper-evident public record.",
    )
    app.callback()(_options)
    for name in names:
        module, attribute = COMMANDS[name]
        command = getattr(import_module(f"deepring_chain.cli.{module}"), attribute)
        if isinstance(command, typer.Typer):
            app.add_typer(command, name=name)
        else:
            app.command(name, help=_help(command))(command)
    return app


def app_for(arguments: Sequence[str]) -> typer.Typer:
    """Return an app with the command that is typed; with all of them, for the help page or an error, if none is."""
    typed = arguments[:1]
    return make_app(typed if typed and typed[0] in COMMANDS else COMMANDS)


def run_app(app: typer.Typer) -> None:
    """Run the command that was typed. An error is one line on standard error and exit code 1."""
    with errors_as_one_line():
        app()
