"""The tables of docs/experiments.md, made from the results' files and put between markers."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from deepring_chain.experiments.lab_ring import ExperimentError
from deepring_chain.experiments.results import Json
from deepring_chain.experiments.rows import Paper

Results = Mapping[str, Json]
"""Results by the name of their row."""

MISSING = "not run"
PASSES = {"ring-tampering": "tampering", "ring-perturbation": "perturbation", "ring-honest": "none"}


def replace_sections(page: str, sections: Mapping[str, str]) -> str:
    """A page with new text between its markers `<!-- begin NAME -->` and `<!-- end NAME -->`.

    Raises:
        ExperimentError: the page lacks a section's markers.
    """
    for name, text in sections.items():
        begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
        if page.count(begin) != 1 or page.count(end) != 1 or page.index(begin) > page.index(end):
            raise ExperimentError(f"the page has no place for {name}: it needs one {begin} and after it one {end}")
        head, _, rest = page.partition(begin)
        page = f"{head}{begin}\n{text.strip()}\n{end}{rest.partition(end)[2]}"
    return page


def empty_page(names: Sequence[str]) -> str:
    """A page of nothing but markers."""
    return "".join(f"<!-- begin {name} -->\n<!-- end {name} -->\n\n" for name in names)


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; a bar within a cell is escaped."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(re.sub(r"\|", r"\\|", cell) for cell in line) + " |" for line in lines)


def percent(share: float | None) -> str:
    """A share (0..1) in percent."""
    return MISSING if share is None else f"{100 * share:.2f}"


def seconds(summary: Json | None) -> str:
    """Median and largest of a summary, in seconds."""
    if summary is None or summary["median"] is None:
        return "-"
    return f"{summary['median']:.2f} (most {summary['max']:.2f})"


def count(value: float | None) -> str:
    """A whole number."""
    return "-" if value is None else f"{round(value):,}"


# ---------------------------------------------------------------------- Table 1


def guessing_table(result: Json) -> str:
    """Table 1: the paper's figures, 1/n!, and the measured ones, in percent."""
    rows = [
        [
            str(row["layers"]),
            _small(100 * row["paper"]),
            _small(100 * row["expected"]),
            _small(100 * row["hits"] / row["trials"]),
            f"{_small(100 * row['low'])} to {_small(100 * row['high'])}",
            f"{row['hits']:,} of {row['trials']:,}",
            _small(100 * row["known_hits"] / row["trials"]),
        ]
        for row in result["parts"]["counts"]["rows"]
    ]
    header = [
        "layers n",
        "paper, %",
        "1/n!, %",
        "measured, %",
        "95 % interval",
        "right guesses",
        "after one seen query, %",
    ]
    return table(header, rows) + "\n\n" + _provenance(result, ("counts",))


def _small(value: float) -> str:
    if value == 0:
        return "0"
    digits = max(2, 2 - math.floor(math.log10(value)))
    text = f"{value:.{digits}f}" if value >= 1e-3 else f"{value:.1e}"
    return text.rstrip("0").rstrip(".") if "e" not in text and "." in text else text


# ---------------------------------------------------------------------- Tables 2 and 3

Cell = Callable[[Json], "float | None"]


def _get(*names: str) -> Cell:
    def read(parts: Json) -> float | None:
        value: Any = parts
        for name in names:
            value = value.get(name) if isinstance(value, dict) else None
        return None if value is None else float(value)

    return read


LINES: Sequence[tuple[str, str, Callable[[Paper], float], Cell]] = (
    ("none", "plain, float32", lambda paper: paper.original, _get("plain", "float")),
    ("none", "plain, integers", lambda paper: paper.original, _get("plain", "integer")),
    ("none", "**ring**", lambda paper: paper.original, _get("ring-honest", "accuracy")),
    ("parameter tampering", "plain, float32", lambda paper: paper.tampered, _get("tampering", "float")),
    ("parameter tampering", "plain, integers", lambda paper: paper.tampered, _get("tampering", "integer")),
    ("parameter tampering", "**ring**", lambda paper: paper.original, _get("ring-tampering", "accuracy")),
    ("input perturbation", "plain, float32", lambda paper: paper.perturbed, _get("perturbation", "float")),
    ("input perturbation", "plain, integers", lambda paper: paper.perturbed, _get("perturbation", "integer")),
    ("input perturbation", "**ring**", lambda paper: paper.original, _get("ring-perturbation", "accuracy")),
)


def accuracy_table(results: Results, papers: Mapping[str, tuple[str, Paper]]) -> str:
    """Table 2 or 3: accuracies in percent, the paper's beside ours.

    Args:
        results: by network; those that are missing show as not run.
        papers: by network, the name of its data and what the paper prints.
    """
    names = list(papers)
    header = ["attack", "model"]
    for name in names:
        header += [f"{papers[name][0]}, paper", f"{papers[name][0]}, here"]
    rows = []
    for attack, model, printed, measured in LINES:
        row = [attack, model]
        for name in names:
            parts = results[name]["parts"] if name in results else {}
            row += [f"{printed(papers[name][1]):.2f}", percent(measured(parts))]
        rows.append(row)
    return table(header, rows)


