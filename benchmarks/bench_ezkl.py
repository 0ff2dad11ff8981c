"""A query through the ring against a zero-knowledge proof of the same network by EZKL, keys made locally."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from benchmarks.harness import ROOT, Page, fail, ms, pick, say
from benchmarks.rings import Asker, bench_ring
from benchmarks.subjects import Subject, small_dense

WIDTHS = ((64, 32, 10), (256, 64, 10), (784, 128, 64, 10))
FOLDER = ROOT / "benchmarks" / "ezkl"
ENVIRONMENT = ROOT / "build" / "bench" / "ezkl"
GIVE_UP_SECONDS = 900
BATCH = 64

MEANS = (
    "EZKL's proof shows anyone, without the network's weights and without trust in whoever computed, that "
    "a committed network gave "
    "this output for some input; it says nothing of who asked, hides nothing from the one who computes "
    "(weights, input and all "
    "activations are in one place), and is made in one place, for networks that fit into a circuit.",
    "The ring's record shows anyone who signed which hop, in which order, on untampered blocks, and that "
    "two neighbors agreed on every "
    "output, and no worker holds the network; it does not prove the arithmetic: two colluding neighbors "
    "can pass a wrong "
    "value, and the owner is trusted with query and answer (SECURITY.md).",
)


def main() -> None:
    """Proves and asks networks of growing size."""
    install()
    page = Page("ezkl", "How does a query compare with a zero-knowledge proof?")
    rows = []
    for widths in WIDTHS[: pick(len(WIDTHS), 1)]:
        name = "-".join(map(str, widths))
        subject = small_dense(widths, name)
        say(f"{name}: ring")
        query, each = ask_ring(subject)
        say(f"{name}: EZKL (minutes for the largest)")
        made = prove(subject)
        rows.append(
            (
                f"{name} ({_parameters(subject):,} parameters)",
                ms(query),
                f"{made['prove']:.2f}",
                f"{made['prove'] / query:,.0f}",
                f"{1000 * each:.2f}",
                f"{made['prove'] / each:,.0f}",
                f"{made['set_up']:.1f}",
                f"{made['witness']:.2f}",
                ms(made["verify"]),
                f"{made['key_bytes'] / 2**20:,.0f}",
                f"{made['proof_bytes'] / 1024:,.1f}",
            )
        )
    page.table(
        (
            "network",
            "ring's query, ms",
            "EZKL's proof, s",
            "proof / query",
            f"of {BATCH} images in a query, ms for each",
            "proof / image",
            "its set-up, once, s",
            "witness, s",
            "verifying, ms",
            "proving key, MiB",
            "proof, KiB",
        ),
        rows,
    )
    page.text(
        "EZKL proves one image at a time, the ring serves one or many in a query. The ring: median of queries, each "
        "from the images to the decrypted answer, arithmetic checked by the next hop and every hop settled on the "
        "ledger. EZKL: time of `prove` alone, once; calibration, reference string and keys are its set-up, all made "
        f"here ({(FOLDER / 'requirements.txt').read_text().strip()}; input private, weights fixed, output public, "
        "input scale 7)."
    )
    for sentence in MEANS:
        page.text(sentence)
    page.write()


def install() -> None:
    """EZKL in a virtual environment of its own below build/."""
    if (ENVIRONMENT / "installed").exists():
        return
    say(f"installing EZKL into {ENVIRONMENT}")
    python = ENVIRONMENT / "bin" / "python"
    for command in (
        [sys.executable, "-m", "venv", str(ENVIRONMENT)],
        [str(python), "-m", "pip", "install", "--quiet", "-r", str(FOLDER / "requirements.txt")],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            fail(f"EZKL could not be installed: {(done.stderr or done.stdout).strip().splitlines()[-1][:300]}")
    (ENVIRONMENT / "installed").touch()


def ask_ring(subject: Subject) -> tuple[float, float]:
    """Median seconds of a query with one image, and for each image of a query with many."""
    with bench_ring(subject.model, 1) as ring:
        asker, found = Asker(ring), []
        for count in (1, BATCH):
            images = subject.images(count)
            asker.ask(images)
            found.append(median(asker.ask(images) for _ in range(pick(21, 3))) / count)
    return found[0], found[1]


def prove(subject: Subject) -> dict[str, Any]:
    """What `prove.py` measured."""
    with tempfile.TemporaryDirectory(prefix="deepring-ezkl-") as scratch:
        folder = Path(scratch)
        onnx.save(to_onnx(subject.network), folder / "network.onnx")
        values = (subject.images(1).reshape(-1) / 255).astype(float).tolist()
        (folder / "input.json").write_text(json.dumps({"input_data": [values]}))
        command = [str(ENVIRONMENT / "bin" / "python"), str(FOLDER / "prove.py"), scratch]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, cwd=folder, timeout=GIVE_UP_SECONDS, check=False
            )
        except subprocess.TimeoutExpired:
            fail(f"EZKL was not done with {subject.name} after {GIVE_UP_SECONDS} s")
    if done.returncode:
        fail(f"EZKL failed on {subject.name}: {done.stderr.strip()[-300:]}")
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def to_onnx(network: nn.Sequential) -> onnx.ModelProto:
    """Dense layers and ReLU as Gemm and Relu."""
    nodes, constants, last = [], [], "input"
    layers = [module for module in network if isinstance(module, (nn.Linear, nn.ReLU))]
    for number, module in enumerate(layers):
        name = "output" if number == len(layers) - 1 else f"value{number}"
        if isinstance(module, nn.Linear):
            parts = {f"w{number}": module.weight, f"b{number}": module.bias}
            constants += [numpy_helper.from_array(part.detach().numpy(), key) for key, part in parts.items()]
            nodes.append(helper.make_node("Gemm", [last, *parts], [name], transB=1))
        else:
            nodes.append(helper.make_node("Relu", [last], [name]))
        last = name
    linear = [module for module in layers if isinstance(module, nn.Linear)]
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, size])
        for name, size in (("input", linear[0].in_features), ("output", linear[-1].out_features))
    ]
    graph = helper.make_graph(nodes, "network", ends[:1], ends[1:], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def _parameters(subject: Subject) -> int:
    return sum(int(np.prod(part.shape)) for part in subject.network.parameters())


if __name__ == "__main__":
    main()
