"""Orders that ask a stock service, with Flask.

    gunicorn flask_orders:app                                       # sync workers
    gunicorn --worker-class gthread --threads 8 flask_orders:app
    gunicorn --worker-class gevent --preload flask_orders:app

The client may be made at import, before the workers are forked: each worker opens connections of its own.
"""

from __future__ import annotations

import os
from typing import Any

from flask import Flask, Response
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from http_service_client import HttpClientConfig, HttpClientError, HttpServiceClient, Propagation
from http_service_client.integrations.error_responses import error_response
from http_service_client.integrations.wsgi import DeadlineMiddleware, HealthEndpoint

CONFIG = HttpClientConfig(base_timeout=5.0, propagation=Propagation())
stock = HttpServiceClient(CONFIG, base_url=os.environ.get("STOCK_URL", "https://stock.internal"))

app = Flask(__name__)
app.wsgi_app = DeadlineMiddleware(app.wsgi_app, max_timeout=30.0)
# For a readiness probe, of the worker that responds: each has circuits and counts of its own.
app.wsgi_app = DispatcherMiddleware(app.wsgi_app, {"/health/clients": HealthEndpoint(stock)})


@app.errorhandler(HttpClientError)
def a_service_behind_failed(error: HttpClientError) -> Response:
    response = error_response(error)
    if response is None:
        raise error  # a bug of ours: Flask's 500, and its log
    return Response(response.body, response.status, response.headers)


@app.get("/orders/<int:order>")
def show_order(order: int) -> Any:
    return stock.get("/items/{order}", path_params={"order": order}).raise_for_status().json()


@app.get("/lists/<int:order>")
def show_list(order: int) -> Response:
    """A body that is made piece by piece: the caller's time bounds its calls, too."""

    def lines() -> Any:
        for number in (order, order + 1):
            yield stock.get(f"/items/{number}").raise_for_status().content + b"\n"

    return Response(lines(), mimetype="application/x-ndjson")
