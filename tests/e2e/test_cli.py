"""The `deepring` command as its users type it."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deepring_chain.chain.devnet import Devnet
from deepring_chain.datasets.samples import load_mnist_samples
from deepring_chain.model.checkpoint import shipped_model
from deepring_chain.ring.folder import RingFolder
from tests.e2e.command import DEEPRING, Terminal, environment, ring_up, said
from tests.e2e.live_ring import LiveRing, random_images, wait_for

SAMPLES = load_mnist_samples()


@pytest.fixture(scope="module")
def ring(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A ring that `deepring up` runs."""
    path = tmp_path_factory.mktemp("cli") / "ring"
    assert "ring of 5 workers for mnist-dense" in said("init", "--ring", path)
    with ring_up(path):
        yield path


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five png files, and the same five as one npy file."""
    path = tmp_path_factory.mktemp("pictures")
    for number in range(5):
        Image.fromarray(SAMPLES.images[number]).save(path / f"{number}.png")
    np.save(path / "five.npy", SAMPLES.images[:5])
    np.save(path / "one.npy", SAMPLES.images[5])
    return path


def labels(count: int) -> list[str]:
    return [str(label) for label in SAMPLES.labels[:count]]


def test_query_of_png_files_prints_a_class_for_each(ring: Path, pictures: Path) -> None:
    output = said("query", "--ring", ring, *sorted(pictures.glob("*.png")))
    rows = re.findall(r"^(\d\.png) +(\d) +(\d+\.\d\d%)$", output, re.MULTILINE)
    assert [(name, label) for name, label, _ in rows] == [
        (f"{number}.png", label) for number, label in enumerate(labels(5))
    ]
    assert re.search(r"query \d+: the answer matches its commitment on the ledger", output)


def test_query_of_npy_batch_and_answer_say_the_same_as_the_plain_model(
    ring: Path, pictures: Path, terminal: Terminal
) -> None:
    asked = json.loads(terminal.said("query", "--ring", ring, pictures / "five.npy", pictures / "one.npy", "--json"))
    assert asked.pop("images") == [*(f"five.npy[{place}]" for place in range(5)), "one.npy"]
    assert asked["predictions"] == labels(6)
    model = shipped_model()
    output = model.run(model.card.quantise_input(SAMPLES.images[:6]))
    assert np.array_equal(asked["probabilities"], model.card.probabilities(output))
    assert json.loads(terminal.said("answer", asked["query"], "--ring", ring, "--json")) == asked


def test_trail_shows_arrangements_and_every_hop_of_each_query(ring: Path, pictures: Path, terminal: Terminal) -> None:
    query = json.loads(terminal.said("query", "--ring", ring, pictures / "one.npy", "--json"))["query"]
    everything = terminal.said("trail", "--ring", ring)
    assert "arrangement 1:" in everything
    assert "authenticity ON" in everything
    assert f"query {query}" in everything
    newest = terminal.said("trail", "--last", 1, "--ring", ring)
    assert re.findall(r"^query (\d+)$", newest, re.MULTILINE) == [str(query)]
    assert len(re.findall(r"^arrangement \d+:", newest, re.MULTILINE)) == 1
    assert "leave it out, or the query's id" in terminal.refusal("trail", query, "--last", 1, "--ring", ring)
    one = terminal.said("trail", query, "--ring", ring)
    assert "arrangement" not in one
    signers = re.findall(r"^\W*([0-5])\W+\d+\W+[\d:]+\W+(ouroboros|worker-\d)\b", one, re.MULTILINE)
    assert signers == [("0", "ouroboros"), *((str(hop), f"worker-{hop}") for hop in range(1, 6))]
    assert re.search(r"gas in all [\d,]{7,}", one)


def test_timing_of_a_query_has_a_turn_of_every_hop_and_the_sums(ring: Path, pictures: Path, terminal: Terminal) -> None:
    query = json.loads(terminal.said("query", "--ring", ring, pictures / "one.npy", "--json"))["query"]
    output = terminal.said("trail", query, "--timing", "--ring", ring)
    _, found, timing = output.partition(f"timing of query {query}")
    assert found
    turns = re.findall(r"^\W*(\d|all)\W+(?:(ouroboros|worker-\d)\W+)?\d[\d.,]*\W", timing, re.MULTILINE)
    hops = [("0", "ouroboros"), *((str(hop), f"worker-{hop}") for hop in range(1, 6)), ("6", "ouroboros")]
    assert turns == [*hops, ("all", "")]
    assert "name one query" in terminal.refusal("trail", "--timing", "--ring", ring)


def test_trail_as_json_has_every_digest_whole(ring: Path, pictures: Path, terminal: Terminal) -> None:
    query = json.loads(terminal.said("query", "--ring", ring, pictures / "one.npy", "--json"))["query"]
    entries = json.loads(terminal.said("trail", query, "--ring", ring, "--json"))
    updates = [entry["logged"]["event"] for entry in entries if entry["logged"]["event"]["kind"] == "UpdatePosted"]
    assert [update["signed"]["update"]["hop"] for update in updates] == list(range(6))
    assert all(re.fullmatch(r"0x[0-9a-f]{130}", update["signed"]["signature"]) for update in updates)
    assert all(entry["gas"] > 20_000 for entry in entries)


def test_password_file_is_used_before_the_variable(ring: Path, pictures: Path, tmp_path: Path) -> None:
    (tmp_path / "password").write_text(environment()["DEEPRING_PASSWORD"] + "\n")
    changed = {"DEEPRING_PASSWORD_FILE": str(tmp_path / "password"), "DEEPRING_PASSWORD": "wrong"}
    assert labels(6)[5] in said("query", "--ring", ring, pictures / "one.npy", **changed)


def test_output_into_a_closed_pipe_is_no_error(ring: Path) -> None:
    command = f"{DEEPRING} trail --ring {ring} --json | head -n 1"
    done = subprocess.run(["/bin/bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, check=False)
    assert done.stdout == "[\n"
    assert "Traceback" not in done.stderr


def test_ring_on_a_node_that_stays_is_taken_up_again_with_its_queries(tmp_path: Path, pictures: Path) -> None:
    said("init", "--ring", tmp_path / "ring")
    with Devnet() as devnet:
        with ring_up(tmp_path / "ring", "--rpc", devnet.url):
            asked = json.loads(said("query", "--ring", tmp_path / "ring", pictures / "one.npy", "--json"))
            named = asked.pop("images")
        first = RingFolder(tmp_path / "ring").load_deployment()
        with ring_up(tmp_path / "ring", "--rpc", devnet.url):
            assert RingFolder(tmp_path / "ring").load_deployment() == first
            assert json.loads(said("answer", asked["query"], "--ring", tmp_path / "ring", "--json")) == asked
            again = json.loads(said("query", "--ring", tmp_path / "ring", pictures / "one.npy", "--json"))
    assert again == {**asked, "query": asked["query"] + 1, "images": named}


@pytest.mark.ganache
def test_the_same_query_on_ganache_has_the_same_answer(tmp_path: Path, ring: Path, pictures: Path) -> None:
    said("init", "--ring", tmp_path / "ring")
    with ring_up(tmp_path / "ring", "--chain", "ganache"):
        there = json.loads(said("query", "--ring", tmp_path / "ring", pictures / "five.npy", "--json"))
        assert "authenticity ON" in said("trail", "--ring", tmp_path / "ring")
    here = json.loads(said("query", "--ring", ring, pictures / "five.npy", "--json"))
    assert there["predictions"] == here["predictions"] == labels(5)
    assert there["probabilities"] == here["probabilities"]


def test_worker_alone_in_a_copied_folder_is_a_member_of_the_ring(tiny_ring: LiveRing, tmp_path: Path) -> None:
    images = random_images(2)
    tiny_ring.kill("worker-2")
    elsewhere = (tiny_ring.folder.path / "worker-2").rename(tmp_path / "carried-away")
    published = tmp_path / "deployment.toml"
    published.write_bytes((tiny_ring.folder.path / "deployment.toml").read_bytes())
    command: list[str | Path] = [DEEPRING, "run", elsewhere, "--deployment", published]
    with subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as alone:
        try:
            assert alone.stdout is not None
            assert b"carried-away is ready as 0x" in alone.stdout.readline()
            querent = tiny_ring.querent()
            assert wait_for(querent, querent.submit(images)).output == tiny_ring.plain_output(images)
            alone.send_signal(signal.SIGINT)
            assert alone.wait() == 0
        finally:
            alone.kill()
    elsewhere.rename(tiny_ring.folder.path / "worker-2")
    tiny_ring.start("worker-2")


def test_demo_shows_answers_trail_and_equality(tmp_path: Path) -> None:
    output = said("demo", "--images", 20, "--out", tmp_path / "out")
    assert "accuracy on these 20 MNIST test images: 100.0% (20 right)" in output
    assert "equal to the plain integer model, bit for bit" in output
    assert "authenticity ON" in output
    assert Image.open(tmp_path / "out" / "answers.png").size[0] > 800


@pytest.mark.parametrize(
    "command", ["demo", "init", "up", "query", "answer", "trail", "explorer", "report", "run", "train", "quantise"]
)
def test_every_command_explains_itself(terminal: Terminal, command: str) -> None:
    output = terminal.said(command, "--help")
    assert f"Usage: deepring {command}" in output
    assert len(output.splitlines()) > 8


@pytest.mark.parametrize(
    "arguments",
    [["nope"], ["query"], ["answer", "first"], ["demo", "--images", "0"], ["up", "--chain", "other"], ["trail", "-x"]],
)
def test_wrong_usage_exits_with_2(terminal: Terminal, arguments: list[str]) -> None:
    code, output, errors = terminal.run(*arguments)
    assert (code, output) == (2, "")
    assert "Usage: deepring" in errors
