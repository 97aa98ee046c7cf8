"""The blocking transport over pools that a test has scripted: which body it reads how far, and what each error becomes."""

from __future__ import annotations

import gc
import gzip
import weakref
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from http_service_client import (
    ClientClosedError,
    ConfigurationError,
    ConnectionLostError,
    DecodingError,
    HttpRequest,
    HttpResponse,
    InvalidRequestError,
    ProxyError,
    ResponseTooLargeError,
    Timeout,
)
from http_service_client.core.open_body import OpenResponse
from http_service_client.drivers.interruption import INTERRUPTION, Interruption
from http_service_client.errors import Failure, SentState
from http_service_client.http.http1.errors import NotHttpError
from http_service_client.http.proxies.settings import ProxySettings
from http_service_client.transports.base import TransportSettings
from http_service_client.transports.failures import BodySourceError, Phase, PhaseError
from http_service_client.transports.network.tls import TlsSettings
from http_service_client.transports.over_requests import exchange_timeouts
from http_service_client.transports.over_requests import transport as module
from http_service_client.transports.over_requests.exchange_timeouts import ExchangeTimeouts
from http_service_client.transports.over_requests.transport import RequestsTransport

URL = "http://a.test/x"
GZIPPED = gzip.compress(b"hello", mtime=0)


class Response:
    """As a pool has it.   pieces: of its body, or errors; each takes a second.   whole: whether it came with the head."""

    reason = "Because"

    def __init__(
        self, service: Service, status: int = 200, *pieces: Any, whole: bool = False, **fields: str
    ) -> None:
        self._service, self.status = service, status
        self.pieces = list(pieces)
        self.content = self.pieces.pop() if whole else None
        self.fields = [(name.replace("_", "-"), value) for name, value in fields.items()]
        self.is_encoded = "Content_Encoding" in fields
        self.content_coding = fields.get("Content_Encoding")
        self.location = fields.get("Location")
        self.ends_with_connection = False
        self.timeouts: list[ExchangeTimeouts] = []
        self.closed = 0

    def set_timeouts(self, timeouts: ExchangeTimeouts) -> None:
        self.timeouts.append(timeouts)

    def read(self, amount: int) -> bytes:
        assert amount == 65536
        self._service.now += 1.0
        if self.pieces and isinstance(self.pieces[0], BaseException):
            raise self.pieces.pop(0)
        return self.pieces.pop(0) if self.pieces else b""

    def close(self) -> None:
        self.closed += 1


class Service:
    """The pools of a transport. Each exchange takes a second.   gives: the response, or an error."""

    def __init__(self) -> None:
        self.now = 100.0
        self.gives: Any = None
        self.sent: list[tuple[Any, ...]] = []
        self.sent_at: float | None = None
        self.calls: list[str] = []
        self.opened = SimpleNamespace(is_cut=False, cut=lambda: self.calls.append("cut"))

    def monotonic(self) -> float:
        return self.now

    def send(self, *given: Any) -> Any:
        self.sent.append(given)
        self.now += 1.0
        given[2].sent_at = self.sent_at
        if isinstance(self.gives, BaseException):
            raise self.gives
        return self.gives

    def close(self) -> None:
        self.calls.append("close")


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Service:
    made = Service()
    monkeypatch.setattr(module, "Pools", lambda settings: made)
    monkeypatch.setattr(module, "is_hooked", lambda: False)
    for each in (module, exchange_timeouts):
        monkeypatch.setattr(each, "time", made)
    return made


def transport(
    proxies: ProxySettings | None = None, size: int | None = None, decompress: bool = True
) -> RequestsTransport:
    return RequestsTransport(
        TransportSettings(60.0, 100, size, decompress, TlsSettings(), proxies or ProxySettings())
    )


