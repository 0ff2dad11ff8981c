"""`brownie run` deploy, infer, audit and tamper, the console and `brownie test`, as a brownie user types them."""

from __future__ import annotations

import fcntl
import os
import re
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from deepring_chain.chain.devnet import Devnet
from deepring_chain.datasets.samples import load_mnist_samples
from deepring_chain.ring.folder import RingFolder
from tests.e2e.live_ring import PASSWORD, ROOT

Output = subprocess.CompletedProcess[str]


class Brownie:
    """Runs scripts on the node at one port, with a ring in one folder."""

    def __init__(self, port: int, ring: Path) -> None:
        unset = {"DEEPRING_PASSWORD_FILE", "DEEPRING_PASSWORD"}
        self.environment = {name: value for name, value in os.environ.items() if name not in unset}
        self.environment |= {"ANVIL_PORT": str(port), "DEEPRING_RING": str(ring), "DEEPRING_PASSWORD": PASSWORD}

    def run(self, *script: str, **environment: str | None) -> Output:
        return self.do("run", *script, typed="", **environment)

    def do(self, *arguments: str, typed: str, **environment: str | None) -> Output:
        """A brownie command to its end, with what is typed at its prompt."""
        changed = {**self.environment, **environment}
        given = {name: value for name, value in changed.items() if value is not None}
        with _brownie_to_itself():
            return subprocess.run(
                [ROOT / "tools/bin/brownie", *arguments],
                cwd=ROOT,
                env=given,
                input=typed,
                capture_output=True,
                text=True,
                check=False,
            )


@contextmanager
def _brownie_to_itself() -> Iterator[None]:
    """Brownie's build folder is shared by all runs, and it writes there without a lock."""
    path = ROOT / "build" / "brownie.lock"
    path.parent.mkdir(exist_ok=True)
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.fixture
def brownie(tmp_path: Path) -> Brownie:
    """On a port where nothing runs: brownie starts its own node for each command."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return Brownie(probe.getsockname()[1], tmp_path / "ring")


@pytest.fixture
def attached(tmp_path: Path) -> Iterator[Brownie]:
    """On a node that runs already."""
    with Devnet() as devnet:
        yield Brownie(devnet.port, tmp_path / "ring")


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Brownie]:
    """On a node that runs already, with a ring on it, for tests that leave both as they were."""
    with Devnet() as devnet:
        brownie = Brownie(devnet.port, tmp_path_factory.mktemp("deployed") / "ring")
        succeeded(brownie.run("deploy"))
        yield brownie


def succeeded(done: Output) -> str:
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    return done.stdout


def failed(done: Output) -> str:
    """The one line of a failure."""
    assert done.returncode == 1, done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    (line,) = [line for line in done.stderr.splitlines() if "error" in line.lower()]
    return line


def expected_labels(count: int) -> str:
    return " ".join(str(label) for label in load_mnist_samples().labels[:count])


def test_infer_alone_deploys_on_the_node_that_brownie_starts(brownie: Brownie) -> None:
    said = succeeded(brownie.run("infer"))
    assert f"predictions: {expected_labels(10)}" in said
    assert "accuracy: 100.0% (10 of 10)" in said
    assert re.search(r"^gas: [\d,]+$", said, re.MULTILINE)
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", int(brownie.environment["ANVIL_PORT"]))) != 0


def test_deploy_infer_infer_and_audit_on_a_running_node(attached: Brownie) -> None:
    said = succeeded(attached.run("deploy"))
    ledger = RingFolder(Path(attached.environment["DEEPRING_RING"])).load_deployment().ledger
    assert f"ledger {ledger}" in said
    said = succeeded(attached.run("infer", "main", "20"))
    assert "query 1\n" in said
    assert f"predictions: {expected_labels(20)}" in said
    assert "query 2\n" in succeeded(attached.run("infer"))
    said = succeeded(attached.run("audit"))
    assert f"ledger {ledger}" in said
    assert re.search(r"^ +2 AnswerDelivered$", said, re.MULTILINE)
    assert said.rstrip().endswith("the audit passed")


def test_audit_of_a_damaged_store_fails_and_names_the_blob(deployed: Brownie) -> None:
    folder = RingFolder(Path(deployed.environment["DEEPRING_RING"]))
    (blob,) = [path for path in (folder.path / "store").rglob("*") if path.is_file()]
    sound = blob.read_bytes()
    blob.write_bytes(sound + b"x")
    assert blob.name[:8] in failed(deployed.run("audit"))
    blob.write_bytes(sound)


def test_audit_on_a_chain_without_the_ring_says_so(brownie: Brownie) -> None:
    assert "`brownie run deploy` puts it there" in failed(brownie.run("audit"))


def test_missing_password_is_one_line(brownie: Brownie) -> None:
    assert "no password: set DEEPRING_PASSWORD" in failed(brownie.run("infer", DEEPRING_PASSWORD=None))


def test_wrong_password_and_wrong_count_are_one_line(deployed: Brownie) -> None:
    assert "wrong password" in failed(deployed.run("deploy", DEEPRING_PASSWORD="other"))
    assert "wrong password" in failed(deployed.run("infer", DEEPRING_PASSWORD="other"))
    assert "1 to 1000" in failed(deployed.run("infer", "main", "many"))


def test_tamper_shows_the_whole_story_and_the_same_answer(attached: Brownie) -> None:
    said = succeeded(attached.run("tamper"))
    told = re.findall(r"^(tampered|block found|restored|same answer as before): ?(.*)$", said, re.MULTILINE)
    assert [what for what, _ in told] == ["tampered", "block found", "restored", "same answer as before"]
    assert told[-1][1] == expected_labels(10)
    states = re.findall(r"authenticity (ON|OFF)$", said, re.MULTILINE)
    assert "OFF" in states
    assert states[-1] == "ON"


def test_console_knows_the_ledger_and_outlives_an_error(attached: Brownie) -> None:
    """The lines of the README's section, and one that fails."""
    succeeded(attached.run("deploy"))
    ledger = RingFolder(Path(attached.environment["DEEPRING_RING"])).load_deployment().ledger
    lines = [
        "print('ledgers', len(Ledger), Ledger[-1].address)",
        "print('mode', Ledger[-1].mode())",
        'run("infer", "main", ["many"])',
        'run("infer", "main", ["20"])',
        "print('mode', Ledger[-1].mode())",
        'run("audit")',
    ]
    done = attached.do("console", typed="\n".join(lines) + "\n")
    said = succeeded(done)
    assert f"ledgers 1 {ledger}" in said
    before, after = re.findall(r"\bmode (\d)", said)
    assert before == "0"
    assert after in {"1", "2"}, "the ring is arranged anew after each query"
    assert f"predictions: {expected_labels(20)}" in said
    assert "the audit passed" in said
    (error,) = [line for line in done.stderr.splitlines() if "error" in line.lower()]
    assert "1 to 1000" in error


def test_console_on_another_node_does_not_know_a_ledger_of_this_one(deployed: Brownie) -> None:
    with Devnet() as other:
        said = succeeded(deployed.do("console", typed="print('ledgers', len(Ledger))\n", ANVIL_PORT=str(other.port)))
    assert "ledgers 0" in said


def test_brownie_test_says_what_to_run_instead(brownie: Brownie) -> None:
    assert "make test" in failed(brownie.do("test", typed=""))
