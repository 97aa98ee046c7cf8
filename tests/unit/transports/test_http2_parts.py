"""The parts of HTTP/2 that need no connection: GOAWAY among the frames, the fields of heads, the checks of settings."""

from __future__ import annotations

import importlib.util
import ssl
from itertools import pairwise
from typing import Any

import pytest

pytest.importorskip("h2", reason="the extra http2 is not installed")

from hpack import NeverIndexedHeaderTuple
from hyperframe.frame import DataFrame, GoAwayFrame, PingFrame
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
from http_service_client.transports.over_h2.connection import Http2Connection
from http_service_client.transports.over_h2.frames import FrameSplitter, GoAway
from http_service_client.transports.over_h2.heads import request_fields

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
    assert [part for part in parts if isinstance(part, GoAway)] == [GoAway(7, 2), GoAway(2**31 - 1, 0)]


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
