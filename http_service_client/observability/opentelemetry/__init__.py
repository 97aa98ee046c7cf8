"""OpenTelemetry's traces and metrics of calls, by the semantic conventions for HTTP. They need its API alone.

Importing this imports nothing of OpenTelemetry: that happens when an `OpenTelemetry` is made.
"""

from .instrumentor import Instrumentor, instrument, uninstrument
from .telemetry import OpenTelemetry

__all__ = ["Instrumentor", "OpenTelemetry", "instrument", "uninstrument"]
