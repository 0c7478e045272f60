"""A real model, where there is one: DICEM_TEST_ENDPOINT names the config of its endpoint."""

from __future__ import annotations

import os

import pytest

from dicem_codegen.generate.checks import Bench, check_program
from dicem_codegen.generate.config import load_endpoint
from dicem_codegen.generate.endpoint import Endpoint
from dicem_codegen.generate.loop import generate
from dicem_shared.catalog import catalog

CONFIG = os.environ.get("DICEM_TEST_ENDPOINT")


@pytest.mark.skipif(not CONFIG, reason="no endpoint: set DICEM_TEST_ENDPOINT to the config of one")
def test_a_real_model_writes_a_program_that_passes() -> None:
    functions = catalog()
    endpoint = Endpoint(load_endpoint(CONFIG), say=print)
    with Bench(functions) as bench:
        generated = generate(
            "Is there litter within five metres, and what is it made of?", functions, endpoint,
            lambda source: check_program(source, functions, bench=bench),
        )  # fmt: skip
    assert generated.checked.passed
    assert "execute_" in generated.checked.source
