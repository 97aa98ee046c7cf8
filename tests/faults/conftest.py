"""What the fault matrix stands on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from faults.stage import resolving
from kit.metronome import Metronome
from network.faults import Certificates


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Certificates that our clients trust."""
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="session")
def strangers(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Certificates that nobody trusts."""
    return Certificates(tmp_path_factory.mktemp("strangers"))


@pytest.fixture(scope="module")
def metronome() -> Iterator[Metronome]:
    """Tells the client's own time from the machine's."""
    with Metronome() as metronome, resolving():
        yield metronome
