"""The operators' part of docs/formats.md, section 3: python -m tests.unit.model.operator_formulas writes it."""

from __future__ import annotations

from pathlib import Path

from deepring_chain.model.operators import OPERATORS

FORMATS = Path(__file__).parents[3] / "docs" / "formats.md"
BEGIN = "<!-- operators: written by `make formats` from deepring_chain/model/operators -->\n"
END = "<!-- end of operators -->\n"


def formulas() -> str:
    return "".join(operator.formula for operator in OPERATORS.values())


def with_formulas(text: str) -> str:
    before, rest = text.split(BEGIN)
    return f"{before}{BEGIN}{formulas()}{END}{rest.split(END)[1]}"


if __name__ == "__main__":
    FORMATS.write_text(with_formulas(FORMATS.read_text()))
