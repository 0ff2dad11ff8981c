"""The commands of `deepring`; importing them takes seconds."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Annotated, Any

import typer

from deepring_chain import __version__
from deepring_chain.cli.audit import audit
from deepring_chain.cli.auditors import admit_auditor, auditor_key
from deepring_chain.cli.console import errors_as_one_line, print_line
from deepring_chain.cli.control import arrange, fund, withdraw
from deepring_chain.cli.demo import demo
from deepring_chain.cli.doctor import doctor
from deepring_chain.cli.experiment import app as experiment_app
from deepring_chain.cli.explorer import explorer
from deepring_chain.cli.export import export
from deepring_chain.cli.init import init
from deepring_chain.cli.lab import kill, perturb, tamper
from deepring_chain.cli.query import answer, query
from deepring_chain.cli.report import report
from deepring_chain.cli.run import run
from deepring_chain.cli.status import status
from deepring_chain.cli.trail import trail
from deepring_chain.cli.training import quantise_network, train_network
from deepring_chain.cli.up import up

app = typer.Typer(
    name="deepring",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Deep-learning inference whose every step is on a tamper-evident public record.",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print_line(f"deepring {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Deep-learning inference whose every step is on a tamper-evident public record."""


def _help(command: Callable[..., Any]) -> str:
    """What a command's docstring says, each paragraph in one line, which the help page breaks where it needs to."""
    return "\n\n".join(" ".join(part.split()) for part in inspect.getdoc(command).split("\n\n"))  # type: ignore[union-attr]


for command in (
    demo,
    init,
    up,
    query,
    answer,
    withdraw,
    status,
    doctor,
    trail,
    explorer,
    report,
    audit,
    export,
    auditor_key,
    admit_auditor,
    arrange,
    fund,
    run,
    tamper,
    perturb,
    kill,
):
    app.command(help=_help(command))(command)
app.add_typer(experiment_app, name="experiment")
app.command("train", help=_help(train_network))(train_network)
app.command("quantise", help=_help(quantise_network))(quantise_network)


def run_command() -> None:
    """Run the command that was typed. An error is one line on standard error and exit code 1."""
    with errors_as_one_line():
        app()
