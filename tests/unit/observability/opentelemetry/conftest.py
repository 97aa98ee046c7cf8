"""What the tests of OpenTelemetry share. Other tests of the folder run where it is not installed."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from kit.otel import Collected


@pytest.fixture
def collected() -> Collected:
    """What a client reports to the real SDK."""
    from kit.otel import Collected

    return Collected()


@pytest.fixture
def nothing_logged_or_left(caplog: pytest.LogCaptureFixture) -> Any:
    """OpenTelemetry logs each misuse of a context or a span, and each test ends outside of any span."""
    from opentelemetry import context as otel_context

    with caplog.at_level(logging.WARNING, "opentelemetry"):
        yield
    records = caplog.get_records("call")  # `records` are those of the phase, which is the teardown here
    assert [record.getMessage() for record in records if record.name.startswith("opentelemetry")] == []
    assert otel_context.get_current() == {}
