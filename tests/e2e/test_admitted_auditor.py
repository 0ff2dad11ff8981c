"""On a ring that runs: an auditor is admitted, a worker lies, and the verdict is derived anew; then without a node."""

from __future__ import annotations

import json
import re
from pathlib import Path

from deepring_chain.attacks.orders import Lie
from deepring_chain.ring.folder import MODEL_FILE
from deepring_chain.types import RingMode
from tests.e2e.command import Terminal
from tests.e2e.incidents import order
from tests.e2e.live_ring import random_images, running_ring, tiny_model, wait_for

IMAGES = random_images(2, seed=4)


def test_admitted_auditor_repeats_the_verdicts_through_the_node_and_from_an_export(
    tmp_path: Path, terminal: Terminal
) -> None:
    path, key, history = tmp_path / "ring", tmp_path / "auditor", tmp_path / "history.jsonl.gz"
    lab = "deepring_chain.attacks"
    with running_ring(path, tiny_model(), host_module=lab) as ring:
        public = terminal.said("auditor-key", key).strip()
        assert re.fullmatch("[0-9a-f]{64}", public)
        assert "admitted" in terminal.said("admit-auditor", public, "--ring", path)
        assert "already" in terminal.said("admit-auditor", public, "--ring", path)
        assert "not an X25519 public key" in terminal.refusal("admit-auditor", "00", "--ring", path)
        ring.await_mode(RingMode.QUERY)
        querent = ring.querent()
        for worker, lie in (("worker-2", Lie.PERTURBED_INPUT), ("worker-3", Lie.ECHO)):
            ring.await_mode(RingMode.QUERY)
            order(ring, worker, lie)
            query = querent.submit(IMAGES)
            assert wait_for(querent, query).output == ring.plain_output(IMAGES)
        arguments = ("audit", "--ring", path, "--evidence", key, "--model", ring.folder.ouroboros / MODEL_FILE)
        assert "2 of 2 verdicts, from their evidence" in terminal.said(*arguments)
        terminal.said("export", history, "--ring", path)
        terminal.said("admit-auditor", public, "--ring", path, "--dismiss")
        store = ring.deployment.store_url
    report = json.loads(terminal.said("audit", "--export", history, "--store", store, "--evidence", key, "--json"))
    assert report["passed"] is True
    assert report["verdicts"] == {"admitted": True, "seen": 2, "replayed": 2, "recomputed": 0}
