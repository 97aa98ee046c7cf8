"""The parts of HTTP/2 that need no connection: GOAWAY among the frames, the fields of heads, the checks of settings."""

from __future__ import annotations

import asyncio
import importlib.util
import re
import ssl
from itertools import pairwise
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest

pytest.importorskip("h2", reason="the extra http2 is not installed")

from h2.settings import SettingCodes
from hpack import NeverIndexedHeaderTuple
from hyperframe.exceptions import InvalidDataError
from hyperframe.frame import DataFrame, Frame, GoAwayFrame, PingFrame, SettingsFrame
from hypothesis import given
from hypothesis import strategies as st

from http_service_client import ConfigurationError, ConnectionPoolConfig, HttpClientConfig, HttpRequest
from http_service_client.core.outcomes import is_failure
from http_service_client.errors import ConnectionLostError, Failure, SentState
from http_service_client.http.http1.errors import NotHttpError
from http_service_client.http.http1.framing import ParserSettings
from http_service_client.http.urls import split_url
from http_service_client.transports.lifetime import Lifetime
from http_service_client.transports.network.tls import TlsSettings
from http_service_client.transports.network.tls_errors import DeferringObject
from http_service_client.transports.over_h2.connection import Http2Connection
from http_service_client.transports.over_h2.frames import FrameSplitter, GoAway
from http_service_client.transports.over_h2.heads import check_trailers, request_fields, response_head
from http_service_client.transports.over_h2.pool import ConnectingTimeoutError, Http2Pool, _Attempt
from http_service_client.transports.over_h2.stream import Http2Stream
from kit.front_ends import run_task
from kit.rows import each_row

FRAMES = [
    PingFrame(0, opaque_data=b"12345678"),
    GoAwayFrame(0, last_stream_id=7, error_code=2, additional_data=b"bye"),
    DataFrame(7, data=b"\x00\x00\x08\x07" * 50),
    GoAwayFrame(0, last_stream_id=2**31 - 1),
]


@given(cuts=st.lists(st.integers(0, 400), max_size=8))
def test_goaway_is_found_however_the_bytes_arrive(cuts: list[int]) -> None:
    """All other bytes are passed on unchanged, those of data that look like a frame, too."""
    data = b"".join(frame.serialize() for frame in FRAMES)
    at = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    splitter = FrameSplitter()
    parts = [part for start, end in pairwise(at) for part in splitter.split(data[start:end])]
    passed = b"".join(part for part in parts if isinstance(part, bytes))
    assert passed == FRAMES[0].serialize() + FRAMES[2].serialize()
    assert [part for part in parts if isinstance(part, GoAway)] == [
        GoAway(7, 2, b"bye"),
        GoAway(2**31 - 1, 0),
    ]


def test_a_frame_that_is_too_large_is_refused_at_its_head() -> None:
    """Its payload may be 16 MB, and is not waited for."""
    with pytest.raises(NotHttpError, match="larger than 16384 bytes"):
        list(FrameSplitter().split(b"\x00\x40\x01\x00\x00\x00\x00\x00\x01"))
    assert list(FrameSplitter().split(b"\x00\x40\x00\x00\x00\x00\x00\x00\x01")) == [
        b"\x00\x40\x00\x00\x00\x00\x00\x00\x01"
    ]


def test_secret_values_are_never_indexed() -> None:
    """Neither side keeps them in its table of known values (RFC 7541, 7.1.3)."""
    request = HttpRequest("GET", "https://a.test/", headers={"X-Api-Key": "s3cret", "X-Plain": "1"})
    fields = request_fields(request, split_url(request.url))
    marked = [name for name, *_ in (field for field in fields if isinstance(field, NeverIndexedHeaderTuple))]
    assert marked == [b"x-api-key"]


def test_fields_that_connection_names_are_not_sent() -> None:
    """They are about that connection of HTTP/1.1 (RFC 9110, 7.6.1)."""
    headers = {"Connection": "close, X-Hop", "X-Hop": "1", "X-End": "2"}
    request = HttpRequest("POST", "https://a.test/", headers=headers)
    assert request_fields(request, split_url(request.url))[4:] == [
        (b"x-end", b"2"),
        (b"content-length", b"0"),
    ]


