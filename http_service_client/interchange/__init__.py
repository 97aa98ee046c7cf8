"""Settings as other systems say them, and what those say as settings.

    export(config, to="envoy")              the route's retry policy, the cluster's limits and outlier detection
    export(config, to="grpc")               the service config of gRPC
    export(config, to="gateway-api")        the rule of an HTTPRoute, and the XBackendTrafficPolicy of its backend
    export(config, to="polly")              the options of Microsoft.Extensions.Http.Resilience, for appsettings.json

    from_envoy(document), from_grpc_service_config(document), from_gateway_api(document), from_polly(document)

No two of them mean the same by a retry, a budget or a circuit. So each result has notes: every setting that cannot be said on the
other side, or not exactly, by its name, with its value and what becomes of it. What an export says, an import of its document
sets again.

For a service behind a mesh, an export shows what the mesh would have to do so that the client need not, and an import what it
does already: only one of them should retry.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from ..client.config.client_config import HttpClientConfig
from ..core.checks import did_you_mean
from ..errors import ConfigurationError
from .envoy import from_envoy, to_envoy
from .gateway_api import from_gateway_api, to_gateway_api
from .grpc import from_grpc_service_config, to_grpc
from .notes import Export, Import, Note
from .polly import from_polly, to_polly
from .settings import Exporting

__all__ = [
    "Export",
    "Import",
    "Note",
    "export",
    "from_envoy",
    "from_gateway_api",
    "from_grpc_service_config",
    "from_polly",
]

_FORMATS: dict[str, Callable[[Exporting], Export]] = {
    "envoy": to_envoy,
    "grpc": to_grpc,
    "gateway-api": to_gateway_api,
    "polly": to_polly,
}


def export(config: HttpClientConfig, *, to: Literal["envoy", "grpc", "gateway-api", "polly"]) -> Export:
    """The configuration as another system says it.

    to: "envoy", "grpc", "gateway-api" or "polly".

    The document holds plain values. Its notes name each setting that it does not say. Raises ConfigurationError (a ValueError)
    for anything but a configuration, and for an unknown format.
    """
    if not isinstance(config, HttpClientConfig):
        from ..client.config.remedies import config_remedy

        raise ConfigurationError(
            f"config must be an HttpClientConfig, not {config!r:.100}{config_remedy(config)}"
        )
    if to not in _FORMATS:
        hint = did_you_mean(to, _FORMATS) or f"choose among {', '.join(_FORMATS)}"
        raise ConfigurationError(f"to has the unknown format {to!r}; {hint}")
    return _FORMATS[to](Exporting(config))
