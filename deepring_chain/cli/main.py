"""Entry point of the `deepring` command. It imports nothing heavy before Ctrl-C is taken care of."""

from __future__ import annotations

import signal
import sys

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""


def main() -> None:
    """Run the command. An error is one line on standard error and exit code 1; wrong usage exits with 2."""
    try:
        _run()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        # The reader of a pipe, such as `head`, has seen enough.
        sys.stderr.close()
        sys.exit(0)


def _run() -> None:
    """Import the command that was typed, during which Ctrl-C ends the process at once, and run it.

    Raised amid an import, KeyboardInterrupt may be swallowed or turned into another error by a library.
    """
    is_default = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if is_default:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        from deepring_chain.cli.app import app_for, run_app  # noqa: PLC0415 - takes half a second

        app = app_for(sys.argv[1:])  # takes a second or more
    finally:
        if is_default:
            signal.signal(signal.SIGINT, signal.default_int_handler)
    run_app(app)
