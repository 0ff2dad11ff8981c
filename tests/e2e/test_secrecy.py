"""Who holds what: parameters, keys, passwords, inputs and outputs are where they belong and nowhere else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from hexbytes import HexBytes

from deepring_chain.actors.querent import QueryResult
from deepring_chain.chain.connection import connect
from deepring_chain.crypto.keys import load_keys
from deepring_chain.crypto.sealing import SealBroken
from deepring_chain.datasets.samples import load_mnist_samples
from deepring_chain.model.checkpoint import load_layers
from deepring_chain.model.layer import run_layer
from deepring_chain.protocol.envelope import hop_context, open_output
from deepring_chain.types import Attempt, Hop
from tests.e2e.live_ring import PASSWORD, LiveRing


@pytest.fixture(scope="module")
def asked(mnist_ring: LiveRing) -> QueryResult:
    return mnist_ring.ask(load_mnist_samples().images[:4])


@pytest.fixture(scope="module")
def passed_on(mnist_ring: LiveRing) -> list[bytes]:
    """The input and every layer's output, in the clear."""
    card = mnist_ring.model.card
    images = load_mnist_samples().images[:4]
    tensors = [card.quantise_input(images)]
    for layer in mnist_ring.model.layers:
        tensors.append(run_layer(layer, tensors[-1], torch.device("cpu")))
    return [images.tobytes(), *(bytes(tensor.data) for tensor in tensors)]


def files_below(*folders: Path) -> Iterator[Path]:
    for folder in folders:
        yield from (path for path in folder.rglob("*") if path.is_file())


def chain_bytes(ring: LiveRing) -> bytes:
    """Everything that transactions brought onto the chain, and every event."""
    web3 = connect(ring.devnet.url)
    parts: list[bytes] = []
    for number in range(web3.eth.block_number + 1):
        for transaction in web3.eth.get_block(number, full_transactions=True)["transactions"]:
            assert not isinstance(transaction, bytes)  # as it is without `full_transactions`
            parts.append(bytes(HexBytes(transaction["input"])))
    for log in web3.eth.get_logs({"fromBlock": 0, "toBlock": "latest"}):
        parts += [bytes(log["data"]), *(bytes(topic) for topic in log["topics"])]
    return b"|".join(parts)


def test_worker_folders_hold_their_own_layer_and_the_next_alone(mnist_ring: LiveRing) -> None:
    model = mnist_ring.model
    for index in range(1, 6):
        folder = mnist_ring.folder.worker(index)
        held = [layer.index for layer in load_layers(folder / "params.safetensors")]
        assert held == [index, model.next_index(index)]
        everything = b"|".join(path.read_bytes() for path in files_below(folder))
        for layer in model.layers:
            tensors = [bytes(view) for view in layer.content().tensors if len(view) > 16]
            assert tensors
            assert [tensor in everything for tensor in tensors] == [layer.index in held] * len(tensors)


def test_keys_and_records_are_readable_by_their_owner_only(mnist_ring: LiveRing, asked: QueryResult) -> None:
    for name in [*mnist_ring.names, "querent"]:
        secret = [path for path in (mnist_ring.folder.path / name).iterdir() if path.suffix in (".json", ".pem")]
        secret += (mnist_ring.folder.path / name).glob("journal-*")
        assert len(secret) >= 2
        assert {path.stat().st_mode & 0o077 for path in secret} == {0}


def test_password_and_private_keys_are_in_no_file_process_or_chain_data(
    mnist_ring: LiveRing, asked: QueryResult
) -> None:
    secrets = [PASSWORD.encode()]
    for name in [*mnist_ring.names, "querent"]:
        keys = load_keys(mnist_ring.folder.path / name, PASSWORD)
        for private in (bytes(keys.account.key), keys.sealing.private_bytes_raw()):
            secrets += [private, private.hex().encode()]
    places = {str(path): path.read_bytes() for path in files_below(mnist_ring.folder.path)}
    places["chain"] = chain_bytes(mnist_ring)
    for pid in mnist_ring.process_ids:
        for view in ("cmdline", "environ"):
            places[f"{pid} {view}"] = Path(f"/proc/{pid}/{view}").read_bytes()
    assert len(mnist_ring.process_ids) == 6
    assert any("logs" in place for place in places)
    assert [place for place, data in places.items() if any(secret in data for secret in secrets)] == []


def test_nothing_public_holds_the_input_an_output_or_the_answer(
    mnist_ring: LiveRing, asked: QueryResult, passed_on: list[bytes]
) -> None:
    assert passed_on[-1] == asked.output.data
    public = [path.read_bytes() for path in files_below(mnist_ring.folder.path / "store")]
    assert len(public) > 7
    public.append(chain_bytes(mnist_ring))
    public += [path.read_bytes() for path in files_below(mnist_ring.folder.logs)]
    for content in passed_on:
        middle = len(content) // 2
        pieces = {content, content[middle : middle + 32], content[:20], bytes(np.frombuffer(content, np.uint8) ^ 0x80)}
        pieces = {piece for piece in pieces if len(set(piece)) > 4}
        assert pieces
        assert [piece for piece in pieces for blob in public if piece in blob] == []


def test_only_the_next_hop_can_open_an_envelope(
    mnist_ring: LiveRing, asked: QueryResult, passed_on: list[bytes]
) -> None:
    session = mnist_ring.session(asked.query)
    members = mnist_ring.names
    opened = {}
    for hop in range(6):
        blob = mnist_ring.store().get(session.updates[Hop(hop)].signed.update.envelope)
        place = hop_context(mnist_ring.client().domain, asked.query, Attempt(1), Hop(hop))
        for name in [*members, "querent"]:
            for key in _sealing_keys(mnist_ring, name, session.arrangement):
                try:
                    opened[hop] = (name, bytes(open_output(key, blob, place).data))
                except SealBroken:
                    continue
    assert [opened[hop][0] for hop in range(6)] == [*members[1:], members[0]]
    assert [opened[hop][1] for hop in range(6)] == passed_on[1:]


def _sealing_keys(ring: LiveRing, name: str, arrangement: int) -> list[X25519PrivateKey]:
    keys = [load_keys(ring.folder.path / name, PASSWORD).sealing]
    if name != "querent":
        journal = ring.journal(name)
        pem = journal.read(f"sealing-key/{arrangement}")
        journal.close()
        assert pem is not None
        key = load_pem_private_key(pem, PASSWORD.encode())
        assert isinstance(key, X25519PrivateKey)
        keys.append(key)
    return keys