def request_to(
    url: str = URL,
    method: str = "GET",
    follows_redirects: bool = True,
    decompress: bool | None = None,
    **options: Any,
) -> HttpRequest:
    made = HttpRequest(method, url, **options)
    made.follows_redirects, made.decompress = follows_redirects, decompress
    return made


def what(failure: Any) -> tuple[Any, ...]:
    """The class of the error, its message, and what became of the request."""
    assert isinstance(failure, Failure)
    return failure.error_type, failure.message, failure.sent_state


TIMEOUT = Timeout(30.0)


# Responses.


@pytest.mark.parametrize("leaves_open", [False, True])
@pytest.mark.parametrize("status", [200, 204, 299, 300, 404, 199])
def test_a_response_is_read_whole_unless_it_is_a_success_to_be_left_open(
    service: Service, status: int, leaves_open: bool
) -> None:
    """With all that its head says, and how long it took."""
    service.gives = response = Response(service, status, b"he", b"llo", X_Id="1")
    service.sent_at = 100.25
    request, used = request_to(), transport()
    outcome: Any = (used.open_response if leaves_open else used.send)(request, TIMEOUT)
    assert isinstance(outcome, HttpResponse)
    assert (outcome.status_code, outcome.reason_phrase, dict(outcome.headers)) == (
        status,
        "Because",
        {"X-Id": "1"},
    )
    assert (outcome.request, outcome.url) == (request, URL)
    if leaves_open and 200 <= status <= 299:
        assert isinstance(outcome, OpenResponse)
        assert (outcome.elapsed, outcome.waited) == (1.0, 0.75)
        assert (response.closed, len(response.pieces)) == (0, 2)
    else:
        assert not isinstance(outcome, OpenResponse)
        assert (outcome.content, outcome.elapsed) == (b"hello", 4.0)
        assert (response.closed, response.pieces) == (1, [])


def test_where_nobody_noted_when_a_request_was_sent_nothing_is_said_to_be_waited(service: Service) -> None:
    """Only a timeout with phases needs it."""
    service.gives = Response(service)
    outcome: Any = transport().open_response(request_to(), TIMEOUT)
    assert outcome.waited == 0.0


def test_an_exchange_has_the_request_its_body_its_time_and_its_proxy(service: Service) -> None:
    """The time began before the proxy was looked for."""
    service.gives = Response(service, 200, b"hi", whole=True)
    request = request_to(method="POST", content=b"ab")
    transport(ProxySettings(http="http://proxy.test:3128")).send(request, Timeout(30.0, read=3.0))
    ((sent, body, timeouts, proxy),) = service.sent
    assert (sent, body, proxy) == (request, b"ab", "http://proxy.test:3128")
    assert (timeouts.expires_at, timeouts.read_within) == (130.0, 3.0)
    transport().send(request, TIMEOUT)
    assert service.sent[1][3] is None


@pytest.mark.parametrize("size", [None, 5, 6])
def test_a_body_that_came_with_its_head_is_taken_as_it_is(service: Service, size: int | None) -> None:
    """Nothing is left to be read, if it is not too large and has no coding."""
    service.gives = response = Response(service, 200, b"hello", whole=True)
    response.pieces = [AssertionError("it was read")]
    outcome: Any = transport(size=size).send(request_to(), TIMEOUT)
    assert outcome.content == b"hello"


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("status", [200, 500])
def test_a_body_that_is_too_large_is_read_no_further(service: Service, whole: bool, status: int) -> None:
    """The server has responded, all the same."""
    service.gives = response = Response(service, status, b"hello", b"more", b"and more")
    response.content = b"hello" if whole else None
    outcome: Any = transport(size=4).send(request_to(), TIMEOUT)
    assert what(outcome) == (
        ResponseTooLargeError,
        "the response is larger than max_response_size (4 bytes); raise it, or use client.stream or client.download",
        SentState.ANSWERED,
    )
    assert (len(response.pieces), response.closed) == (2, 1)


