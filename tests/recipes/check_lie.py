"""Run in a copy of the package with `zero_input.py` in it: the lie can be ordered, and its teller is convicted."""

from __future__ import annotations

from pathlib import Path

from typer.testing import CliRunner

from deepring_chain.attacks import lies
from deepring_chain.attacks.lab_worker import LabWorker
from deepring_chain.attacks.orders import MEMORY_LIES, LabOrder, Lie, give_order
from deepring_chain.cli.app import make_app
from deepring_chain.protocol.decide.judging import GRACE_SECONDS
from deepring_chain.protocol.session import FaultKind
from tests.recipes.copied_package import is_copied
from tests.unit.actors.fake_ring import IMAGES, FakeRing, session_of, tiny_model


def main() -> None:
    assert is_copied(lies.__file__)
    lie = Lie("zero-input")
    assert lie not in MEMORY_LIES
    shown = CliRunner().invoke(make_app(), ["perturb", "--help"], env={"COLUMNS": "200"}).output
    assert "zero-input" in shown, shown
    ring = FakeRing.make(Path.cwd() / "ring", tiny_model())
    ring.settle()
    ring.replace_worker(2, LabWorker)
    give_order(ring.blocks[1].folder, LabOrder(lie))
    query = ring.ask()
    ring.settle()
    ring.now += GRACE_SECONDS + 0.1
    ring.settle()
    assert [(fault.hop, fault.kind) for fault in session_of(ring, query).faults] == [(2, FaultKind.GUILTY)]
    answer = ring.querent.wait(query, 0, lambda _session, _mode: None).output
    assert answer == ring.model.run(ring.model.card.quantise_input(IMAGES))


if __name__ == "__main__":
    main()
