"""The metrics of the demo's clients, for a Prometheus on the same machine."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from wsgiref.simple_server import WSGIRequestHandler, make_server

from ...client.client import HttpServiceClient
from ...errors import ConfigurationError
from ...observability.prometheus import PrometheusCollector

__all__ = ["serve_metrics"]


class _Silent(WSGIRequestHandler):
    def log_message(self, format: str, *arguments: object) -> None:
        """Nothing: the screen is the demo's."""


@contextmanager
def serve_metrics(clients: Mapping[str, HttpServiceClient], port: int) -> Iterator[str]:
    """A server of their metrics on loopback; its address.   port: 0 for any free one.

    Raises ConfigurationError when the port is not free, or prometheus_client is missing.
    """
    collector = PrometheusCollector(clients)
    from prometheus_client import CollectorRegistry, make_wsgi_app

    registry = CollectorRegistry()
    registry.register(collector)
    try:
        server = make_server("127.0.0.1", port, make_wsgi_app(registry), handler_class=_Silent)
    except OSError as error:
        raise ConfigurationError(
            f"cannot show metrics at port {port} ({error}); choose another one"
        ) from None
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), name="pizzeria-metrics", daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/metrics"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
