"""Become another program that the kernel kills when the process that started it dies, even by kill -9 (Linux).

Run as `python -I -S _die_with_parent.py PARENT_PID PROGRAM ARGS...`. The request is made in the child, before exec, by
this script and not by a `preexec_fn`: running Python between fork and exec can deadlock a parent with threads.
Elsewhere than on Linux it only becomes the program.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # prctl(2); kept across exec


def main() -> None:
    """Ask for SIGKILL at the parent's death, then exec the program in `sys.argv`."""
    parent, program = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before the request
            sys.exit(1)
    try:
        os.execv(program[0], program)  # noqa: S606 - no shell is wanted
    except OSError as error:
        sys.exit(f"cannot run {program[0]}: {error}")


if __name__ == "__main__":
    main()
