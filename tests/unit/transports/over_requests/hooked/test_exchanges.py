"""What exchanges through requests make of its responses and errors, where a hook returns or raises them."""

from __future__ import annotations

from io import BytesIO
from types import SimpleNamespace
from typing import Any

import pytest
import requests
import urllib3.exceptions
from urllib3 import HTTPHeaderDict

from http_service_client.transports.failures import Phase, PhaseError, UnsendableError
from http_service_client.transports.over_requests.exchange_timeouts import ExchangeTimeouts
from http_service_client.transports.over_requests.hooked.errors import translate_error
from http_service_client.transports.over_requests.hooked.exchanges import RequestsResponse
from http_service_client.transports.over_requests.hooked.urllib3_style import Urllib3StyleResponse
from kit.rows import each_row


def response(content: bytes | None = b"", **attributes: Any) -> requests.Response:
    made = requests.Response()
    made.status_code = 200
    made.raw = None if content is None else BytesIO(content)
    for name, value in attributes.items():
        setattr(made, name, value)
    return made


@pytest.mark.parametrize(("reason", "shown"), [(None, ""), ("", ""), ("OK", "OK")])
def test_a_mock_need_not_give_a_reason(reason: str | None, shown: str) -> None:
    """requests itself has None then."""
    assert RequestsResponse(response(reason=reason)).reason == shown


def test_the_body_of_a_mock_is_read_in_pieces() -> None:
    """A response without one has none."""
    large = RequestsResponse(response(b"x" * 100_000))
    pieces = [large.read(1), large.read(1), large.read(1)]
    assert [len(piece) for piece in pieces] == [65_536, 34_464, 0]
    assert RequestsResponse(response(None)).read(1) == b""


def test_a_body_that_a_hook_has_read_is_kept() -> None:
    """Decoded: so the field that says how it was coded is not passed on."""
    read = response(b"hello", headers={"Content-Encoding": "gzip", "X-A": "1"})
    assert read.content == b"hello"
    seen = RequestsResponse(read)
    assert (seen.read(1), seen.read(1)) == (b"hello", b"")
    assert list(seen.fields) == [("X-A", "1")]


