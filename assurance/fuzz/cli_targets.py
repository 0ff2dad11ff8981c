"""What is typed: addresses, keys, anchors, URLs, numbers, whole command lines."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from functools import cache
from pathlib import Path
from unittest.mock import patch

from typer.main import get_command

from assurance.fuzz.codecs import Codec
from assurance.fuzz.fake_node import URL, without_network
from assurance.fuzz.protocol_targets import ADDRESS, DIGESTS, KEY
from assurance.fuzz.scratch import scratch
from assurance.fuzz.target import MEBI, Limits, Target, Violation
from deepring_chain.chain.connection import connect, shown_url
from deepring_chain.cli import app as deepring_app
from deepring_chain.cli import main as deepring_main
from deepring_chain.cli.audit import _parse_anchor, parse_ledger
from deepring_chain.cli.password import VARIABLE
from deepring_chain.cli.targets import find_target
from deepring_chain.crypto.sealing import public_bytes
from deepring_chain.errors import DeepRingError
from deepring_chain.ring.auditors import parse_auditor
from deepring_chain.store.content import ContentStore

COMMANDS = (
    *("status", "doctor", "trail", "answer", "query", "withdraw", "arrange", "fund", "report", "audit", "export"),
    *("admit-auditor", "perturb", "tamper"),
)
"""Those that end by themselves and change nothing without a ring."""


def _text(data: bytes) -> str:
    """As an argument of a program: no byte is zero."""
    return os.fsdecode(data.replace(b"\0", b""))


def _open_store(text: str) -> object:
    with without_network():
        return ContentStore(text).exists(DIGESTS[1])


def _connect(text: str) -> object:
    shown_url(text)
    with without_network():
        return connect(text, may_repeat=False)


def _find(text: str) -> object:
    return find_target(scratch("no-ring"), None, None, text, text, text, None)


VALUES: tuple[tuple[Callable[[str], object], str], ...] = (
    (parse_ledger, ADDRESS),
    (_parse_anchor, f"1234:0x{'ab' * 32}"),
    (parse_auditor, public_bytes(KEY).hex()),
    (_open_store, f"memory://store/{ADDRESS}"),
    (_open_store, "/dev/shm/nothing-here"),  # noqa: S108 - nothing is written
    (_connect, "https://name:word@node.example:8545/v3/0123456789abcdef0123?key=1"),
    (_find, URL),
)


def _value(data: bytes) -> object:
    parse, _ = VALUES[data[0] % len(VALUES) if data else 0]
    try:
        with _folder():
            return parse(_text(data[1:]))
    except DeepRingError as error:  # it quotes what was typed; the command makes one harmless line of it
        raise DeepRingError(type(error).__name__) from None


def _values() -> list[bytes]:
    """Valid, as far as a value can be without a node."""
    return [bytes([number]) + VALUES[number][1].encode() for number in range(5)]


@contextmanager
def _folder() -> Iterator[None]:
    """In an empty folder, for paths that name nothing."""
    before, place = Path.cwd(), scratch("empty")
    place.mkdir(exist_ok=True)
    os.chdir(place)
    try:
        yield
    finally:
        os.chdir(before)


def _command(data: bytes) -> None:
    """A command line, its words separated by zeros. It exits with 0, 1 or 2; an error is one line that is harmless.

    Nothing but folders of one's own is named: a path from the root up may be any file of the machine.
    """
    words = [os.fsdecode(word) for word in data.split(b"\0")]
    if words[0] not in COMMANDS or any(word.startswith(("/", "~")) for word in words):
        return
    out, err = io.StringIO(), io.StringIO()
    environment = {**os.environ, VARIABLE: "word", "COLUMNS": "80"}
    typed = patch.object(sys, "argv", ["deepring", *words])
    built = patch.object(deepring_app, "make_app", _made)
    with (
        _folder(),
        without_network(),
        redirect_stdout(out),
        redirect_stderr(err),
        typed,
        built,
        patch.dict(os.environ, environment),
    ):
        code = _exit_code()
    _check_end(code, err.getvalue())


_make_app = deepring_app.make_app


@cache
def _built(name: str) -> object:
    """A command, built once: that takes longer than all the rest."""
    return get_command(_make_app([name]))


def _made(names: Iterable[str]) -> object:
    """The app of the one command that is typed, which is always one of `COMMANDS`."""
    (name,) = names
    return _built(name)


def _exit_code() -> object:
    try:
        deepring_main.main()
    except SystemExit as ended:
        return ended.code or 0
    return 0


def _check_end(code: object, error: str) -> None:
    if code not in (0, 1, 2):
        raise Violation(f"exit code {code}")
    lines = error.splitlines()
    if code == 1 and lines and not lines[-1].startswith("error: "):
        raise Violation(f"ends with {lines[-1][:200]!r}")
    if code == 1 and any(not letter.isprintable() for letter in lines[-1] if lines):
        raise Violation(f"prints {lines[-1][:200]!r}")


def _commands() -> list[bytes]:
    words = [
        ["status", "--json"],
        ["status", "--rpc", URL, "--ledger", ADDRESS, "--store", "memory://a", "--first-block", "3", "--timeout", "5"],
        ["doctor", "--actor", "worker-1", "--deployment", "deployment.toml"],
        ["audit", "--rpc", URL, "--ledger", ADDRESS, "--store", "memory://a", "--first-block", "0"],
        ["audit", "--export", "history", "--store", "memory://a", "--anchor", f"7:0x{'ab' * 32}", "--resume", "state"],
        ["export", "file.gz", "--rpc", URL, "--ledger", ADDRESS, "--first-block", "1"],
        ["trail", "3", "--ring", "ring"],
        ["answer", "3", "--timeout", "1.5"],
        ["query", "image.png", "--json"],
        ["report", "1", "--out", "file.html"],
        ["admit-auditor", public_bytes(KEY).hex(), "--dismiss"],
        ["tamper", "worker-1", "--where", "file", "--bit", "3", "--seed", "1"],
        ["perturb", "worker-1", "--lie", "echo", "--noise", "3"],
    ]
    return ["\0".join(line).encode() for line in words]


WORDS = Codec(
    lambda data: [os.fsdecode(word) for word in data.split(b"\0")],
    lambda words: b"\0".join(os.fsencode(str(word).replace("\0", "")) for word in words),
)

LIMITS = Limits(seconds=6.0, memory=24 * MEBI, memory_per_byte=2048, longest=1024)

TARGETS = (
    Target("typed-value", _value, (DeepRingError,), _values, None, None, LIMITS, 4),
    Target("command-line", _command, (), _commands, None, WORDS, LIMITS, 1),
)