OF_A_CONNECTION = ["Connection", "Proxy-Connection", "Keep-Alive", "Transfer-Encoding", "Upgrade"]


@each_row("name", [*OF_A_CONNECTION, "Host", "HTTP2-Settings"])
def test_fields_of_one_connection_are_not_sent(name: str) -> None:
    """HTTP/2 has other ways for all of that (RFC 9113, 8.2.2)."""
    request = HttpRequest("GET", "https://a.test/", headers={name: "x", "X-End": "2"})
    assert request_fields(request, split_url(request.url))[4:] == [(b"x-end", b"2")]


@pytest.mark.parametrize(
    ("value", "sent"), [("trailers", True), ("gzip, Trailers", True), ("gzip", False), ("", False)]
)
def test_only_trailers_may_be_offered(value: str, sent: bool) -> None:
    """TE has no other value there (RFC 9113, 8.2.2)."""
    request = HttpRequest("GET", "https://a.test/", headers={"TE": value})
    assert request_fields(request, split_url(request.url))[4:] == ([(b"te", b"trailers")] if sent else [])


@each_row(
    ("method", "headers", "length"),
    [
        ("GET", {}, []),
        ("HEAD", {}, []),
        ("DELETE", {}, [(b"content-length", b"0")]),
        ("POST", {}, [(b"content-length", b"0")]),
        ("PUT", {}, [(b"content-length", b"0")]),
        ("POST", {"Content-Length": "0"}, [(b"content-length", b"0")]),
    ],
)
def test_a_body_that_is_empty_says_so_where_one_is_expected(
    method: str, headers: dict[str, str], length: list[Any]
) -> None:
    """As over HTTP/1.1: some servers refuse a POST without a length."""
    request = HttpRequest(method, "https://a.test/p?q=1", headers=headers)
    assert request_fields(request, split_url(request.url)) == [
        (b":method", method.encode()), (b":scheme", b"https"), (b":authority", b"a.test"), (b":path", b"/p?q=1"), *length,
    ]  # fmt: skip


def test_the_authority_is_that_of_the_host_field() -> None:
    """Where the caller has set one."""
    request = HttpRequest("GET", "https://a.test/", headers={"Host": "b.test"})
    assert request_fields(request, split_url(request.url))[2] == (b":authority", b"b.test")


STATUS = (b":status", b"200")
LENGTH = b"\x00content-length"  # as `HeadDecoder` passes it on


@each_row(
    ("fields", "error"),
    [
        ([(b":status", b"600")], ""),
        ([STATUS, (b"x-a", b"1"), (b"x-empty", b"")], ""),
        ([STATUS, (LENGTH, b"5"), (LENGTH, b"5")], ""),
        ([STATUS, (LENGTH, b"0" * 18)], ""),
        ([], "invalid-status"),
        ([(b":status", b"099")], "header-name"),
        ([(b":status", b"2000")], "header-name"),
        ([STATUS, STATUS], "header-name"),
        ([(b"x-a", b"1"), STATUS], "header-name"),
        ([STATUS, (b":path", b"/")], "header-name"),
        ([STATUS, (b"X-A", b"1")], "header-name"),
        ([STATUS, (b"", b"1")], "header-name"),
        ([STATUS, (b"x-a", b" 1")], "x-a is malformed"),
        ([STATUS, (b"x-a", b"1\t")], "x-a is malformed"),
        ([STATUS, (b"x-a", b"1\n2")], "x-a is malformed"),
        ([STATUS, (b"x-a", b"1\x002")], "x-a is malformed"),
        ([STATUS, (LENGTH, b"five")], "content-length"),
        ([STATUS, (LENGTH, b"1" * 19)], "content-length"),
        ([STATUS, (LENGTH, b"5"), (LENGTH, b"6")], "content-length"),
        *(([STATUS, (name.lower().encode(), b"x")], name.lower()) for name in OF_A_CONNECTION),
    ],
)
def test_a_head_that_is_malformed_is_not_used(fields: list[Any], error: str) -> None:
    """RFC 9113, 8.1.1. It ends its stream alone."""
    if error:
        with pytest.raises(NotHttpError, match=error):
            response_head(fields, ParserSettings())
        return
    head = response_head(fields, ParserSettings())
    assert (head.status, head.length) == (
        int(fields[0][1]),
        next((int(value) for name, value in fields if name == LENGTH), None),
    )
    assert head.fields == [(name.lstrip(b"\x00"), value) for name, value in fields[1:]]


