"""Fixtures for the tests of the reference services."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.reference.prefork import LAUNCHERS, Place, require
from tests.reference.support import Service


@pytest.fixture
def service() -> Iterator[Service]:
    """A service with its defaults; it must end in good order when the test is over."""
    with Service() as running:
        yield running


@pytest.fixture(scope="module")
def shared() -> Iterator[Service]:
    """One service for all tests of a module, for those that leave it as it was."""
    with Service() as running:
        yield running


@pytest.fixture(params=LAUNCHERS, scope="module")
def shared_place(request: pytest.FixtureRequest) -> Iterator[Place]:
    """A place for all tests of a module, for those that leave it as it was."""
    require(request.param)
    place = Place(request.param)
    yield place
    place.close()


@pytest.fixture(params=LAUNCHERS)
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    """A place of this test's own, for each launcher of the prefork interpreter."""
    require(request.param)
    place = Place(request.param)
    yield place
    place.close()
