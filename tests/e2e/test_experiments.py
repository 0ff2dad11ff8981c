"""`make experiments-smoke`: every experiment small, on real rings."""

from __future__ import annotations

import json
from pathlib import Path

from PIL import Image
from typer.testing import CliRunner

from deepring_chain.cli.experiment import app
from deepring_chain.experiments.rows import PARTS


def test_small_run_of_every_experiment_finds_all_attacks_and_draws_its_page(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["smoke", "--out", str(tmp_path)], catch_exceptions=False)
    assert done.exit_code == 0
    page = (tmp_path / "experiments.md").read_text()
    assert "Not run yet" not in page
    for table, network in (("table3", "mnist-dense"), ("table2", "spots-conv")):
        parts = json.loads((tmp_path / f"{table}-{network}.json").read_text())["parts"]
        assert set(parts) == set(PARTS)
        for attack in ("tampering", "perturbation"):
            ring = parts[f"ring-{attack}"]
            assert ring["attacks"] == ring["detected"] == ring["restored"] == 2
            assert (ring["differing_logits"], ring["false_alarms"], ring["wrong_accusations"]) == (0, 0, 0)
            assert ring["accuracy"] == parts["plain"]["integer"] > parts[attack]["integer"]
            assert all(query["attacked"] is bool(query["alarms"]) for query in ring["queries"])
        assert parts["ring-honest"]["attacks"] == parts["ring-honest"]["false_alarms"] == 0
    for name in ("table1", *(f"{net}-{kind}" for net in ("mnist-dense", "spots-conv") for kind in ("bits", "sigma"))):
        assert f"{name}.png" in page
        assert Image.open(tmp_path / f"{name}.png").width > 500