# Content codings.


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize(
    ("of_the_client", "of_the_request", "is_decoded"),
    [(True, None, True), (False, None, False), (True, False, False), (False, True, True)],
)
def test_a_coding_is_removed_unless_somebody_wants_it(
    service: Service, of_the_client: bool, of_the_request: bool | None, is_decoded: bool, whole: bool
) -> None:
    """The request has the last word."""
    pieces = [GZIPPED] if whole else [GZIPPED[:5], GZIPPED[5:]]
    service.gives = response = Response(service, 200, *pieces, Content_Encoding="gzip")
    response.content = GZIPPED if whole else None
    request = request_to(decompress=of_the_request)
    outcome: Any = transport(decompress=of_the_client).send(request, TIMEOUT)
    assert outcome.content == (b"hello" if is_decoded else GZIPPED)


@pytest.mark.parametrize(
    ("pieces", "elapsed"),
    [((b"no gzip", b"at all"), 4.0), ((GZIPPED[:9], GZIPPED[9:-3]), 5.0)],
    ids=["invalid", "cut"],
)
def test_an_error_of_a_coding_has_the_response_as_it_came(
    service: Service, pieces: tuple[bytes, ...], elapsed: float
) -> None:
    """Undecoded, and read to its end."""
    service.gives = response = Response(service, 200, *pieces, Content_Encoding="gzip")
    outcome: Any = transport().send(request_to(), TIMEOUT)
    assert what(outcome)[::2] == (DecodingError, SentState.ANSWERED)
    given = outcome.details["response"]
    assert (given.content, given.status_code, given.elapsed) == (b"".join(pieces), 200, elapsed)
    assert (response.closed, response.pieces) == (1, [])


# Redirects.


@pytest.mark.parametrize(
    ("total", "seconds"), [(None, 1.0), (30.0, 1.0), (2.0, 0.5), (3.0, 1.0), (2.5, 0.75)]
)
def test_the_body_of_a_redirect_is_not_waited_for_long(
    service: Service, total: float | None, seconds: float
) -> None:
    """For a second, or half of what is left of the attempt, which has to follow it."""
    service.gives = response = Response(service, 302, b"moved", Location="/there")
    outcome: Any = transport().send(request_to(), Timeout(total))
    (timeouts,) = response.timeouts
    assert timeouts.expires_at == 101.0 + seconds
    assert (outcome.content, outcome.status_code) == (b"moved", 302)


@pytest.mark.parametrize(
    ("status", "location", "follows", "is_cut_short"),
    [
        (302, "/there", True, True),
        (308, "/there", True, True),
        (302, "/there", False, False),
        (302, " ", True, False),
        (302, None, True, False),
        (304, "/there", True, False),
        (200, "/there", True, False),
        (404, "/there", True, False),
    ],
)
def test_only_the_body_of_a_redirect_that_is_followed_is_cut_short(
    service: Service, status: int, location: str | None, follows: bool, is_cut_short: bool
) -> None:
    """At 64 KiB, which nobody reads: it is then empty."""
    fields = {} if location is None else {"Location": location}
    service.gives = response = Response(service, status, bytes(65536), b"x", b"y", **fields)
    outcome: Any = transport().send(request_to(follows_redirects=follows), TIMEOUT)
    assert len(outcome.content) == (0 if is_cut_short else 65538)
    assert len(response.pieces) == is_cut_short
    assert (len(response.timeouts), response.closed) == (is_cut_short, 1)


@pytest.mark.parametrize(
    "error",
    [TimeoutError("x"), NotHttpError(), PhaseError(Phase.RECEIVE, OSError("x")), ResponseTooLargeError("x")],
    ids=lambda error: type(error).__name__,
)
def test_a_redirect_whose_body_is_not_complete_soon_is_followed(service: Service, error: Exception) -> None:
    """Its connection is closed. One whose body ends with the connection is not read at all."""
    service.gives = response = Response(service, 302, b"ab", error, Location="/there")
    outcome: Any = transport().send(request_to(), TIMEOUT)
    assert (outcome.status_code, outcome.content, response.closed) == (302, b"", 1)
    service.gives = response = Response(service, 302, b"ab", Location="/there")
    response.ends_with_connection = True
    outcome = transport().send(request_to(), TIMEOUT)
    assert (outcome.content, response.pieces, response.timeouts) == (b"", [b"ab"], [])


