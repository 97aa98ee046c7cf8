"""What an adapter makes of the URL of a request, and of a request that another adapter around it is making."""

from __future__ import annotations

from typing import Any

import pytest
import requests
from requests.adapters import BaseAdapter

from http_service_client import ConstantBackoff, HttpClientConfig, HttpRequest, RetryPolicy
from http_service_client.integrations import ResilientAdapter

AT_ONCE = HttpClientConfig(
    retry_policy_config=RetryPolicy(3, ConstantBackoff(0.0, jitter="none")), enable_retry_budget=False
)


class Down(BaseAdapter):
    """Each response is a 503, without a body: `raw` is not set."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[tuple[str | None, str | None]] = []

    def send(self, request: requests.PreparedRequest, *arguments: Any, **options: Any) -> requests.Response:
        self.sent.append((request.method, request.url))
        response = requests.Response()
        response.status_code, response.request, response.url = 503, request, str(request.url)
        return response

    def close(self) -> None:
        """There is nothing to close."""


class Around(Down):
    """Passes each request on to another adapter, as it is or as another one."""

    def __init__(self, inner: BaseAdapter, **changes: str) -> None:
        super().__init__()
        self._inner = inner
        self._changes = changes

    def send(self, request: requests.PreparedRequest, *arguments: Any, **options: Any) -> requests.Response:
        request = request.copy()
        for name, value in self._changes.items():
            setattr(request, name, value)
        return self._inner.send(request, *arguments, **options)


@pytest.mark.parametrize(
    ("changes", "exchanges"),
    [
        ({}, 3),
        ({"method": "get"}, 3),
        ({"url": "http://A.test:80/items"}, 3),
        ({"method": "HEAD"}, 9),
        ({"url": "http://a.test/other"}, 9),
    ],
)
def test_of_two_adapters_around_one_exchange_the_outer_one_retries(
    changes: dict[str, str], exchanges: int
) -> None:
    """Another request that is made for it is a call of its own."""
    down = Down()
    outer = ResilientAdapter(AT_ONCE, adapter=Around(ResilientAdapter(AT_ONCE, adapter=down), **changes))
    with requests.Session() as session:
        session.mount("http://", outer)
        assert session.get("http://a.test/items").status_code == 503
    assert len(down.sent) == exchanges


@pytest.mark.parametrize(
    ("url", "known"),
    [
        ("http://A.test:80/x", "http://a.test/x"),
        ("http+docker://localhost/v1.4/info", "http://http-docker.localhost.invalid/"),
        ("http+unix://%2Fvar%2Frun%2Fsock/info", "http+unix://%2Fvar%2Frun%2Fsock/info"),
        ("http+x://user:pw@Host:8080/", "http://http-x.host-8080.invalid/"),
        ("http+x:///info", "http://http-x.unknown.invalid/"),
        ("http+x:info", "http://unknown.unknown.invalid/"),
        (f"http+x://{'a' * 300}/", "http://unknown.invalid/"),
    ],
)
def test_an_origin_of_another_scheme_has_a_name_of_its_own(url: str, known: str) -> None:
    """By which its state is kept: one that no host can have (RFC 2606), without credentials. A Unix socket is known."""
    seen: list[str] = []

    def idempotent(request: HttpRequest) -> bool:
        seen.append(request.url)
        return False

    down = Down()
    adapter = ResilientAdapter(AT_ONCE, adapter=down, idempotent=idempotent)
    prepared = requests.Request("GET", "http://a.test/").prepare()
    prepared.url = url
    assert adapter.send(prepared).status_code == 503
    assert seen == [known]
    assert down.sent == [("GET", url)]
