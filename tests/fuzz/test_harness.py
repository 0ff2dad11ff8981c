"""The fuzzers find what is planted, and say which input repeats it."""

from __future__ import annotations

import random
import resource
from pathlib import Path

import pytest

from assurance.fuzz import run
from assurance.fuzz.broken_targets import TARGETS, Refusal
from assurance.fuzz.codecs import CBOR, GZIP_JSON_LINES, JSON, JSON_LINES, RLP, Codec
from assurance.fuzz.edits import edit_bytes, edit_value
from assurance.fuzz.engine import make_input
from assurance.fuzz.minimize import minimize
from assurance.fuzz.progress import Progress
from assurance.fuzz.registry import find_target
from assurance.fuzz.target import Limits, Outcome, Target, Violation, examine
from tests.waiting import FOREVER

PLANTED = {target.name: target for target in TARGETS}
BAD = b"\x07\x31abc"
GOOD = Target("good", bytes, (Refusal,), lambda: [b"abc"])


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("raises", "raised builtins.KeyError"),
        ("waits", "the deadline is"),
        ("takes", "bytes of memory"),
        ("two-lines", "in 2 lines"),
        ("two-encodings", "not the encoding"),
    ],
)
def test_what_a_parser_must_not_do_is_a_violation(name: str, words: str) -> None:
    with pytest.raises(Violation, match=words):
        examine(PLANTED[name], BAD, measured=True)
    assert examine(PLANTED[name], b"other", measured=True) is Outcome.REFUSED


def test_memory_that_is_touched_is_noticed_without_the_allocator() -> None:
    # More than this process ever took: its peak is all that is looked at.
    once = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 // 4
    limits = Limits(seconds=FOREVER, memory=2**20)  # so many pages take the system seconds on a busy machine
    target = Target("hungry", lambda data: b"x" * (len(data) * (once + 25 * 2**20)), (), lambda: [b""], limits=limits)
    with pytest.raises(Violation, match="bytes of memory"):
        examine(target, b"abcd")


@pytest.mark.parametrize(
    ("name", "words"), [("raises", "raised builtins.KeyError"), ("dies", "the process ended with -6")]
)
def test_a_planted_fault_is_found_and_its_input_kept(
    name: str, words: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(run, "WORK", tmp_path)
    monkeypatch.setattr(run, "CORPUS", tmp_path / "corpus")
    (tmp_path / "corpus" / name).mkdir(parents=True)
    (tmp_path / "corpus" / name / "seed").write_bytes(PLANTED[name].seeds()[0])
    result = run.fuzz(PLANTED[name], 20_000, 1, "lines")
    assert words in result.violation
    assert 0 < result.tried < 20_000
    assert result.file is not None
    data = result.file.read_bytes()
    assert (data[0], data[1] & 0xF0) == (7, 0x30)


def test_a_run_without_a_fault_reaches_its_number_of_inputs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(run, "WORK", tmp_path)
    result = run.fuzz(find_target("arrangement-note"), 300, 1, "lines")
    assert (result.violation, result.tried) == ("", 300)
    assert result.accepted > 0
    assert result.last >= result.first > 0
    assert "| arrangement-note | 300 |" in run.describe([result])


def seeded(seed: int) -> random.Random:
    return random.Random(seed)  # noqa: S311 - repeatable on purpose


def test_the_same_seed_gives_the_same_inputs() -> None:
    pool = [b"\x83abc", b"\x82\x01\x02"]
    target = Target("cbor", bytes, (), lambda: pool, codec=CBOR)
    first, second, other = ([make_input(target, pool, rng) for _ in range(50)] for rng in map(seeded, (5, 5, 6)))
    assert first == second != other


def test_a_plan_shares_the_inputs_and_leaves_no_target_out() -> None:
    jobs = run.plan([], 1_000_000)
    assert sum(runs for _, runs in jobs) >= 1_000_000
    assert len({target.name for target, _ in jobs}) == len(jobs) >= 50
    assert run.plan(["no-such"], 100) == []


@pytest.mark.parametrize(
    ("codec", "value"),
    [
        (CBOR, [1, "a", {"b": [b"c", None]}]),
        (JSON, {"a": [1, 2.5, "b"]}),
        (RLP, [b"a", [b"b", b""]]),
        (JSON_LINES, [{"a": 1}, [2]]),
        (GZIP_JSON_LINES, [{"a": 1}, [2]]),
    ],
)
def test_values_are_taken_apart_changed_and_put_together(codec: Codec, value: object) -> None:
    data = codec.write(value)
    assert codec.read(data) == value
    changed = {edit_value(data, codec, seeded(seed)) for seed in range(40)}
    assert len(changed) > 10


def test_edits_change_bytes_and_take_any() -> None:
    assert all(isinstance(edit_bytes(b"", seeded(seed)), bytes) for seed in range(100))
    assert len({edit_bytes(bytes(40), seeded(seed)) for seed in range(100)}) > 60


def test_the_input_of_now_outlives_the_process(tmp_path: Path) -> None:
    progress = Progress(tmp_path / "progress", create=True)
    progress.begin(b"first")
    progress.begin(b"second input")
    assert Progress(tmp_path / "progress").read().data == b"second input"
    assert Progress(tmp_path / "progress").read().tried == 2


def test_the_minimal_corpus_keeps_valid_inputs_and_what_reaches_more() -> None:
    target = PLANTED["raises"]
    kept = minimize(target, [b"\x07\x20abc"], [b"", b"a", b"bcd", b"cde"])
    assert kept[0] == b"\x07\x20abc"
    assert len(kept) <= 3
    assert examine(GOOD, b"abc") is Outcome.ACCEPTED