def test_a_redirect_may_fill_what_is_allowed(service: Service) -> None:
    """64 KiB, or less where the size limit is smaller."""
    for size, expected in ((None, 65536), (10, 0)):
        service.gives = Response(service, 302, bytes(65536), Location="/there")
        outcome: Any = transport(size=size).send(request_to(), TIMEOUT)
        assert len(outcome.content) == expected


# Failures.


async def chunks_async() -> Any:
    yield b"ab"


def test_what_cannot_be_sent_is_not(service: Service) -> None:
    """A body that only an event loop can read, a proxy that is none, a client that is closed."""
    failed: Any = transport().send(request_to(method="POST", data=chunks_async()), TIMEOUT)
    assert what(failed)[::2] == (InvalidRequestError, SentState.NEVER_SENT)
    assert "async" in what(failed)[1]
    failed = transport(ProxySettings(http="gopher://proxy.test")).send(request_to(), TIMEOUT)
    assert what(failed)[0] is ProxyError
    used = transport()
    used.close()
    failed = used.send(request_to(), TIMEOUT)
    assert what(failed)[::2] == (ClientClosedError, SentState.NEVER_SENT)
    assert service.sent == []


@pytest.mark.parametrize(
    ("phase", "state"),
    [(Phase.CONNECT, SentState.NEVER_SENT), (Phase.SEND, SentState.MAYBE_PROCESSED)],
)
@pytest.mark.parametrize("is_cut", [False, True])
def test_a_failure_is_that_of_its_phase_unless_the_client_was_closed(
    service: Service, phase: Phase, state: SentState, is_cut: bool
) -> None:
    """With `abort`: then it failed for that reason alone."""
    service.gives = PhaseError(phase, ConnectionResetError("x"))
    service.opened.is_cut = is_cut
    failed: Any = transport().send(request_to(), TIMEOUT)
    assert isinstance(failed, Failure)
    assert (what(failed)[0] is ClientClosedError) is is_cut
    expected = SentState.ABANDONED if is_cut and state is not SentState.NEVER_SENT else state
    assert what(failed)[2] is expected


@pytest.mark.parametrize(
    "error", [ConnectionResetError("x"), NotHttpError(), PhaseError(Phase.RECEIVE, OSError("x"))]
)
def test_a_body_that_breaks_fails_its_call(service: Service, error: Exception) -> None:
    """The request may have been processed. The connection is closed."""
    service.gives = response = Response(service, 200, b"ab", error)
    failed: Any = transport().send(request_to(), TIMEOUT)
    assert isinstance(failed, Failure)
    assert response.closed == 1
    if isinstance(error, ConnectionResetError):
        assert what(failed)[0] is ConnectionLostError


def test_a_refusal_of_this_package_is_its_own_failure(service: Service) -> None:
    """Such as a file of certificates that cannot be used."""
    service.gives = ConfigurationError("ssl_ca_file")
    failed: Any = transport().send(request_to(), TIMEOUT)
    assert what(failed) == (ConfigurationError, "ssl_ca_file", SentState.NEVER_SENT)


def test_the_error_of_a_body_s_source_is_the_caller_s(service: Service) -> None:
    """It is raised as it is; an invalid body is a failure."""
    service.gives = PhaseError(Phase.SEND, BodySourceError(KeyError("x")))
    with pytest.raises(KeyError):
        transport().send(request_to(), TIMEOUT)
    service.gives = PhaseError(Phase.SEND, BodySourceError(InvalidRequestError("no bytes")))
    failed: Any = transport().send(request_to(), TIMEOUT)
    assert what(failed)[:2] == (InvalidRequestError, "no bytes")


