"""One process for all tests of a module that use another process's memory and descriptors."""

from collections.abc import Iterator

import pytest

from tests.kernel.patient import Patient


@pytest.fixture(scope="module")
def patient_of_the_module() -> Iterator[Patient]:
    with Patient() as patient:
        yield patient


@pytest.fixture
def patient(patient_of_the_module: Patient) -> Iterator[Patient]:
    """A process with an empty buffer, which holds no descriptor that the test did not give it."""
    yield patient_of_the_module
    patient_of_the_module.forget()