@each_row(
    ("error", "phase", "kind", "text"),
    [
        (requests.RequestException(), Phase.RECEIVE, ConnectionError, "RequestException"),
        (requests.RequestException("why"), Phase.RECEIVE, ConnectionError, "why"),
        (requests.exceptions.InvalidURL("bad"), Phase.RECEIVE, UnsendableError, "bad"),
        (requests.exceptions.ReadTimeout(), Phase.RECEIVE, TimeoutError, "ReadTimeout"),
        (requests.exceptions.ConnectTimeout("slow"), Phase.CONNECT, TimeoutError, "slow"),
        (requests.exceptions.ProxyError("no"), Phase.PROXY, ConnectionError, "no"),
        (urllib3.exceptions.PoolError(None, "full"), Phase.RECEIVE, ConnectionError, "None: full"),  # type: ignore[arg-type]
        (requests.ConnectionError(urllib3.exceptions.ReadTimeoutError(None, "/", "slow")), Phase.RECEIVE, TimeoutError, "None: slow"),  # type: ignore[arg-type]
        (requests.exceptions.ProxyError(urllib3.exceptions.ConnectTimeoutError("slow")), Phase.PROXY, TimeoutError, "slow"),
        (requests.ConnectionError(ConnectionRefusedError(111, "refused")), Phase.RECEIVE, ConnectionRefusedError, "[Errno 111] refused"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)  # fmt: skip
def test_an_error_has_the_text_of_the_one_beneath(
    error: Exception, phase: Phase, kind: type[Exception], text: str
) -> None:
    """Or its name, where it has no text: an empty message would help nobody."""
    found, beneath = translate_error(Phase.RECEIVE, error)
    assert (found, type(beneath), str(beneath)) == (phase, kind, text)


def test_what_an_error_was_raised_in_handling_is_beneath_it_as_well() -> None:
    """requests raises many of its errors so, without saying `from`."""
    error = requests.ConnectionError("no text of the system")
    error.__context__ = ConnectionResetError(104, "reset")
    phase, beneath = translate_error(Phase.RECEIVE, error)
    assert (phase, str(beneath)) == (Phase.RECEIVE, "[Errno 104] reset")


def test_an_error_may_have_itself_among_its_arguments() -> None:
    """As that of a hook may."""
    error = requests.ConnectionError()
    error.args = (error, ConnectionResetError(104, "reset"))
    error.__context__ = error.args[1]
    phase, beneath = translate_error(Phase.RECEIVE, error)
    assert (phase, str(beneath)) == (Phase.RECEIVE, "[Errno 104] reset")


def test_what_is_no_response_of_requests_is_named() -> None:
    """A hook of the user's own has returned it."""
    for given in (None, SimpleNamespace(headers=[("X-A", "1")])):
        with pytest.raises(TypeError) as caught:
            RequestsResponse(given)  # type: ignore[arg-type]
        assert str(caught.value) == (
            f"what has hooked into requests returned a {type(given).__name__}, which is no response of requests; "
            "return a requests.Response, or mock requests by a library such as responses or requests-mock"
        )


class Raw:
    """Like a response of urllib3, as a mock makes it."""

    def __init__(self, headers: Any, body: bytes = b"") -> None:
        self.headers, self._body = headers, BytesIO(body)
        self.options: list[dict[str, Any]] = []

    def stream(self) -> None: ...

    def read(self, amount: int, **options: Any) -> bytes:
        self.options.append(options)
        return self._body.read(amount)

    def close(self) -> None: ...


@each_row(
    ("headers", "fields"),
    [
        ({"X-A": "1"}, [("X-A", "1")]),
        (HTTPHeaderDict([("X-A", "1"), ("X-A", "2")]), [("X-A", "1"), ("X-A", "2")]),
        ({"X-A": "caf\xc3\xa9"}, [("X-A", "café")]),
        ({"X-A": "caf\xe9"}, [("X-A", "café")]),
        ({"X-A": "5 €"}, [("X-A", "5 €")]),
        ({"Content-Encoding": "gzip"}, [("Content-Encoding", "gzip")]),
    ],
    ids=["plain", "repeated", "UTF-8", "latin-1", "text", "coding"],
)
def test_the_fields_of_a_mock_are_those_of_its_response_of_urllib3(
    headers: Any, fields: list[tuple[str, str]]
) -> None:
    """http.client reads each as latin-1; what cannot come from that is text already."""
    seen = RequestsResponse(response(raw=Raw(headers, b"ab"), headers={"X-Other": "1"}))
    assert list(seen.fields) == fields
    assert seen.content_coding == dict(fields).get("Content-Encoding")


def test_a_response_of_urllib3_is_read_undecoded() -> None:
    """The client decodes. Any other file that stands for one knows no option for it."""
    raw = Raw({}, b"ab")
    seen = RequestsResponse(response(raw=raw))
    assert [seen.read(1), seen.read(1)] == [b"ab", b""]
    assert raw.options == [{"decode_content": False}] * 2


def test_fields_without_a_response_of_urllib3_are_those_of_requests() -> None:
    """Location, too."""
    seen = RequestsResponse(response(None, headers={"Location": "/there", "X-A": "1"}))
    assert list(seen.fields) == [("Location", "/there"), ("X-A", "1")]
    assert (seen.location, seen.content_coding) == ("/there", None)
    assert RequestsResponse(response()).location is None


def test_a_mock_has_no_connection() -> None:
    """What is wished for its connection is wished in vain."""
    seen = RequestsResponse(response(b"ab"))
    assert not seen.ends_with_connection
    assert (seen.content, seen.is_encoded) == (None, True)
    seen.set_timeouts(ExchangeTimeouts(None, None, None, None))
    seen.prefer_long_pieces()
    assert seen.read(1) == b"ab"


@pytest.mark.parametrize("ends", [False, True])
def test_a_response_of_ours_passes_wishes_on(ends: bool) -> None:
    """As without requests."""
    wishes: list[Any] = []
    own: Any = SimpleNamespace(
        status=200,
        reason="OK",
        fields=[],
        ends_with_connection=ends,
        set_timeouts=wishes.append,
        prefer_long_pieces=lambda: wishes.append("long"),
    )
    seen = RequestsResponse(response(raw=Urllib3StyleResponse(own, None)))
    timeouts = ExchangeTimeouts(None, None, None, None)
    seen.set_timeouts(timeouts)
    seen.prefer_long_pieces()
    assert wishes == [timeouts, "long"]
    assert seen.ends_with_connection is ends


def test_closing_closes_what_there_is() -> None:
    """A mock may have no file."""
    closed: list[bool] = []
    made = response(b"ab")
    made.close = lambda: closed.append(True)  # type: ignore[method-assign]
    RequestsResponse(made).close()
    assert closed == [True]
    empty = response(None)
    empty.close = lambda: closed.append(False)  # type: ignore[method-assign]
    RequestsResponse(empty).close()
    assert closed == [True]


def test_the_body_of_a_mock_may_break() -> None:
    """Its error is translated, in the phase of a body."""
    raw = SimpleNamespace(read=lambda amount: (_ for _ in ()).throw(requests.exceptions.ReadTimeout("slow")))
    with pytest.raises(PhaseError) as caught:
        RequestsResponse(response(raw=raw))
    assert (caught.value.phase, type(caught.value.error)) == (Phase.RECEIVE, TimeoutError)
