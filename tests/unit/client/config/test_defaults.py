"""The default of a keyword that falls back to the client's own setting."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from http_service_client.client.config.defaults import CLIENT_DEFAULT


@pytest.mark.parametrize("how", [copy.copy, copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))])
def test_there_is_one_default_of_the_client(how: Callable[[Any], Any]) -> None:
    """It is compared by identity: a call that was pickled has it, too."""
    assert how(CLIENT_DEFAULT) is CLIENT_DEFAULT
