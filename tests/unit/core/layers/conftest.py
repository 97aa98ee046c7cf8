"""The client that the tests of alternate hosts share."""

from __future__ import annotations

import pytest

from kit.front_ends import FrontEnd
from kit.hosts import Bench


@pytest.fixture
def bench(front_end: FrontEnd) -> Bench:
    """A client whose first host is up."""
    return Bench(front_end)