def strike_table(results: Results) -> str:
    """How the plain models were attacked: layer, sigma, drops."""
    rows = []
    for name, result in results.items():
        for attack in ("tampering", "perturbation"):
            part, plain = result["parts"].get(attack), result["parts"].get("plain")
            if part is None or plain is None:
                continue
            drops = [f"{100 * (plain[kind] - part[kind]):.2f}" for kind in ("float", "integer")]
            reached = "" if part["reached"] else " (margin not reached)"
            where = f"{part['layer']} (module {part['place']})"
            rows.append([name, attack, where, f"{part['sigma']:g}{reached}", f"{100 * part['margin']:.2f}", *drops])
    return table(["network", "attack", "layer", "sigma", "paper's margin", "drop, float32", "drop, integers"], rows)


def ring_table(results: Results) -> str:
    """What the rings did: detection, false alarms, equality."""
    header = ["network", "attack", "images", "queries", "predictions that differ", "attacks", "detected", "restored"]
    header += ["queries without attack", "false alarms", "wrongly accused"]
    rows = []
    for name, attack, part in _ring_parts(results):
        detected = f"{part['detected']}"
        if part["detection_interval"]:
            detected += f" ({100 * part['detection_interval'][0]:.0f} to 100 %)" if _all_found(part) else ""
        line = [name, attack, count(part["images"]), str(part["asked"]), str(part["differing_predictions"])]
        line += [str(part["attacks"]), detected if part["attacks"] else "-"]
        line += [str(part["restored"]) if part["attacks"] else "-"]
        rows.append([*line, str(part["quiet_queries"]), str(part["false_alarms"]), str(part["wrong_accusations"])])
    return table(header, rows)


def _all_found(part: Json) -> bool:
    return bool(part["detected"] == part["attacks"])


def cost_table(results: Results) -> str:
    """What the rings cost: times and gas."""
    header = ["network", "attack", "images a query", "detected after, s", "restored after, s"]
    header += ["answer, s", "answer under attack, s", "gas a query", "gas of one under attack", "gas in all"]
    rows = []
    for name, attack, part in _ring_parts(results):
        gas, answer = part["gas_per_query"], part["answer_seconds"]
        line = [name, attack, str(part["settings"]["batch"])]
        line += [seconds(part["detect_seconds"]), seconds(part["restore_seconds"])]
        line += [seconds(answer["quiet"]), seconds(answer["attacked"])]
        rows.append([*line, count(gas["quiet"]["median"]), count(gas["attacked"]["median"]), count(part["gas"])])
    return table(header, rows)


def _ring_parts(results: Results) -> list[tuple[str, str, Json]]:
    return [
        (name, attack, result["parts"][part])
        for name, result in results.items()
        for part, attack in PASSES.items()
        if part in result["parts"]
    ]


def run_table(results: Results) -> str:
    """How each row was made: command, seed, data, model, machine, durations."""
    rows = []
    for name, result in results.items():
        identity, parts = result["identity"], result["parts"]
        if not parts:
            continue
        checkpoint = identity["model"]["checkpoint_sha256"][:16] or "-"
        data = f"{identity['data']['test_images']:,} images, `{identity['data']['sha256'][:16]}`"
        commands = dict.fromkeys(f"`{part['command']}`" for part in parts.values())
        durations = ", ".join(f"{part}: {entry['seconds']:g}" for part, entry in parts.items())
        rows.append([name, "; ".join(commands), str(identity["settings"]["seed"]), data, f"`{checkpoint}`", durations])
    header = ["row", "command", "seed", "test data, SHA-256", "checkpoint, SHA-256", "seconds of each part"]
    return table(header, rows) + "\n\n" + _machines(results)


def _machines(results: Results) -> str:
    found = dict.fromkeys(
        f"{part['machine']['cpu']}, {part['machine']['cores']} cores; torch {part['versions']['torch']}, "
        f"Python {part['versions']['python']}" + (f", {part['node']}" if "node" in part else "")
        for result in results.values()
        for part in result["parts"].values()
    )
    # Parts without a chain name no node: their line says nothing that a longer one does not.
    lines = [line for line in found if not any(other != line and other.startswith(line) for other in found)]
    return "Computed on: " + "; ".join(lines) + "."


def _provenance(result: Json, parts: Sequence[str]) -> str:
    commands = dict.fromkeys(f"`{result['parts'][part]['command']}`" for part in parts)
    total = sum(result["parts"][part]["seconds"] for part in parts)
    return f"{', '.join(commands)}: {total:g} s. {_machines({'': result})}"


def sweep_text(results: Results, names: Mapping[str, str]) -> str:
    """The plots of the attacks, and how they were made.

    Args:
        results: by network.
        names: file of each plot, relative to the page, by "network/kind".
    """
    lines = []
    for name in results:
        shown = [names[key] for key in names if key.startswith(f"{name}/")]
        lines.append(f"### {name}\n\n" + "\n\n".join(f"![{path}]({path})" for path in shown))
    return "\n\n".join([*lines, run_table(results)])
