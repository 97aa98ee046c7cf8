"""Exchanges through requests, over pools that a test has scripted: what each side is given of the other.

By our own `send`, and by that of requests, where another library has replaced it.
"""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import requests
import requests.adapters
from urllib3.util import Timeout as Urllib3Timeout

from http_service_client import ConfigurationError, HttpRequest
from http_service_client.http.bodies.encoding import FORM
from http_service_client.http.headers import Headers
from http_service_client.http.http1.errors import NotHttpError
from http_service_client.http.proxies.settings import ProxySettings
from http_service_client.transports.base import TransportSettings
from http_service_client.transports.compatibility import SeamNotice
from http_service_client.transports.failures import Phase, PhaseError
from http_service_client.transports.network.tls import TlsSettings
from http_service_client.transports.over_requests.exchange_timeouts import ExchangeTimeouts
from http_service_client.transports.over_requests.hooked import adapter as module
from http_service_client.transports.over_requests.hooked import compatibility, exchanges, vcr
from http_service_client.transports.over_requests.hooked.adapter import CarriedTimeouts, prepare
from http_service_client.transports.over_requests.hooked.exchanges import RequestsExchanges, RequestsResponse

LIMITS = ExchangeTimeouts(1.0, 2.0, 3.0, 4.0)
PROXY = "http://proxy.test:3128"


class Response:
    """As a pool has it."""

    def __init__(self, status: int = 201, *pieces: bytes) -> None:
        self.status, self.reason = status, "Because"
        self.pieces = list(pieces)
        self.fields = [("X-Id", "1"), ("Location", "/there")]
        self.headers = Headers(self.fields)
        self.content_coding = None
        self.closed = 0

    def read(self) -> bytes:
        return self.pieces.pop(0) if self.pieces else b""

    def close(self) -> None:
        self.closed += 1


class Pools:
    """Notes which pool is used for what.   gives: the response, or an error."""

    def __init__(self) -> None:
        self.gives: Any = Response()
        self.sent: list[Any] = []

    def get(self, url: Any, proxy: str | None) -> Any:
        def send(method: str, target: str, fields: Any, body: Any, timeouts: Any, **framed: bool) -> Any:
            body = b"".join(body) if isinstance(body, Iterator) else body
            self.sent.append((url.origin, proxy, method, target, fields, body, framed))
            assert timeouts is LIMITS
            if isinstance(self.gives, BaseException):
                raise self.gives
            return self.gives

        return SimpleNamespace(send=send)


def through(pools: Any) -> RequestsExchanges:
    return RequestsExchanges(TransportSettings(60.0, 100, 1000, True, TlsSettings(), ProxySettings()), pools)


def send(pools: Any, request: HttpRequest, body: Any = None, proxy: str | None = None) -> RequestsResponse:
    return through(pools).send(request, body, LIMITS, proxy)


