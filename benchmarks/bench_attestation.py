"""Attestation, the hash over the very tensors that compute, against raw SHA-256 of the same bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from statistics import median

from benchmarks.harness import Page, median_ratio, pick, say, seconds_of, take_turns
from benchmarks.subjects import dense, vgg19
from deepring_chain.model.layer import Layer
from deepring_chain.protocol.block_hash import block_leaf
from deepring_chain.types import Challenge, Digest

CHALLENGE = Challenge(Digest(bytes(32)))


def main() -> None:
    """Measures blocks from small to large."""
    page = Page("attestation", "How fast is an attestation against raw SHA-256?")
    rows = []
    for subject, layers in ((dense(), (1, 4)), (vgg19(), (2, 8, 11))):
        blocks = [(layer, subject.model.layer(subject.model.next_index(layer.index))) for layer in subject.model.layers]
        for layer in layers:
            say(f"{subject.name}, block of layer {layer}")
            name = f"{subject.name}, layers {layer} and {blocks[layer - 1][1].index}"
            rows.append((name, *measure([blocks[layer - 1]], pick(101, 11))))
        say(f"{subject.name}, all blocks")
        rows.append((f"{subject.name}, all workers", *measure(blocks, pick(31, 5))))
    page.table(("block", "bytes", "attestation, GB/s", "SHA-256, GB/s", "share of SHA-256"), rows)
    page.text(
        "A leaf as a worker makes it: headers encoded and views over the live tensors taken anew each "
        "time, then one SHA-256 "
        "over challenge, headers and tensors, without a copy. Raw: `hashlib.sha256` of the same bytes in one piece. "
        "Medians of rounds in which both take turns."
    )
    page.write()


def measure(blocks: Sequence[tuple[Layer, Layer]], rounds: int) -> tuple[str, str, str, str]:
    """Bytes, both rates, and the share of the raw rate that attestation reaches, for some workers one after another."""
    raws = [_raw_bytes(block) for block in blocks]
    found = take_turns(
        {
            "leaf": lambda: seconds_of(lambda: [block_leaf(CHALLENGE, a.content(), b.content()) for a, b in blocks]),
            "raw": lambda: seconds_of(lambda: [hashlib.sha256(raw).digest() for raw in raws]),
        },
        rounds,
    )
    size = sum(map(len, raws))
    rates = [f"{size / median(found[name]) / 1e9:.2f}" for name in ("leaf", "raw")]
    return f"{size:,}", rates[0], rates[1], f"{median_ratio(found['raw'], found['leaf']):.2f}"


def _raw_bytes(block: Sequence[Layer]) -> bytes:
    contents = [layer.content() for layer in block]
    return b"".join(bytes(part) for content in contents for part in (content.header, *content.tensors))


if __name__ == "__main__":
    main()
