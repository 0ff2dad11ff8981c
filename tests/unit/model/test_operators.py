"""Every operator by what its file says: example, bytes, twin, formula."""

from __future__ import annotations

import pytest

from deepring_chain.importing.onnx_modules import HANDLERS as NODES_TAKEN
from deepring_chain.importing.split import HANDLERS, SUPPORTED
from deepring_chain.model.operator import FloatForm
from deepring_chain.model.operators import OPERATORS
from tests.unit.model.operator_checks import check_example, check_layers
from tests.unit.model.operator_formulas import FORMATS, formulas, with_formulas

FORMS = {name: operator.floats for name, operator in OPERATORS.items() if operator.floats is not None}


@pytest.fixture(params=sorted(FORMS))
def name(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.fixture
def form(name: str) -> FloatForm:
    return FORMS[name]


def test_example_answers_as_its_float_network(name: str, form: FloatForm) -> None:
    check_example(name, form)


def test_layers_of_the_example_survive_their_bytes_and_have_twins(form: FloatForm) -> None:
    check_layers(form)


def test_importer_takes_what_the_files_name(form: FloatForm) -> None:
    assert form.modules.items() <= HANDLERS.items()
    assert form.nodes.items() <= NODES_TAKEN.items()
    assert all(module.__name__ in SUPPORTED.split(", ") for module in form.modules)


def test_formats_hold_the_formulas() -> None:
    text = FORMATS.read_text()
    assert with_formulas(text) == text, "make formats"
    for name in OPERATORS:
        assert f"- Operator `{name}`: " in formulas()