def test_a_head_has_a_limit() -> None:
    """Of fields, and of the size of each; trailers have the first one, too."""
    limits = ParserSettings(size=20, fields=2)
    few, long = [(b"x-a", b"1"), (b"x-b", b"2")], (b"x-a", b"1" * 17)
    assert response_head([STATUS, *few], limits).fields == few
    assert response_head([STATUS, long], limits).fields == [long]
    check_trailers(few, limits)
    with pytest.raises(NotHttpError, match="too-many-fields"):
        response_head([STATUS, *few, (b"x-c", b"3")], limits)
    with pytest.raises(NotHttpError, match="too-many-fields"):
        check_trailers([*few, (b"x-c", b"3")], limits)
    with pytest.raises(NotHttpError, match="head-too-large"):
        response_head([STATUS, (b"x-a", b"1" * 18)], limits)


@pytest.mark.parametrize(
    ("name", "is_valid"), [(b"x-sum", True), (LENGTH, True), (b":status", False), (b"X-Sum", False)]
)
def test_trailers_have_no_pseudo_header_field(name: bytes, is_valid: bool) -> None:
    """RFC 9113, 8.1."""
    if is_valid:
        check_trailers([(name, b"1")], ParserSettings())
    else:
        with pytest.raises(NotHttpError, match="header-name"):
            check_trailers([(name, b"1")], ParserSettings())


@pytest.mark.parametrize(
    ("field", "words"),
    [
        ((b"connection", b"close"), "8.2.2"),
        ((b"transfer-encoding", b"chunked"), "8.2.2"),
        ((b"x-sum", b"a\nb"), "8.2.1"),
        ((b"x-sum", b"7 "), "8.2.1"),
        ((b"x-sum", b"7" * 70_000), "too large"),
    ],
)
def test_trailers_keep_the_rules_of_heads(field: tuple[bytes, bytes], words: str) -> None:
    """RFC 9113, 8.2: any message that has such a field is malformed."""
    with pytest.raises(NotHttpError, match=re.escape(words)):
        check_trailers([(b"x-ok", b"1"), field], ParserSettings())


@pytest.mark.parametrize("stream_id", [1, 2**24])
def test_a_goaway_of_a_stream_breaks_the_protocol(stream_id: int) -> None:
    """RFC 9113, 6.8. It is left to h2, which ends the connection."""
    frame = bytearray(FRAMES[1].serialize())
    frame[5:9] = stream_id.to_bytes(4, "big")
    assert list(FrameSplitter().split(bytes(frame))) == [bytes(frame)]
    with pytest.raises(InvalidDataError):
        Frame.parse_frame_header(memoryview(frame)[:9])


@each_row(
    ("is_complete", "is_sent", "has_failed", "is_reset"),
    [
        (True, True, False, False),
        (True, False, False, True),  # the server has responded before it had all of the request
        (False, True, False, True),  # nobody reads the rest
        (False, False, False, True),
        (False, False, True, False),
        (False, True, True, False),
    ],
)
def test_a_stream_that_is_not_over_is_reset(
    is_complete: bool, is_sent: bool, has_failed: bool, is_reset: bool
) -> None:
    """Once. The server would go on with it; one that is over for both sides needs no word more."""
    idle: list[Http2Connection] = []
    timers = Mock(**{"loop.time.return_value": 1.0})
    connection = Http2Connection(timers, ParserSettings(), Lifetime(60, 10, None), idle.append, idle.append)
    connection.transport, connection._h2 = Mock(is_closing=lambda: False), Mock(data_to_send=lambda: b"")
    stream = connection._streams[1] = Http2Stream(1, "GET", None)  # type: ignore[arg-type]
    stream.is_complete, stream.is_sent = is_complete, is_sent
    stream.error = ConnectionResetError() if has_failed else None
    for _ in range(2):
        connection.release(stream)
    assert [call.args[0] for call in connection._h2.reset_stream.mock_calls] == [1] * is_reset
    assert idle == [connection]


