"""A full disk, and what stands in for it where none can be mounted."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from assurance.faults.disk import NAMESPACE, Disk, allow_writing, forbid_writing
from tests.e2e.live_ring import ROOT

WRITER = """
import sys
for line in sys.stdin:
    try:
        with open(sys.argv[1], "ab") as file:
            file.write(b"x")
        print("written", flush=True)
    except OSError as error:
        print(error.strerror, flush=True)
"""


def test_without_a_namespace_the_disk_says_why_it_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(NAMESPACE, raising=False)
    with Disk(tmp_path / "disk") as disk:
        assert disk.reason == "this system allows no mount namespace"


def test_mount_that_is_refused_is_told_in_the_systems_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(NAMESPACE, "1")
    with Disk(tmp_path / "disk", megabytes=-1) as disk:
        assert "mount" in disk.reason


def test_forbidden_process_can_write_nothing_until_it_is_allowed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WRITER, str(tmp_path / "file")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdin is not None
        assert writer.stdout is not None
        said = []
        for change in (allow_writing, forbid_writing, allow_writing):
            change([writer.pid])
            writer.stdin.write("\n")
            writer.stdin.flush()
            said.append(writer.stdout.readline().strip())
        writer.stdin.close()
    assert said == ["written", "File too large", "written"]


def test_disk_of_its_own_is_filled_and_emptied_where_the_system_allows_one(tmp_path: Path) -> None:
    module = tmp_path / "filler.py"
    module.write_text(
        "from pathlib import Path\n"
        "from assurance.faults.disk import Disk, enter_namespace\n"
        "enter_namespace('filler')\n"
        f"with Disk(Path({str(tmp_path / 'disk')!r}), 2) as disk:\n"
        "    if disk.reason:\n"
        "        print('none:', disk.reason)\n"
        "    else:\n"
        "        print(disk.fill())\n"
        f"        place = Path({str(tmp_path / 'disk' / 'more')!r})\n"
        "        try:\n"
        "            place.write_bytes(bytes(4096))\n"
        "        except OSError as error:\n"
        "            print(error.strerror)\n"
        "        disk.free()\n"
        "        print(place.write_bytes(bytes(4096)))\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(tmp_path)])}
    command = [sys.executable, "-m", "filler"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    if not lines[0].startswith("none:"):
        assert 2**20 < int(lines[0]) <= 2**21
        assert lines[1:] == ["No space left on device", "4096"]
