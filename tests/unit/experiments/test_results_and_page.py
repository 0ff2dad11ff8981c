"""Result files that are taken up again, and the page that is made from them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from deepring_chain.experiments.lab_ring import ExperimentError
from deepring_chain.experiments.markdown import accuracy_table, empty_page, replace_sections, ring_table, table
from deepring_chain.experiments.results import ResultBook, read_result, write_result
from deepring_chain.experiments.rows import PARTS, ROWS, Paper
from deepring_chain.experiments.run import SECTIONS, check_parts, choose_rows, draw_page

IDENTITY = {"network": "n", "settings": {"seed": 1}}


def book(path: Path, identity: dict[str, Any] = IDENTITY) -> ResultBook:
    return ResultBook(path, identity, "deepring experiment x", now=lambda: 0.0, clock=lambda: 5.0)


def test_part_is_computed_once_and_kept_for_the_next_run(tmp_path: Path) -> None:
    path = tmp_path / "row.json"
    computed: list[int] = []

    def compute() -> dict[str, Any]:
        computed.append(1)
        return {"float": 0.5}

    for _ in range(2):
        part = book(path).part("plain", compute)
        assert part["float"] == 0.5
    assert computed == [1]
    kept = read_result(path)
    assert kept is not None
    assert kept["parts"]["plain"]["finished"] == "1970-01-01T00:00:00Z"
    assert kept["parts"]["plain"]["command"] == "deepring experiment x"


def test_parts_of_other_settings_are_not_kept(tmp_path: Path) -> None:
    path = tmp_path / "row.json"
    book(path).part("plain", lambda: {"float": 0.5})
    other = book(path, {**IDENTITY, "settings": {"seed": 2}})
    assert other.parts == {}
    assert other.part("plain", lambda: {"float": 0.7})["float"] == 0.7


def test_part_that_fails_leaves_those_before_it(tmp_path: Path) -> None:
    path = tmp_path / "row.json"
    book(path).part("plain", lambda: {"float": 0.5})
    with pytest.raises(ZeroDivisionError):
        book(path).part("tampering", lambda: {"sigma": 1 / 0})
    assert set(book(path).parts) == {"plain"}


def test_forgotten_part_is_computed_anew(tmp_path: Path) -> None:
    path = tmp_path / "row.json"
    book(path).part("plain", lambda: {"float": 0.5})
    again = book(path)
    again.forget(["plain"])
    assert again.part("plain", lambda: {"float": 0.6})["float"] == 0.6


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema": 2}', "\x00"])
def test_file_that_is_no_result_is_refused_in_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "row.json").write_text(text)
    with pytest.raises(ExperimentError, match=r"row\.json: not a .*remove it") as refusal:
        read_result(tmp_path / "row.json")
    assert len(str(refusal.value).splitlines()) == 1


def test_sections_replace_what_stands_between_their_markers_alone() -> None:
    page = "head\n<!-- begin a -->\nold\n<!-- end a -->\nmiddle\n<!-- begin b -->\n<!-- end b -->\ntail\n"
    found = replace_sections(page, {"a": "new", "b": "more"})
    assert (
        found == "head\n<!-- begin a -->\nnew\n<!-- end a -->\nmiddle\n<!-- begin b -->\nmore\n<!-- end b -->\ntail\n"
    )
    assert replace_sections(found, {"a": "new", "b": "more"}) == found


@pytest.mark.parametrize("page", ["", "<!-- begin a -->", "<!-- end a --><!-- begin a -->", 2 * empty_page(["a"])])
def test_page_without_a_place_for_a_section_is_refused(page: str) -> None:
    with pytest.raises(ExperimentError, match="no place for a"):
        replace_sections(page, {"a": "new"})


def test_bar_within_a_cell_does_not_end_it() -> None:
    assert table(["a"], [["x|y"]]) == "| a |\n| --- |\n| x\\|y |"


def test_accuracies_stand_beside_the_papers_and_missing_ones_are_named() -> None:
    results = {"net": {"parts": {"plain": {"float": 0.9912, "integer": 0.99}, "tampering": {"float": 0.5}}}}
    text = accuracy_table(results, {"net": ("MNIST", Paper(98.1, 64.29, 77.89)), "other": ("X", Paper(1, 2, 3))})
    lines = text.splitlines()
    assert lines[0] == "| attack | model | MNIST, paper | MNIST, here | X, paper | X, here |"
    assert lines[2] == "| none | plain, float32 | 98.10 | 99.12 | 1.00 | not run |"
    assert "| parameter tampering | plain, float32 | 64.29 | 50.00 | 2.00 | not run |" in lines
    assert "| parameter tampering | **ring** | 98.10 | not run | 1.00 | not run |" in lines


def test_interval_of_the_detections_is_told_only_when_all_were_found() -> None:
    part: dict[str, Any] = {"images": 100, "asked": 4, "differing_predictions": 0}
    part |= {"attacks": 2, "detected": 2, "restored": 2}
    part |= {"detection_interval": [0.34, 1.0], "quiet_queries": 2, "false_alarms": 0, "wrong_accusations": 0}
    all_found = ring_table({"net": {"parts": {"ring-tampering": part}}})
    assert "| 2 (34 to 100 %) |" in all_found
    missed = ring_table({"net": {"parts": {"ring-tampering": {**part, "detected": 1}}}})
    assert "| 1 |" in missed


def test_page_of_nothing_but_table_1_is_drawn_twice_alike(tmp_path: Path) -> None:
    row = {
        "layers": 2,
        "trials": 10,
        "hits": 5,
        "low": 0.2,
        "high": 0.8,
        "expected": 0.5,
        "known_hits": 10,
        "paper": 0.5,
    }
    rare = {**row, "layers": 10, "hits": 0, "low": 0.0, "high": 0.3, "expected": 2.8e-7, "paper": 2.7e-7}
    out, page = tmp_path / "out", tmp_path / "page.md"
    ResultBook(out / "table1.json", {}, "command").part("counts", lambda: {"rows": [row, rare]})
    pictures = []
    for _ in range(2):
        draw_page(out, page)
        pictures.append((page.read_bytes(), (out / "table1.png").read_bytes()))
    assert pictures[0] == pictures[1]
    assert "![Chance of guessing a fresh route](out/table1.png)" in page.read_text()
    assert page.read_text().count("Not run yet.") == len(SECTIONS) - 1


def test_rows_come_in_the_tables_order_and_unknown_ones_are_refused() -> None:
    assert choose_rows("table3", []) == ["mnist-dense", "cifar10-dense"]
    assert choose_rows("table2", ["mnist-vgg19"]) == ["mnist-vgg19"]
    with pytest.raises(ExperimentError, match="table3 has no mnist-vgg19"):
        choose_rows("table3", ["mnist-vgg19"])


def test_parts_come_in_the_order_in_which_they_are_needed() -> None:
    assert check_parts(["ring-honest", "plain"]) == ("plain", "ring-honest")
    assert check_parts([]) == PARTS
    with pytest.raises(ExperimentError, match="a row has no magic"):
        check_parts(["magic"])


def test_papers_figures_are_those_of_its_tables() -> None:
    printed = {name: (row.paper.original, row.paper.tampered, row.paper.perturbed) for name, row in ROWS.items()}
    assert printed == {
        "mnist-dense": (98.10, 64.29, 77.89),
        "cifar10-dense": (62.35, 50.11, 44.37),
        "mnist-vgg19": (99.07, 51.20, 81.54),
        "cifar10-vgg19": (83.89, 63.18, 74.88),
        "tiny-vgg19": (76.12, 41.96, 58.21),
    }


def test_result_survives_its_file(tmp_path: Path) -> None:
    result = {"schema": 1, "identity": {"a": 1}, "parts": {"p": {"x": [0.1, None]}}}
    write_result(tmp_path / "deep" / "r.json", result)
    assert read_result(tmp_path / "deep" / "r.json") == result == json.loads((tmp_path / "deep" / "r.json").read_text())