def test_a_request_that_was_refused_is_no_evidence() -> None:
    """A server that closes a connection in good order works. Five calls on it must not open a circuit."""
    lost = Failure(ConnectionLostError, "GOAWAY", SentState.REFUSED)
    assert is_failure(lost) is None
    assert is_failure(Failure(ConnectionLostError, "reset", SentState.MAYBE_PROCESSED)) is True


def test_a_connection_whose_transport_is_closing_gets_no_request() -> None:
    """A write has failed, and `connection_lost` comes in a later step of the loop. Nothing of a request would leave."""

    class Closing:
        def is_closing(self) -> bool:
            return True

        def write(self, data: bytes) -> None:
            raise AssertionError("nothing is written")

    def nothing(connection: Http2Connection) -> None:
        """No pool."""

    connection = Http2Connection(None, ParserSettings(), Lifetime(60, 10, None), nothing, nothing)  # type: ignore[arg-type]
    connection.transport = Closing()
    assert not connection.may_open_stream()
    connection._h2.initiate_connection()
    connection._flush()


@pytest.mark.parametrize(
    ("raised", "error"),
    [
        (MemoryError(), ConnectionResetError),
        (BrokenPipeError(), BrokenPipeError),
        (None, ConnectionResetError),
    ],
)
def test_each_stream_of_a_lost_connection_has_an_error_of_the_network(
    raised: Exception | None, error: type[Exception]
) -> None:
    """What `data_received` raised, such as MemoryError, is not for the callers of the other streams."""

    def nothing(connection: Http2Connection) -> None:
        """No pool."""

    connection = Http2Connection(None, ParserSettings(), Lifetime(60, 10, None), nothing, nothing)  # type: ignore[arg-type]
    connection.transport = Mock(is_closing=lambda: True)
    streams = [Http2Stream(number, "GET", None) for number in (1, 3)]  # type: ignore[arg-type]
    connection._streams.update({stream.id: stream for stream in streams})
    connection.connection_lost(raised)
    assert [type(stream.error) for stream in streams] == [error, error]


def test_an_error_of_tls_behind_frames_ends_the_connection_after_them() -> None:
    """OpenSSL found it in the same read. The frames before it have arrived."""
    ended = []
    connection = Http2Connection(None, ParserSettings(), Lifetime(60, 10, None), Mock(), ended.append)  # type: ignore[arg-type]
    tls = Mock(DeferringObject, found=None, selected_alpn_protocol=lambda: "h2")
    connection._timers = Mock()
    transport = SimpleNamespace(
        get_extra_info={"ssl_object": tls}.get, is_closing=lambda: False, write=Mock(), abort=Mock()
    )
    connection.connection_made(transport)
    assert tls.defers
    connection.data_received(SettingsFrame(0).serialize())
    assert ended == []
    tls.found = ssl.SSLError(ssl.SSL_ERROR_SSL, "bad record")
    connection.data_received(SettingsFrame(0, settings={SettingCodes.MAX_CONCURRENT_STREAMS: 7}).serialize())
    assert connection._h2.remote_settings.max_concurrent_streams == 7
    assert (ended, connection.error) == ([connection], tls.found)


