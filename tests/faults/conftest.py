"""Certificates and the metronome of the fault matrix."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from faults.runner import fake_resolver
from kit.metronome import Metronome
from network.faults import Certificates


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Certificates that the clients trust."""
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="session")
def strangers(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Certificates that no client trusts."""
    return Certificates(tmp_path_factory.mktemp("strangers"))


@pytest.fixture(scope="module")
def metronome() -> Iterator[Metronome]:
    """Measures how long the machine stood still, so that no client is blamed for it. Names are faked meanwhile."""
    with Metronome() as metronome, fake_resolver():
        yield metronome
