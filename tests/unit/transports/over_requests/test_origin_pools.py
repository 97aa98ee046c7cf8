"""The pools of the blocking transport: which there are, for how long, and what each is given to send."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from http_service_client import HttpRequest, InvalidRequestError
from http_service_client.http.proxies.settings import ProxySettings
from http_service_client.http.urls import split_url
from http_service_client.transports.base import TransportSettings
from http_service_client.transports.idle import IdleConnections
from http_service_client.transports.network.tls import TlsSettings
from http_service_client.transports.over_requests import origin_pools
from http_service_client.transports.over_requests.exchange_timeouts import ExchangeTimeouts
from http_service_client.transports.over_requests.origin_pools import Pools, target_of, wire_body

TIMEOUTS = ExchangeTimeouts(None, None, None, None)
PROXY, SOCKS = "http://proxy.test:3128", "socks5://proxy.test:1080"


class Pool:
    """Notes what it is given to send."""

    made: list[Pool]

    def __init__(self, url: Any, proxy: Any, settings: Any, opened: Any) -> None:
        self.url, self.proxy = url, proxy
        self.sent: list[tuple[Any, ...]] = []
        self.has_idle_connections = False
        self.closed = 0
        self.made.append(self)

    def send(self, *given: Any) -> Pool:
        self.sent.append(given)
        return self

    def close(self) -> None:
        self.closed += 1


class Looks(IdleConnections):
    """The idle connections, and the instants before which they were closed."""

    def __init__(self) -> None:
        super().__init__()
        self.instants: list[float] = []

    def close_older_than(self, instant: float) -> None:
        self.instants.append(instant)


@pytest.fixture
def idle(monkeypatch: pytest.MonkeyPatch) -> Looks:
    monkeypatch.setattr(origin_pools, "Pool", Pool)
    monkeypatch.setattr(Pool, "made", [], raising=False)
    monkeypatch.setattr(origin_pools, "time", SimpleNamespace(monotonic=lambda: 1000.0))
    return Looks()


@pytest.fixture
def pools(idle: Looks) -> Pools:
    return Pools(TransportSettings(60.0, 100, None, True, TlsSettings(), ProxySettings(), idle=idle))


def send(pools: Pools, request: HttpRequest, proxy: str | None = None) -> Any:
    """The pool that is given the request."""
    return pools.send(request, wire_body(request), TIMEOUTS, proxy)


def sent(pools: Pools, request: HttpRequest, proxy: str | None = None) -> tuple[Any, ...]:
    """What the pool is given."""
    return send(pools, request, proxy).sent[-1]  # type: ignore[no-any-return]


def chunks() -> Iterator[bytes]:
    yield b"ab"


async def chunks_async() -> Any:
    yield b"ab"


def test_the_body_to_send_is_what_a_thread_can_read() -> None:
    """Bytes as they are, else the chunks; none for an empty one. An asynchronous source needs an event loop."""
    assert wire_body(HttpRequest("POST", "http://a.test/")) is None
    assert wire_body(HttpRequest("POST", "http://a.test/", content=b"")) is None
    assert wire_body(HttpRequest("POST", "http://a.test/", content=b"ab")) == b"ab"
    body: Any = wire_body(HttpRequest("POST", "http://a.test/", data=chunks()))
    assert list(body) == [b"ab"]
    with pytest.raises(InvalidRequestError):
        wire_body(HttpRequest("POST", "http://a.test/", data=chunks_async()))


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("says_so", [False, True])
def test_a_request_without_a_body_says_so_where_one_could_be(
    pools: Pools, method: str, says_so: bool
) -> None:
    """Once. A server may wait for one otherwise (RFC 9110, 8.6)."""
    headers = {"Content-Length": "0"} if says_so else {}
    given = sent(pools, HttpRequest(method, "http://a.test/", headers={"X-Id": "1", **headers}))
    fields = given[2] if isinstance(given[2], list) else given[2].pairs()
    is_added = says_so or method in ("POST", "PUT", "PATCH", "DELETE")
    assert [("X-Id", "1"), ("Content-Length", "0")][: 1 + is_added] == list(fields)
    assert (given[0], given[3], given[5]) == (method, None, False)


@pytest.mark.parametrize("length", [None, "2"])
@pytest.mark.parametrize("source", [chunks, lambda: b"ab"], ids=["chunks", "bytes"])
def test_a_body_has_its_length_or_is_sent_in_chunks(pools: Pools, length: str | None, source: Any) -> None:
    """The length is a header field by then, if it is known."""
    headers = {} if length is None else {"Content-Length": length}
    given = sent(pools, HttpRequest("POST", "http://a.test/", headers=headers, data=source()))
    assert given[5] is (length is None)
    assert b"".join([given[3]] if isinstance(given[3], bytes) else given[3]) == b"ab"


@pytest.mark.parametrize(("connection", "is_last"), [(None, False), ("close", True), ("keep-alive", False)])
def test_a_request_may_end_its_connection(pools: Pools, connection: str | None, is_last: bool) -> None:
    """By its own Connection field."""
    headers = {} if connection is None else {"Connection": connection}
    given = sent(pools, HttpRequest("GET", "http://a.test/", headers=headers))
    assert (given[4], given[6]) == (TIMEOUTS, is_last)


@pytest.mark.parametrize(
    ("url", "proxy", "target"),
    [
        ("http://a.test/x?y", None, "/x?y"),
        ("http://a.test/x?y", PROXY, "http://a.test/x?y"),
        ("https://a.test/x?y", PROXY, "/x?y"),
        ("http://a.test/x?y", SOCKS, "/x?y"),
        ("https://a.test/x?y", SOCKS, "/x?y"),
    ],
)
def test_only_a_proxy_that_forwards_gets_the_whole_url(
    pools: Pools, url: str, proxy: str | None, target: str
) -> None:
    """In a tunnel, or through SOCKS, the origin itself reads the request (RFC 9112, 3.2)."""
    assert sent(pools, HttpRequest("GET", url), proxy)[1] == target
    assert target_of(url, split_url(url), proxy) == target


def test_each_origin_and_way_to_it_has_one_pool(pools: Pools) -> None:
    """Path and query do not matter; scheme, host, port and proxy do."""
    ways = [
        ("http://a.test/", None),
        ("https://a.test/", None),
        ("http://b.test/", None),
        ("http://a.test:81/", None),
        ("http://a.test/", PROXY),
        ("http://a.test/", SOCKS),
    ]
    found = [send(pools, HttpRequest("GET", url), proxy) for url, proxy in ways]
    assert found == Pool.made
    for (url, proxy), pool in zip(ways, found, strict=True):
        assert send(pools, HttpRequest("GET", url + "other?x=1"), proxy) is pool
        assert pools.get(split_url(url), proxy) is pool
        assert pool.url.origin == split_url(url).origin
        assert (pool.proxy is None) is (proxy is None)
    new = split_url("http://new.test/")
    assert pools.get(new, None) is pools.get(new, None)
    assert len(Pool.made) == 7


def test_a_new_pool_has_the_connections_closed_that_were_idle_for_too_long(pools: Pools, idle: Looks) -> None:
    """Nobody would look at those of hosts that are not called any more."""
    for host in ("a", "b", "a"):
        send(pools, HttpRequest("GET", f"http://{host}.test/"))
    assert idle.instants == [940.0, 940.0]


def test_pools_without_a_connection_are_forgotten_when_there_are_many(pools: Pools) -> None:
    """All but the newest. The next time comes when there are twice as many, and never for fewer than 256."""

    def add(first: int, last: int) -> None:
        for host in range(first, last + 1):
            send(pools, HttpRequest("GET", f"http://host{host}.test/"))

    def kept() -> list[int]:
        return [number for number, pool in enumerate(Pool.made) if not pool.closed]

    add(0, 255)
    assert len(kept()) == 256
    for pool in Pool.made[:200]:
        pool.has_idle_connections = True
    add(256, 256)
    assert kept() == [*range(200), 256]
    add(0, 199)
    assert len(Pool.made) == 257  # those that were kept are used
    add(257, 457)
    assert len(kept()) == 402
    add(458, 458)
    assert kept() == [*range(200), 458]
    for pool in Pool.made:
        pool.has_idle_connections = False
    add(459, 660)
    assert kept() == [660]
    add(661, 915)
    assert len(kept()) == 256
    add(916, 916)
    assert kept() == [916]
    assert all(pool.closed <= 1 for pool in Pool.made)


def test_closing_closes_every_pool_and_those_of_calls_that_go_on(pools: Pools) -> None:
    """A call that had begun makes its exchange; its connection is not kept."""
    send(pools, HttpRequest("GET", "http://a.test/"))
    send(pools, HttpRequest("GET", "http://b.test/"))
    assert [pool.closed for pool in Pool.made] == [0, 0]
    pools.close()
    assert [pool.closed for pool in Pool.made] == [1, 1]
    send(pools, HttpRequest("GET", "http://c.test/"))
    assert [pool.closed for pool in Pool.made] == [1, 1, 1]
