"""pytest-httpbin: a server by other authors, which returns in JSON the requests that it received."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from http_service_client import ConnectionPoolConfig, HttpStatusError
from http_service_client.http.content_codings.codecs import accept_encoding
from kit.front_ends import FrontEnd
from network.faults import failing

pytest.importorskip("pytest_httpbin")
from pytest_httpbin import certs  # after the skip


def _client(front_end: FrontEnd, httpbin: Any, **settings: Any) -> Any:
    """A client that trusts the certificate authority of `httpbin_secure`."""
    pool = ConnectionPoolConfig(ssl_ca_file=certs.where())
    return front_end.client(connection_pool=pool, base_url=httpbin.url, **settings)


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
def test_verbs(front_end: FrontEnd, httpbin_both: Any, method: str) -> None:
    """The server receives method, query, headers and JSON as they were given, over http and https."""
    client = _client(front_end, httpbin_both)
    response = front_end.request(
        client,
        method,
        f"/{method.lower()}",
        params={"page": 2, "q": "ä b"},
        headers={"X-Order": "42"},
        json=None if method == "GET" else {"amount": 25.5},
    )
    seen = response.json()
    assert seen["args"] == {"page": "2", "q": "ä b"}
    assert seen["headers"]["X-Order"] == "42"
    assert seen["url"].startswith(f"{httpbin_both.url}/{method.lower()}?")
    assert method == "GET" or seen["json"] == {"amount": 25.5}


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS"])
def test_verbs_without_a_body(front_end: FrontEnd, httpbin_both: Any, method: str) -> None:
    """HEAD and OPTIONS return a response without content."""
    response = front_end.request(_client(front_end, httpbin_both), method, "/get")
    assert (response.status_code, response.content) == (200, b"")


def test_forms_and_files(front_end: FrontEnd, httpbin: Any) -> None:
    """A strict form parser finds each field and each file."""
    client = _client(front_end, httpbin)
    form = front_end.request(client, "POST", "/post", data={"note": "a b&c=ä", "n": [1, 2]}).json()
    assert form["form"] == {"note": "a b&c=ä", "n": ["1", "2"]}
    files = {"report": ('rä"port.txt', b"all well", "text/plain")}
    multipart = front_end.request(client, "POST", "/post", data={"order": 42}, files=files).json()
    assert (multipart["form"], multipart["files"]) == ({"order": "42"}, {"report": "all well"})


def test_authentication(front_end: FrontEnd, httpbin_both: Any) -> None:
    """Basic and bearer credentials are accepted; a request without them is refused."""
    client = _client(front_end, httpbin_both)
    basic = front_end.request(client, "GET", "/basic-auth/user/pass", auth=("user", "pass"))
    assert basic.json()["authenticated"] is True
    assert front_end.request(client, "GET", "/bearer", auth="t0ken").json()["token"] == "t0ken"
    with pytest.raises(HttpStatusError):
        front_end.request(client, "GET", "/bearer").raise_for_status()


@pytest.mark.parametrize("way", ["redirect", "relative-redirect", "absolute-redirect"])
def test_redirects(front_end: FrontEnd, httpbin_both: Any, way: str) -> None:
    """Three redirects are followed and kept in the history."""
    response = front_end.request(_client(front_end, httpbin_both), "GET", f"/{way}/3")
    assert (response.status_code, response.url) == (200, f"{httpbin_both.url}/get")
    assert [seen.status_code for seen in response.history] == [302] * 3


def test_a_redirect_to_the_other_origin_leaves_credentials_behind(
    front_end: FrontEnd, httpbin: Any, httpbin_secure: Any
) -> None:
    """https is another origin than http, and a redirect from https to http is refused."""
    client = _client(front_end, httpbin)
    there = {"url": f"{httpbin_secure.url}/headers"}
    response = front_end.request(client, "GET", "/redirect-to", params=there, auth="t0ken")
    assert response.url == f"{httpbin_secure.url}/headers"
    assert "Authorization" not in response.json()["headers"]
    caught = failing(front_end, client, "GET", f"{httpbin_secure.url}/redirect-to?url={httpbin.url}/get")
    assert caught.type == "UnsafeRedirectError"


@pytest.mark.parametrize(
    ("path", "flag", "coding"),
    [("gzip", "gzipped", "gzip"), ("deflate", "deflated", "deflate"), ("brotli", "brotli", "br")],
)
def test_content_codings(front_end: FrontEnd, httpbin: Any, path: str, flag: str, coding: str) -> None:
    """A coded response is decoded; its header stays."""
    if coding not in accept_encoding():
        pytest.skip(f"no library for {coding} is installed")
    response = front_end.request(_client(front_end, httpbin), "GET", f"/{path}")
    assert response.json()[flag] is True
    assert response.headers["Content-Encoding"] == coding


def test_cookies(front_end: FrontEnd, httpbin: Any) -> None:
    """A call's cookies are sent with that call only. Those that a response sets are in the response, and not kept."""
    client = _client(front_end, httpbin)
    assert front_end.request(client, "GET", "/cookies", cookies={"a": "1"}).json() == {"cookies": {"a": "1"}}
    response = front_end.request(client, "GET", "/cookies/set?b=2", allow_redirects=False)
    assert response.cookies == {"b": "2"}
    assert front_end.request(client, "GET", "/cookies").json() == {"cookies": {}}


