"""What exchanges through requests make of its responses and errors, where a hook returns or raises them."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import pytest
import requests
import urllib3.exceptions

from http_service_client.transports.failures import Phase, UnsendableError
from http_service_client.transports.over_requests.hooked.errors import translate_error
from http_service_client.transports.over_requests.hooked.exchanges import RequestsResponse


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


@pytest.mark.parametrize(
    ("error", "phase", "kind", "text"),
    [
        (requests.RequestException(), Phase.RECEIVE, ConnectionError, "RequestException"),
        (requests.RequestException("why"), Phase.RECEIVE, ConnectionError, "why"),
        (requests.exceptions.InvalidURL("bad"), Phase.RECEIVE, UnsendableError, "bad"),
        (requests.exceptions.ReadTimeout(), Phase.RECEIVE, TimeoutError, "ReadTimeout"),
        (requests.exceptions.ConnectTimeout("slow"), Phase.CONNECT, TimeoutError, "slow"),
        (requests.exceptions.ProxyError("no"), Phase.PROXY, ConnectionError, "no"),
        (urllib3.exceptions.PoolError(None, "full"), Phase.RECEIVE, ConnectionError, "None: full"),  # type: ignore[arg-type]
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