@pytest.fixture
def interruption() -> Iterator[Interruption]:
    """Of the branch in which a test runs."""
    made = Interruption()
    token = INTERRUPTION.set(made)
    yield made
    INTERRUPTION.reset(token)


@pytest.mark.parametrize("is_set", [False, True])
def test_a_branch_that_was_cancelled_has_no_failure(
    service: Service, interruption: Interruption, is_set: bool
) -> None:
    """Its exchange failed since it was cut."""
    import asyncio

    service.gives = PhaseError(Phase.RECEIVE, ConnectionResetError("x"))
    if is_set:
        interruption.set()
        with pytest.raises(asyncio.CancelledError):
            transport().send(request_to(), TIMEOUT)
        return
    assert isinstance(transport().send(request_to(), TIMEOUT), Failure)


@pytest.mark.parametrize("where", ["exchange", "redirect"])
def test_what_the_handler_of_a_signal_raises_is_no_failure(
    service: Service, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A time limit that a program has set is an OSError, too."""
    seen: list[BaseException] = []

    def check(error: BaseException) -> None:
        seen.append(error)
        raise SystemExit

    monkeypatch.setattr(module, "check_signals", check)
    error = TimeoutError("the time limit of the job")
    service.gives = error
    if where == "redirect":
        service.gives = Response(service, 302, error, Location="/there")
    with pytest.raises(SystemExit):
        transport().send(request_to(), TIMEOUT)
    assert seen == [error]


@pytest.mark.parametrize("is_whole", [False, True])
def test_what_failed_is_freed_with_its_failure(service: Service, is_whole: bool) -> None:
    """No frame holds it, nor it a frame."""
    error = NotHttpError()
    kept = weakref.ref(error)
    service.gives = PhaseError(Phase.RECEIVE, error) if is_whole else Response(service, 200, b"ab", error)
    del error
    gc.disable()
    try:
        assert isinstance(transport().send(request_to(), TIMEOUT), Failure)
        service.gives = None
        assert kept() is None
    finally:
        gc.enable()


# Closing.


def test_closing_closes_the_pools_and_aborting_cuts_what_is_in_use(service: Service) -> None:
    """Also what goes through requests, if anything does."""
    used = transport()
    used.close()
    assert service.calls == ["close"]
    used._through_requests = SimpleNamespace(close=lambda: service.calls.append("close hooked"))  # type: ignore[assignment]
    used.abort()
    assert service.calls == ["close", "close", "close hooked", "cut"]


def test_exchanges_go_through_requests_while_something_has_hooked_in_there(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By one session, which is made for the first of them."""
    from http_service_client.transports.over_requests.hooked import exchanges

    made: list[Any] = []
    loaded: list[Any] = []

    class Exchanges(Service):
        def __init__(self, settings: Any, pools: Any) -> None:
            super().__init__()
            made.append((settings, pools))
            self.gives = Response(service, 201, b"hooked", whole=True)

    monkeypatch.setattr(exchanges, "RequestsExchanges", Exchanges)
    monkeypatch.setattr(module, "import_apart", lambda load: loaded.append(load.__name__))
    used = transport()
    service.gives = Response(service, 200, b"own", whole=True)
    results = []
    for is_hooked in (False, True, True, False):
        monkeypatch.setattr(module, "is_hooked", lambda is_hooked=is_hooked: is_hooked)
        outcome: Any = used.send(request_to(), TIMEOUT)
        results.append(outcome.content)
    assert results == [b"own", b"hooked", b"hooked", b"own"]
    assert made == [(used._settings, service)]
    assert loaded == ["_load_requests"]
    through: Any = used._through_requests
    assert len(through.sent) == 2
    assert through.sent[0][0].url == URL
    used.close()
    assert through.calls == ["close"]