@pytest.mark.parametrize("leaves_by", ["cancellation", "its time"])
def test_a_connection_is_made_as_long_as_somebody_waits_for_it(leaves_by: str) -> None:
    """The calls to an origin share it. When the last one leaves, nobody must join it any more."""

    async def run() -> None:
        pool = object.__new__(Http2Pool)
        pool.loop, pool._attempts = asyncio.get_running_loop(), {}
        making: asyncio.Task[Any] = asyncio.ensure_future(asyncio.sleep(60))
        attempt = pool._attempts["origin"] = _Attempt(making)
        over = pool.loop.time() if leaves_by == "its time" else None
        first, last = (
            asyncio.ensure_future(pool._join("origin", attempt, expires_at)) for expires_at in (over, None)
        )
        await asyncio.sleep(0)
        if over is None:
            first.cancel()
        with pytest.raises((asyncio.CancelledError, ConnectingTimeoutError)):
            await first
        await asyncio.sleep(0)
        assert (making.done(), list(pool._attempts)) == (False, ["origin"])
        last.cancel()
        with pytest.raises(asyncio.CancelledError):
            await last
        with pytest.raises(asyncio.CancelledError):
            await making
        assert pool._attempts == {}

    run_task(run())


# Settings.


def no_h2(name: str) -> Any:
    return None if name == "h2" else importlib.util.find_spec(name)


def test_without_h2_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the configuration is made."""
    monkeypatch.setattr("http_service_client.client.config.http2.find_spec", no_h2)
    with pytest.raises(ConfigurationError, match=r"pip install 'http-service-client\[http2\]'"):
        HttpClientConfig(http2=True)
    assert HttpClientConfig().http2 is False


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"connection_pool": ConnectionPoolConfig(uds="/run/app.sock")}, "conflicts with uds"),
        ({"proxy": "http://proxy:3128"}, "conflicts with proxy"),
        ({"connection_pool": ConnectionPoolConfig(ssl_context=ssl.create_default_context())}, "ssl_context"),
        ({"http2": 2}, "http2 must be True or False"),
    ],
)
def test_settings_that_http2_cannot_keep_are_refused(settings: dict[str, Any], words: str) -> None:
    """None is ignored silently."""
    with pytest.raises(ConfigurationError, match=words):
        HttpClientConfig(**{"http2": True, **settings})


@pytest.mark.parametrize(
    "settings",
    [
        {"proxy": {"all": "http://proxy:3128", "no": "internal.test"}},
        {"proxy": {"http": "http://proxy:3128"}},
        {"proxy": {}},
        {"connection_pool": ConnectionPoolConfig(ssl_context=ssl.create_default_context)},
    ],
)
def test_settings_that_leave_room_for_http2_are_accepted(settings: dict[str, Any]) -> None:
    """Some calls can use it."""
    assert HttpClientConfig(http2=True, **settings).http2 is True


def test_contexts_that_offer_http2_are_apart() -> None:
    """Another connection with the same settings must not agree to HTTP/2."""
    plain = TlsSettings()
    offering = plain.offering("h2", "http/1.1")
    assert offering.context_for(("a.test", 443)) is not plain.context_for(("a.test", 443))
    assert offering.context_for(("a.test", 443)) is TlsSettings().offering("h2", "http/1.1").context_for(
        ("a.test", 443)
    )


def test_a_function_that_makes_contexts_makes_one_for_http2() -> None:
    """So the one for HTTP/1.1 offers what its maker has set."""
    made: list[ssl.SSLContext] = []

    def make() -> ssl.SSLContext:
        made.append(ssl.create_default_context())
        return made[-1]

    settings = TlsSettings(context=make)
    contexts = [each.context_for(("a.test", 443)) for each in (settings, settings.offering("h2"))]
    assert contexts == made[:2]
    assert contexts[0] is not contexts[1]


def test_a_function_that_returns_one_context_is_refused_for_http2() -> None:
    """The calls over HTTP/1.1 that use it would offer HTTP/2, and not understand the response."""
    context = ssl.create_default_context()
    settings = TlsSettings(context=lambda: context)
    assert settings.context_for(("a.test", 443)) is context
    with pytest.raises(ConfigurationError, match="returned the same context twice"):
        settings.offering("h2").context_for(("a.test", 443))