@pytest.fixture(params=[False, True], ids=["our send", "the send of requests"])
def pools(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Pools:
    """Used by either. That of requests asks the adapter for a pool."""
    monkeypatch.setattr(module, "is_adapter_replaced", lambda: request.param)
    return Pools()


def chunks() -> Iterator[bytes]:
    yield b"ab"
    yield b"cd"


CASES: list[Any] = [
    ("GET", "http://a.test/x?y=1", None, {}, None, ("http://a.test", None, "/x?y=1"), {}, False),
    ("GET", "https://a.test:8443/x", PROXY, {}, None, ("https://a.test:8443", PROXY, "/x"), {}, False),
    ("GET", "http://a.test/x", PROXY, {}, None, ("http://a.test", PROXY, "http://a.test/x"), {}, False),
    ("HEAD", "http://a.test/", None, {}, None, ("http://a.test", None, "/"), {}, False),
    ("POST", "http://a.test/", None, {}, None, ("http://a.test", None, "/"), {"Content-Length": "0"}, False),
    (
        "POST",
        "http://a.test/",
        None,
        {"Content-Length": "4"},
        b"abcd",
        ("http://a.test", None, "/"),
        {},
        False,
    ),
    ("PUT", "http://a.test/", None, {}, chunks, ("http://a.test", None, "/"), {}, True),
    ("PUT", "http://a.test/", None, {"Content-Length": "4"}, chunks, ("http://a.test", None, "/"), {}, False),
]


@pytest.mark.parametrize(("method", "url", "proxy", "headers", "body", "way", "added", "is_chunked"), CASES)
@pytest.mark.parametrize("closes", [False, True])
def test_a_pool_gets_what_it_would_without_requests(
    pools: Pools,
    method: str,
    url: str,
    proxy: str | None,
    headers: dict[str, str],
    body: Any,
    way: tuple[str, str | None, str],
    added: dict[str, str],
    is_chunked: bool,
    closes: bool,
) -> None:
    """The pool of the origin and the proxy, the target, the fields in their order, how the body is framed."""
    given = {"X-Id": "1", **headers, **({"Connection": "close"} if closes else {})}
    send(pools, HttpRequest(method, url, headers=given), body() if callable(body) else body, proxy)
    ((origin, used, sent, target, fields, content, framed),) = pools.sent
    assert ((origin, used, target), sent) == (way, method)
    assert fields == [*given.items(), *added.items()]
    assert content == (b"abcd" if body else None)
    assert framed == {"is_chunked": is_chunked, "is_last": closes}


def test_the_exchange_gets_the_response_of_the_pool(pools: Pools) -> None:
    """Unread, and with its own fields; closing it closes that of the pool."""
    pools.gives = made = Response(201, b"ab", b"cd")
    response = send(pools, HttpRequest("GET", "http://a.test/"))
    assert (response.status, response.reason, response.location) == (201, "Because", "/there")
    assert response.fields is made.fields
    assert len(made.pieces) == 2
    assert [response.read(1), response.read(1), response.read(1)] == [b"ab", b"cd", b""]
    response.close()
    assert made.closed


def test_a_redirect_is_the_core_s(pools: Pools) -> None:
    """requests neither follows it nor reads its body."""
    pools.gives = made = Response(302, b"ab")
    response = send(pools, HttpRequest("GET", "http://a.test/"))
    assert (response.status, len(made.pieces), len(pools.sent)) == (302, 1, 1)


def test_a_form_is_text_for_those_that_look_at_it(pools: Pools, monkeypatch: pytest.MonkeyPatch) -> None:
    """As requests has it; the pool gets bytes."""
    seen: list[Any] = []
    real = module.PooledAdapter.send

    def look(self: Any, request: Any, **options: Any) -> Any:
        seen.append(request.body)
        return real(self, request, **options)

    monkeypatch.setattr(module.PooledAdapter, "send", look)
    request = HttpRequest("POST", "http://a.test/", data={"a": "1"})
    send(pools, request, b"a=1")
    assert (seen, pools.sent[0][5]) == (["a=1"], b"a=1")


def test_a_request_is_prepared_whole() -> None:
    """requests has nothing left to decide, and mocks find all that they look for."""
    request = HttpRequest("POST", "http://a.test/x", headers={"X-Id": "1"})
    prepared: Any = prepare(request, b"ab")
    assert (prepared.method, prepared.url, prepared.body) == ("POST", "http://a.test/x", b"ab")
    assert prepared.headers["x-id"] == "1"
    assert prepared.hooks == {"response": []}
    assert list(prepared._cookies) == []


def body_of(kind: str | None, body: Any) -> Any:
    request: Any = SimpleNamespace(
        method="POST", url="http://a.test/", headers=Headers(), body=SimpleNamespace(content_type=kind)
    )
    return prepare(request, body).body


def test_only_a_form_in_ascii_is_text() -> None:
    """Bytes of anything else stay bytes, and an iterator an iterator."""
    source = iter([b"ab"])
    assert body_of(FORM, b"a=1") == "a=1"
    assert body_of(FORM, b"a=\xff") == b"a=\xff"
    assert body_of("text/plain", b"a=1") == b"a=1"
    assert body_of(None, b"a=1") == b"a=1"
    assert body_of(FORM, source) is source
    assert body_of(FORM, None) is None


@pytest.mark.parametrize(
    ("method", "length"), [("GET", None), ("HEAD", None), ("POST", "0"), ("DELETE", "0")]
)
def test_a_request_without_a_body_says_so_where_one_could_be(method: str, length: str | None) -> None:
    """Unless it does so itself."""
    assert prepare(HttpRequest(method, "http://a.test/"), None).headers.get("Content-Length") == length
    own = HttpRequest("POST", "http://a.test/", headers={"content-length": "7"})
    assert prepare(own, None).headers["Content-Length"] == "7"


def test_limits_are_carried_in_a_timeout_of_urllib3() -> None:
    """Which requests lets through."""
    carried = CarriedTimeouts(LIMITS)
    assert isinstance(carried, Urllib3Timeout)
    assert carried.limits is LIMITS


@pytest.mark.parametrize("proxy", [None, PROXY])
def test_a_hook_sees_the_options_of_requests(
    pools: Pools, proxy: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it would from a program that uses requests with a stream, and verifies."""
    seen: list[dict[str, Any]] = []

    def look(self: Any, request: Any, **options: Any) -> Any:
        seen.append(options)
        raise PhaseError(Phase.SEND, OSError("x"))

    for hooked in (module.PooledAdapter, module.PlainSession):
        seen.clear()
        monkeypatch.setattr(hooked, "send", look)
        for url in ("https://a.test/", "http://a.test/"):
            with pytest.raises(PhaseError):
                send(pools, HttpRequest("GET", url), proxy=proxy)
        for options, scheme in zip(seen, ("https", "http"), strict=True):
            assert options.pop("timeout").limits is LIMITS
            if hooked is module.PlainSession:
                assert options.pop("allow_redirects") is False
            expected = {} if proxy is None else {scheme: proxy}
            assert options == {"stream": True, "verify": True, "cert": None, "proxies": expected}


def test_every_url_of_ours_has_an_adapter(pools: Pools) -> None:
    """Unix sockets, too. requests' own, which connect by themselves, are left for none."""
    session = through(pools)._session
    for url in ("https://a.test/", "http://a.test/", "http+unix://%2Frun%2Fa.sock/x"):
        adapter: Any = session.get_adapter(url)
        assert isinstance(adapter, module.PooledAdapter)
        assert (adapter.max_retries.total, adapter.max_retries.read) == (0, False)  # retries are the core's
    with pytest.raises(requests.exceptions.InvalidSchema):
        session.get_adapter("ftp://a.test/")


# Errors.


def test_the_error_of_a_pool_is_raised_as_it_is(pools: Pools) -> None:
    """It names its phase."""
    pools.gives = PhaseError(Phase.SEND, OSError("x"))
    with pytest.raises(PhaseError) as caught:
        send(pools, HttpRequest("GET", "http://a.test/"))
    assert caught.value is pools.gives


def raising(error: BaseException, patch: pytest.MonkeyPatch) -> None:
    """Have a hook raise this error."""

    def fail(*given: Any, **options: Any) -> Any:
        raise error

    patch.setattr(exchanges.PlainSession, "send", fail)


def test_the_error_of_a_hook_is_translated(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mock raises those of requests. What is none of a connection is raised as it is."""
    raising(requests.ConnectTimeout("slow"), monkeypatch)
    with pytest.raises(PhaseError) as caught:
        send(Pools(), HttpRequest("GET", "http://a.test/"))
    assert (caught.value.phase, type(caught.value.error), str(caught.value.error)) == (
        Phase.CONNECT,
        TimeoutError,
        "slow",
    )
    raising(OSError("lost"), monkeypatch)
    with pytest.raises(PhaseError) as caught:
        send(Pools(), HttpRequest("GET", "http://a.test/"))
    assert (caught.value.phase, str(caught.value.error)) == (Phase.RECEIVE, "lost")
    raising(KeyError("x"), monkeypatch)
    with pytest.raises(KeyError):
        send(Pools(), HttpRequest("GET", "http://a.test/"))


def test_what_the_handler_of_a_signal_raises_is_no_error_of_a_hook(monkeypatch: pytest.MonkeyPatch) -> None:
    """A time limit that a program has set is an OSError, too."""
    error = TimeoutError("the time limit of the job")
    raising(error, monkeypatch)
    seen: list[BaseException] = []

    def check(error: BaseException) -> None:
        seen.append(error)
        raise SystemExit

    monkeypatch.setattr(exchanges, "check_signals", check)
    with pytest.raises(SystemExit):
        send(Pools(), HttpRequest("GET", "http://a.test/"))
    raw = SimpleNamespace(read=lambda amount: exchanges.PlainSession.send())  # type: ignore[call-arg]
    response = requests.Response()
    response.raw = raw
    with pytest.raises(SystemExit):
        RequestsResponse(response)
    assert seen == [error, error]


class Lost(OSError):
    pass


@pytest.mark.parametrize("of", ["hook", "body"])
@pytest.mark.parametrize("kind", [Lost, NotHttpError])
def test_an_error_is_freed_once_it_is_handled(
    of: str, kind: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No frame holds it, nor it a frame."""
    kept: list[Any] = []

    def fail(*given: Any, **options: Any) -> Any:
        error = kind()
        kept.append(weakref.ref(error))
        try:
            raise error
        finally:
            del error

    monkeypatch.setattr(exchanges.PlainSession, "send", fail)
    response = requests.Response()
    response.raw = SimpleNamespace(read=fail)
    gc.disable()
    try:
        try:
            if of == "hook":
                send(Pools(), HttpRequest("GET", "http://a.test/"))
            else:
                RequestsResponse(response)
        except PhaseError:
            pass
        assert [each() for each in kept] == [None]
    finally:
        gc.enable()


# Past our pools.

NOT_PAST = (
    f"requests {requests.__version__} would connect past the egress policy and the proxies (by {{}}), since another library "
    "has replaced HTTPAdapter.send; upgrade http-service-client, or install an older requests"
)


def recording(patch: pytest.MonkeyPatch, *schemes: str) -> None:
    """Have vcrpy record these."""
    for each in (module, vcr):
        patch.setattr(each, "is_recorded", lambda scheme: scheme in schemes)


@pytest.mark.parametrize(
    ("is_replaced", "recorded", "is_used"),
    [
        (False, (), [False, False]),
        (True, (), [True, True]),
        (False, ("http",), [True, False]),
        (False, ("https",), [False, True]),
        (True, ("http", "https"), [True, True]),
    ],
)
def test_the_send_of_requests_is_called_only_where_something_is_hooked_in_there(
    is_replaced: bool, recorded: tuple[str, ...], is_used: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Replaced by another library, or while a recorder has the connections of this scheme."""
    used: list[str] = []

    def note(self: Any, request: Any, **options: Any) -> Any:
        used.append(request.url)
        raise PhaseError(Phase.SEND, OSError("x"))

    monkeypatch.setattr(module.HTTPAdapter, "send", note)
    monkeypatch.setattr(module, "is_adapter_replaced", lambda: is_replaced)
    recording(monkeypatch, *recorded)
    urls = ["http://a.test/", "https://a.test/"]
    pools = Pools()
    pools.gives = PhaseError(Phase.SEND, OSError("x"))
    for url in urls:
        with pytest.raises(PhaseError):
            send(pools, HttpRequest("GET", url))
    assert [url in used for url in urls] == is_used
    assert len(used) + len(pools.sent) == 2


def test_a_pool_can_be_used_without_fields() -> None:
    """By a hook of the user's own."""
    pools = Pools()
    adapter: Any = through(pools)._session.get_adapter("http://a.test/")
    prepared = requests.Request("GET", "http://a.test/").prepare()
    pool = adapter.get_connection_with_tls_context(prepared, True)
    assert pool.urlopen("GET", "/", timeout=CarriedTimeouts(LIMITS)).status == 201
    assert pools.sent == [
        ("http://a.test", None, "GET", "/", [], None, {"is_chunked": False, "is_last": False})
    ]


def test_a_seam_that_has_gone_is_announced(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the first exchange through requests."""
    notice = SeamNotice("requests", "99", ["HTTPAdapter.urlopen"], "calls are refused")
    monkeypatch.setattr(exchanges, "ADAPTER", notice)
    with pytest.warns(
        RuntimeWarning, match=r"^requests 99 is not as .*HTTPAdapter.urlopen.*: calls are refused; "
    ):
        through(Pools())


def test_requests_makes_no_connection_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither directly nor by a proxy: nothing has checked where it would go."""
    recording(monkeypatch)
    adapter: Any = through(Pools())._session.get_adapter("http://a.test/")
    for use, name in (
        (lambda: adapter.poolmanager.connection_from_url("http://a.test/"), "connection_from_url"),
        (lambda: adapter.proxy_manager_for(PROXY), "proxy_manager_for"),
    ):
        with pytest.raises(ConfigurationError) as caught:
            use()
        assert str(caught.value) == NOT_PAST.format(name)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_while_a_recorder_is_in_use_urllib3_connects(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its connections are the recorder's; the TLS context is the client's."""
    recording(monkeypatch, scheme)
    adapter: Any = through(Pools())._session.get_adapter("http://a.test/")
    assert adapter.poolmanager.connection_from_host("a.test", 80, "http").host == "a.test"
    prepared = requests.Request("GET", f"{scheme}://a.test:81/x").prepare()
    pool = adapter.get_connection_with_tls_context(prepared, True)
    assert isinstance(pool, vcr.RecordedPool)
    assert (pool._pool.scheme, pool._pool.host, pool._pool.port) == (scheme, "a.test", 81)
    if scheme == "http":
        assert adapter.proxy_manager_for(PROXY).proxy.host == "proxy.test"
    host, tls = adapter.build_connection_pool_key_attributes(prepared, True)
    assert host == {"scheme": scheme, "host": "a.test", "port": 81}
    context = adapter._transport_settings.tls.context_for(("a.test", 81))
    assert tls == ({"ssl_context": context} if scheme == "https" else {})
    adapter.close()


def test_closing_closes_what_a_recorder_has_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of its pools."""
    used = through(Pools())
    manager: Any = used._session.get_adapter("http://a.test/").poolmanager  # type: ignore[attr-defined]
    recording(monkeypatch, "http")
    manager.connection_from_host("a.test", 80, "http")
    assert len(manager.pools) == 1
    used.close()
    assert len(manager.pools) == 0


@pytest.mark.parametrize("gone", [(), ("urlopen",), ("urlopen", "cert_verify")])
@pytest.mark.parametrize("is_replaced", [False, True])
def test_the_seams_of_requests_are_those_that_its_code_uses(
    gone: tuple[str, ...], is_replaced: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where another library has replaced it, they cannot be seen."""
    calls = {"get_connection_with_tls_context", "cert_verify", "request_url", "urlopen"}
    monkeypatch.setattr(compatibility, "names_used_by", lambda function: frozenset({"x", *calls} - {*gone}))
    monkeypatch.setattr(compatibility, "is_adapter_replaced", lambda: is_replaced)
    expected = [] if is_replaced else [f"HTTPAdapter.{name}" for name in sorted(gone)]
    assert compatibility._gone_from_the_adapter() == expected


def test_a_replaced_adapter_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mock, say."""
    assert not compatibility.is_adapter_replaced()
    monkeypatch.setattr(compatibility._Adapter, "send", lambda self, *given, **options: None)
    assert compatibility.is_adapter_replaced()
