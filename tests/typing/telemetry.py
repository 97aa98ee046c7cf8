"""How a user types a client with telemetry."""

from __future__ import annotations

from http_service_client import HttpServiceClient
from http_service_client.observability import OpenTelemetry, instrument, uninstrument

telemetry = OpenTelemetry(hosts=["*.internal.example.com"])
HttpServiceClient(telemetry=telemetry)
HttpServiceClient(telemetry=None)
HttpServiceClient(telemetry=False)
HttpServiceClient(telemetry=True)  # type: ignore[arg-type]
OpenTelemetry(hosts="api.example.com", tracer="t")  # type: ignore[call-arg]
instrument()
instrument(telemetry)
uninstrument()
