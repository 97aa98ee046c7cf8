"""Orders ask stock, and stock asks a database that fails: who retries, and how many requests reach each of them."""

from __future__ import annotations

from typing import Any

import pytest

from http_service_client import HttpClientError, HttpRequest, HttpResponse, Propagation
from http_service_client.integrations.error_responses import error_response
from http_service_client.integrations.wsgi import DeadlineMiddleware
from kit.inbound import Downstream

ORDERS = "https://stock.internal/orders"


class Stock:
    """A service with a client of its own.   says_so: its responses say when its retries are used up."""

    def __init__(self, database: Downstream, says_so: bool) -> None:
        self._database = database
        self._says_so = says_so
        self._app = DeadlineMiddleware(self._handle)

    def _handle(self, environ: dict[str, Any], start_response: Any) -> list[bytes]:
        try:
            self._database.client.get("https://database.internal/").raise_for_status()
        except HttpClientError as error:
            response = error_response(error)
            assert response is not None
            headers = response.headers if self._says_so else {}
            start_response(f"{response.status} Failed", list(headers.items()))
            return [response.body]
        start_response("200 OK", [])
        return [b""]

    def respond(self, request: HttpRequest) -> HttpResponse:
        """As the network between the two services."""
        started: list[Any] = []
        environ = {
            f"HTTP_{name.upper().replace('-', '_')}": value for name, value in request.headers.multi_items()
        }
        body = b"".join(self._app(environ, lambda *about: started.extend(about)))
        return HttpResponse(int(started[0].split()[0]), headers=dict(started[1]), content=body)


@pytest.mark.parametrize(
    ("propagation", "says_so", "method", "to_stock", "to_the_database"),
    [
        pytest.param(None, False, "GET", 3, 9, id="without coordination"),
        pytest.param(Propagation(), False, "GET", 3, 3, id="the caller retries"),
        pytest.param(
            Propagation(), True, "GET", 3, 3, id="the caller retries, whatever the responses could say"
        ),
        pytest.param(None, True, "GET", 1, 3, id="the nearest level retries"),
        pytest.param(
            Propagation(), False, "POST", 1, 3, id="a caller that may not repeat leaves the retries to stock"
        ),
    ],
)
def test_one_level_of_a_chain_retries(
    propagation: Propagation | None, says_so: bool, method: str, to_stock: int, to_the_database: int
) -> None:
    """As the table of the page about chains says."""
    database = Downstream(HttpResponse(500), propagation=None)
    stock = Stock(database, says_so)
    orders = Downstream(stock.respond, propagation=propagation)
    assert orders.client.request(method, ORDERS).status_code == 502
    assert len(orders.network.sent) == to_stock
    assert len(database.network.sent) == to_the_database


def test_a_chain_shares_one_deadline() -> None:
    """The last service has what the first caller and all waits in between have left."""
    database = Downstream(HttpResponse(500), HttpResponse(200), retry_policy_config={"jitter": "none"})
    orders = Downstream(Stock(database, says_so=True).respond)
    orders.client.post(ORDERS, total_timeout=2.5)
    assert database.sent("X-Request-Timeout-Ms") == ["2500", "1500"]
