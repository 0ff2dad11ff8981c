"""`deepring audit` on a scripted ring: what it prints, and how it ends."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from deepring_chain.actors.ring_folder import Deployment, RingFolder
from deepring_chain.cli.main import main
from deepring_chain.types import ComplaintKind
from tests.chain.ring_driver import named
from tests.chain.stored_ring import StoredRing, answer_one, open_client


@dataclass(frozen=True)
class Output:
    """What a command said and how it ended."""

    code: object
    stdout: str
    stderr: str


RunAudit = Callable[..., Output]


@pytest.fixture
def run_audit(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> RunAudit:
    """The command within this process, which takes a tenth of the time."""

    def run(*arguments: object) -> Output:
        monkeypatch.setattr("sys.argv", ["deepring", "audit", *(str(argument) for argument in arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        return Output(ended.value.code, *capsys.readouterr())

    return run


def options(stored: StoredRing) -> list[object]:
    ledger = stored.ring.ledger
    place = ["--rpc", ledger.url, "--ledger", ledger.address, "--first-block", ledger.first_block]
    return [*place, "--store", stored.folder]


def error_of(done: Output) -> str:
    assert done.code == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    return line


def test_honest_trail_passes_and_says_what_was_and_was_not_checked(run_audit: RunAudit, stored: StoredRing) -> None:
    answer_one(stored)
    stored.submit()
    done = run_audit(*options(stored))
    assert (done.code, done.stderr) == (0, "")
    lines = [line.strip() for line in done.stdout.splitlines()]
    assert lines[0].startswith(f"ledger {stored.ring.ledger.address}")
    # Three layers and the delivery are held to what the hop before expects.
    for part in ("4 UpdatePosted", "4 expected outputs (eq. 13)", "4 envelopes in the store"):
        assert part in lines
    assert "queries: 1 delivered; ring in mode query" in lines
    assert "waiting: query 2 (submitted, hop 0)" in lines
    assert any(line.startswith("not checked: ") and "(can be by the ouroboros" in line for line in lines)
    assert lines[-1] == "the audit passed"


def test_json_has_the_same(run_audit: RunAudit, stored: StoredRing) -> None:
    query = stored.submit().open_route().advance(1)
    query.complain(kind=ComplaintKind.ALTERED)
    query.judge()
    done = run_audit(*options(stored), "--json")
    assert done.code == 0
    report = json.loads(done.stdout)
    assert report["passed"] is True
    assert report["failure"] is None
    assert report["events"]["VerdictPosted"] == 1
    assert report["checks"]["VERDICT"] == 1
    assert report["blobs"]["COMPLAINT"] == 1
    assert report["open"] == [{"query": 1, "phase": "INTERRUPTED", "hop": 1}]
    assert all(item["what"] and item["who"] for item in report["not_checked"])


@pytest.mark.parametrize("as_json", [False, True])
def test_first_wrong_thing_is_one_error_line(run_audit: RunAudit, stored: StoredRing, as_json: bool) -> None:
    answer_one(stored)
    stored.file_of("envelope 1/1/2").unlink()
    done = run_audit(*options(stored), *(["--json"] if as_json else []))
    line = error_of(done)
    assert line.startswith("error: query 1, hop 2: UpdatePosted.signed.update.envelope is wrong: expected a blob 0x")
    assert "the audit passed" not in done.stdout
    if as_json:
        report = json.loads(done.stdout)
        assert report["passed"] is False
        assert report["failure"]["subject"] == "query 1, hop 2"


@pytest.fixture
def folder(stored: StoredRing, tmp_path: Path) -> Path:
    """Of a ring that is deployed where `stored` is."""
    client, ledger = open_client(stored), stored.ring.ledger
    block_hash = client.block_at(ledger.first_block).block_hash.hex()
    path = tmp_path / "ring"
    path.mkdir()
    RingFolder(path).save_deployment(
        Deployment(
            ledger.url, client.domain.chain_id, ledger.address, ledger.first_block, block_hash, str(stored.folder)
        )
    )
    return path


def test_ring_folder_says_where_the_ledger_is(run_audit: RunAudit, stored: StoredRing, folder: Path) -> None:
    answer_one(stored)
    assert run_audit("--ring", folder).stdout.rstrip().endswith("the audit passed")


def test_store_and_node_of_ones_choice_take_the_place_of_the_rings(
    run_audit: RunAudit, stored: StoredRing, folder: Path, tmp_path: Path
) -> None:
    assert "model version 1: ModelRegistered.card" in error_of(
        run_audit("--ring", folder, "--store", tmp_path / "an empty store")
    )
    assert "http://127.0.0.1:1" in error_of(run_audit("--ring", folder, "--rpc", "http://127.0.0.1:1"))
    assert run_audit("--ring", folder, "--rpc", stored.ring.ledger.url).code == 0


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"--ledger": None}, "give all four"),
        ({"--store": None}, "give all four"),
        ({"--rpc": None}, "give all four"),
        ({"--first-block": None}, "give all four"),
        ({"--ledger": "0x12"}, "--ledger 0x12: not an address"),
        ({"--ledger": f"0x{named('nobody')[:20].hex()}"}, "no contract at"),
        ({"--first-block": 10**9}, "no block 1000000000"),
    ],
)
def test_bad_option_is_one_error_line(
    run_audit: RunAudit, stored: StoredRing, changed: dict[str, object], message: str
) -> None:
    given = options(stored)
    values = {**dict(zip(given[::2], given[1::2], strict=True)), **changed}
    done = run_audit(*(part for name, value in values.items() if value is not None for part in (name, value)))
    assert message in error_of(done)
    assert done.stdout == ""
