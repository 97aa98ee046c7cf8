"""OpenTelemetry for all clients: by a line of code, or by none, where a process runs under `opentelemetry-instrument`."""

from __future__ import annotations

from typing import Any

from ..telemetry import use_for_all_clients
from .telemetry import OpenTelemetry

__all__ = ["Instrumentor", "instrument", "uninstrument"]


def instrument(telemetry: OpenTelemetry | None = None) -> None:
    """Have all clients seen that set no `telemetry` of their own, also those that exist and those inside adapters.

    Calls in flight end as they began. A second time replaces the first.

    telemetry: None for one that has the providers of the process.
    """
    use_for_all_clients(OpenTelemetry() if telemetry is None else telemetry)


def uninstrument() -> None:
    """Undo `instrument`: later calls of these clients are not seen."""
    use_for_all_clients(None)


class Instrumentor:
    """What `opentelemetry-instrument` finds by the name ``http_service_client``, and calls at the start of a process."""

    def instrument(self, *, tracer_provider: Any = None, meter_provider: Any = None, **_: object) -> None:
        """As the function `instrument`."""
        instrument(OpenTelemetry(tracer_provider=tracer_provider, meter_provider=meter_provider))

    def uninstrument(self, **_: object) -> None:
        """As the function `uninstrument`."""
        uninstrument()