@pytest.mark.parametrize(
    ("path", "size"), [("/stream-bytes/100000?seed=1", 100_000), ("/bytes/1000", 1000), ("/range/2000", 2000)]
)
def test_bodies_of_every_framing(front_end: FrontEnd, httpbin_both: Any, path: str, size: int) -> None:
    """A body with a length, and one that ends with the connection, arrive whole."""
    assert len(front_end.request(_client(front_end, httpbin_both), "GET", path).content) == size


@pytest.mark.parametrize(
    ("path", "end"),
    [
        ("/stream-bytes/100000?seed=1", b""),
        ("/gzip", b"}\n"),
        ("/drip?duration=0.2&numbytes=5&delay=0", b"*****"),
    ],
)
def test_streams(front_end: FrontEnd, httpbin_both: Any, path: str, end: bytes) -> None:
    """A streamed body is as long as the whole one, and has the same end."""
    client = _client(front_end, httpbin_both)
    with front_end.stream(client, "GET", path) as response:
        pieces = list(response.iter_bytes())
    assert b"".join(pieces).endswith(end)
    assert len(b"".join(pieces)) == len(front_end.request(client, "GET", path).content)


def test_lines(front_end: FrontEnd, httpbin: Any) -> None:
    """Each line of the stream is one JSON document."""
    with front_end.stream(_client(front_end, httpbin), "GET", "/stream/3") as response:
        assert [json.loads(line)["id"] for line in response.iter_lines()] == [0, 1, 2]


def test_downloads(front_end: FrontEnd, httpbin: Any, tmp_path: Any) -> None:
    """The file has the size of the body."""
    front_end.download(_client(front_end, httpbin), "/range/5000", tmp_path / "file")
    assert (tmp_path / "file").stat().st_size == 5000


def test_streamed_uploads(front_end: FrontEnd, httpbin: Any, tmp_path: Any) -> None:
    """A file is sent with its length, and the server receives all of it."""
    path = tmp_path / "upload"
    path.write_bytes(b"\0\xff" * 100_000)
    with path.open("rb") as file:
        seen = front_end.request(_client(front_end, httpbin), "POST", "/post", data=file).json()
    assert seen["headers"]["Content-Length"] == "200000"
    content_type, _, data = seen["data"].partition(";base64,")
    assert content_type == "data:application/octet-stream"
    assert base64.b64decode(data) == b"\0\xff" * 100_000


def test_statuses_and_retries(front_end: FrontEnd, httpbin: Any) -> None:
    """A 418 is returned; a 503 is retried."""
    client = _client(front_end, httpbin, retry_policy_config={"initial_delay": 0})
    assert front_end.request(client, "GET", "/status/418").status_code == 418
    assert front_end.request(client, "GET", "/status/503").attempts == 3


def test_a_slow_response_is_cut_on_time(front_end: FrontEnd, httpbin: Any) -> None:
    """The body would trickle in for two seconds. httpbin serves one request at a time, and stops when we close."""
    caught = failing(
        front_end, _client(front_end, httpbin), "GET", "/drip?duration=2&numbytes=8&delay=0", timeout=0.3
    )
    assert caught.type == "AttemptTimeoutError"
    caught.check_took(0.3)


def test_the_certificate_of_httpbin_is_not_trusted_by_default(
    front_end: FrontEnd, httpbin_secure: Any
) -> None:
    """The system does not know its certificate authority."""
    caught = failing(front_end, front_end.client(), "GET", httpbin_secure.url + "/get")
    assert caught.type == "TlsVerificationError"
