"""Where the password of the key files comes from: a file, the environment, or a prompt; never the command line."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import typer

from deepring_chain.errors import ConfigError

FILE_VARIABLE = "DEEPRING_PASSWORD_FILE"
VARIABLE = "DEEPRING_PASSWORD"
MAX_FILE_BYTES = 4096


def read_password(*, confirm: bool = False, may_ask: bool = True) -> str:
    """The password.

    Args:
        confirm: ask twice, for new keys.
        may_ask: ask in a terminal if the environment has none.

    Raises:
        ConfigError: there is none, or the file cannot be read.
    """
    password = _from_environment()
    if password is None:
        if not may_ask:
            raise ConfigError(f"no password: set {FILE_VARIABLE} or {VARIABLE}")
        if not sys.stdin.isatty():
            raise ConfigError(f"no password: set {FILE_VARIABLE} or {VARIABLE}, or run in a terminal")
        password = typer.prompt("Password of the key files", hide_input=True, confirmation_prompt=confirm, err=True)
    if not password:
        raise ConfigError("the password is empty; choose one")
    try:
        password.encode()
    except UnicodeEncodeError:
        raise ConfigError("the password is no UTF-8 text; choose another") from None
    return str(password)


def _from_environment() -> str | None:
    path = os.environ.get(FILE_VARIABLE)
    if path is None:
        return os.environ.get(VARIABLE)
    try:
        with Path(path).open("rb") as file:
            found = file.read(MAX_FILE_BYTES + 1)
        if len(found) > MAX_FILE_BYTES:
            raise ConfigError(f"{path}: the password file of {FILE_VARIABLE} is larger than {MAX_FILE_BYTES} bytes")
        return found.decode().rstrip("\r\n")
    except (OSError, UnicodeDecodeError):
        raise ConfigError(f"{path}: the password file of {FILE_VARIABLE} cannot be read") from None
