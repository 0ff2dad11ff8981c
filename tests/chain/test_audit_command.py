"""`deepring audit` on a scripted ring: what it prints, and how it ends."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from deepring_chain.cli.main import main
from deepring_chain.ring.folder import Deployment, RingFolder
from deepring_chain.types import ComplaintKind
from tests.chain.recorded import export_of, read_lines, write_lines
from tests.chain.ring_driver import named
from tests.chain.stored_ring import StoredRing, answer_one, open_client


@dataclass(frozen=True)
class Output:
    """What a command said and how it ended."""

    code: object
    stdout: str
    stderr: str


RunCommand = Callable[..., Output]
RunAudit = Callable[..., Output]


@pytest.fixture
def run_command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> RunCommand:
    """A command within this process, which takes a tenth of the time."""

    def run(*arguments: object) -> Output:
        monkeypatch.setattr("sys.argv", ["deepring", *(str(argument) for argument in arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        return Output(ended.value.code, *capsys.readouterr())

    return run


@pytest.fixture
def run_audit(run_command: RunCommand) -> RunAudit:
    """`deepring audit`."""
    return lambda *arguments: run_command("audit", *arguments)


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
    (tmp_path / "an empty store").mkdir()
    assert "model version 1: ModelRegistered.card" in error_of(
        run_audit("--ring", folder, "--store", tmp_path / "an empty store")
    )
    assert "there is no store at" in error_of(run_audit("--ring", folder, "--store", tmp_path / "nowhere"))
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
    run_audit: RunAudit, stored: StoredRing, changed: dict[object, object], message: str
) -> None:
    given = options(stored)
    values: dict[object, object] = {**dict(zip(given[::2], given[1::2], strict=True)), **changed}
    done = run_audit(*(part for name, value in values.items() if value is not None for part in (name, value)))
    assert message in error_of(done)
    assert done.stdout == ""


# ---------------------------------------------------------------------- exports, progress, anchors, keys
@pytest.fixture
def history(stored: StoredRing, tmp_path: Path) -> Path:
    """An export of a ring that answered a query."""
    answer_one(stored)
    return export_of(stored, tmp_path / "history.jsonl.gz")


def test_export_command_writes_what_the_audit_reads_without_a_node(
    stored: StoredRing, folder: Path, run_command: RunCommand, tmp_path: Path
) -> None:
    answer_one(stored)
    file = tmp_path / "history"
    done = run_command("export", file, "--ring", folder)
    assert (done.code, done.stderr) == (0, "")
    head = open_client(stored).head()
    assert f"0x{head.block_hash.hex()}" in done.stdout
    audited = run_command("audit", "--export", file, "--store", stored.folder)
    assert audited.code == 0
    assert audited.stdout.rstrip().endswith("the audit passed")
    assert "the transaction that sent it" in audited.stdout
    assert run_command("audit", "--export", file, "--ring", folder).code == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--export", "nowhere"], "nowhere: no such file"),
        (["--export", "{file}", "--rpc", "http://127.0.0.1:1"], "leave them out"),
        (["--export", "{file}", "--first-block", "1"], "leave them out"),
        (["--export", "{file}", "--ledger", "0x12"], "not an address"),
        (["--export", "{file}", "--ledger", "0x" + "1" * 40], "not of 0x"),
        (["--export", "{file}", "--anchor", "1"], "not NUMBER:HASH"),
        (["--export", "{file}", "--anchor", "999999:0x" + "1" * 64], "not among those that were read"),
        (["--export", "{file}", "--resume", "{store}"], "is a folder; name the file to write"),
        (["--export", "{file}", "--model", "m.safetensors"], "with --evidence"),
        (["--export", "{file}", "--evidence", "nowhere"], "no such key file"),
        (["--export", "{store}"], "cannot be read"),
    ],
)
def test_bad_choice_is_one_error_line(
    stored: StoredRing,
    history: Path,
    run_audit: RunAudit,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.setenv("DEEPRING_PASSWORD", "x")
    given = [each.format(file=history, store=stored.folder) for each in arguments]
    done = run_audit(*given, "--store", stored.folder)
    assert message in error_of(done)
    assert done.stdout == ""


def test_trail_cut_short_fails(stored: StoredRing, history: Path, run_audit: RunAudit) -> None:
    history.write_bytes(history.read_bytes()[:-100])
    assert "cut short" in error_of(run_audit("--export", history, "--store", stored.folder))


def test_export_whose_blocks_end_early_fails(stored: StoredRing, history: Path, run_audit: RunAudit) -> None:
    """Whoever cuts the history off at a block has to say so in the first line; then the storage is not there."""
    lines = read_lines(history)
    end = lines[-3]
    lines[0].update(last_block=end["number"], last_hash=end["hash"])
    lines[-1].update(end=end["number"], blocks=len(lines) - 3)
    write_lines(history, [*lines[:-2], lines[-1]])
    assert "is not in it" in error_of(run_audit("--export", history, "--store", stored.folder))


def test_progress_is_kept_and_named(stored: StoredRing, folder: Path, run_audit: RunAudit, tmp_path: Path) -> None:
    answer_one(stored)
    options = ["--ring", folder, "--resume", tmp_path / "progress"]
    assert "gone on after" not in run_audit(*options).stdout
    head = open_client(stored).head()
    answer_one(stored)
    said = run_audit(*options, "--anchor", f"{head.number}:0x{head.block_hash.hex()}").stdout
    assert f"gone on after block {head.number}" in said
    assert "2 AnswerDelivered" in said
    assert "everybody sees" not in said


def test_key_that_is_not_admitted_is_one_error_line(
    stored: StoredRing, folder: Path, run_command: RunCommand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEEPRING_PASSWORD", "x")
    made = run_command("auditor-key", tmp_path / "auditor")
    public = made.stdout.strip()
    assert (made.code, len(bytes.fromhex(public))) == (0, 32)
    # A trail without verdicts asks for no admission.
    assert run_command("audit", "--ring", folder, "--evidence", tmp_path / "auditor").code == 0
    query = stored.submit().open_route().advance(1)
    query.complain(kind=ComplaintKind.ALTERED)
    query.judge()
    refused = run_command("audit", "--ring", folder, "--evidence", tmp_path / "auditor" / "sealing.pem")
    assert f"admit-auditor {public}" in error_of(refused)
    assert refused.stdout == ""
    assert "holds keys already" in error_of(run_command("auditor-key", tmp_path / "auditor"))
    monkeypatch.setenv("DEEPRING_PASSWORD", "y")
    assert "wrong password" in error_of(run_command("audit", "--ring", folder, "--evidence", tmp_path / "auditor"))
