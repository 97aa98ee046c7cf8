"""Digest in conversation with a server: nonces, counts, wrong passwords, redirects and streams."""

from __future__ import annotations

import hashlib
import io
import os
import unicodedata
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from http_service_client import HttpRequest, HttpResponse, HttpServiceClient, InvalidRequestError
from http_service_client.auth import Digest
from http_service_client.testing import ScriptedTransport
from kit.digests import Server, fields, harness_of, scripted
from kit.fakes import URL, Harness
from kit.front_ends import FrontEnd
from kit.rows import each_row


@each_row("algorithm", [f"{name}{s}" for name in ("MD5", "SHA-256", "SHA-512-256") for s in ("", "-sess")])
@each_row("qop", ["auth", "auth-int", "auth-int, auth"])
def test_a_server_accepts_the_answer(front_end: FrontEnd, algorithm: str, qop: str) -> None:
    """With each algorithm and each quality of protection; later calls answer at once, each counted."""
    server = Server(algorithm=algorithm, qop=qop)
    harness = harness_of(front_end, server)
    for number in range(3):
        response = harness.request("POST", data=b"x" * number, params={"n": number})
        assert (response.status_code, response.attempts) == (200, 1)
    assert server.statuses == [401, 200, 200, 200]


@each_row("body", [{"json": {"a": 1}}, {"data": io.BytesIO(b"file")}, {}])
@each_row("compresses", [False, True])
def test_auth_int_covers_the_body_as_it_is_sent(front_end: FrontEnd, body: Any, compresses: bool) -> None:
    """Compressed, if it is; a file is read for it and rewound."""
    settings: dict[str, Any] = {"enable_request_compression": True} if compresses else {}
    if compresses and "json" in body:
        body = {"json": ["x" * 4000]}
    server = Server(qop="auth-int")
    harness = harness_of(front_end, server, **settings)
    assert harness.request("POST", **body).status_code == 200


class Events:
    """An asynchronous iterable that starts over each time."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b"a"


@pytest.mark.parametrize("stream", [iter([b"a"]), Events()])
def test_auth_int_refuses_a_stream(stream: Any) -> None:
    """It can be read once, or by asyncio alone; the error names the body and the remedy."""
    flow = Digest("ann", "secret").auth_flow(HttpRequest("POST", URL, data=stream))
    next(flow)
    challenge = "Digest realm=r, nonce=n, qop=auth-int"
    with pytest.raises(InvalidRequestError, match=r"qop=auth-int\), which is a stream; pass bytes or a file"):
        flow.send(HttpResponse(401, headers={"WWW-Authenticate": challenge}))


@each_row(
    ("challenges", "sends", "status"),
    [
        (["a", "b stale", None], 3, 200),
        (["a", "b", None], 2, 401),
        (["a", "b stale", "c stale", None], 3, 401),
        (["a", "a", None], 2, 401),
        (["a", "a stale", None], 3, 200),
    ],
)
def test_an_answer_under_a_new_nonce_is_repeated_once_if_that_was_stale(
    front_end: FrontEnd, challenges: list[str | None], sends: int, status: int
) -> None:
    """A nonce may expire before its first answer arrives. Else the password is wrong."""
    harness = harness_of(front_end, scripted(challenges))
    assert (harness.request().status_code, harness.sends) == (status, sends)


def test_a_known_nonce_that_is_refused_and_sent_again_is_a_wrong_password(front_end: FrontEnd) -> None:
    """It is not tried again, and the next call asks for a challenge first."""
    harness = harness_of(front_end, scripted(["a", None, "a", None]))
    assert [harness.request().status_code for _ in range(3)] == [200, 401, 200]
    assert ["Authorization" in sent.headers for sent in harness.transport.sent] == [False, True, True, False]


def test_the_first_answer_under_a_nonce_has_the_number_one(front_end: FrontEnd) -> None:
    """RFC 7616, 3.4: a server takes any other for a replay. The client's own nonce has 128 bits."""
    harness = harness_of(front_end, scripted(["a", None, "b", None]))
    harness.request()
    harness.request()
    answers = [fields(harness.transport.sent[index].headers["Authorization"]) for index in (1, 2, 3)]
    assert [(each["nonce"], each["nc"]) for each in answers] == [
        ("a", "00000001"),
        ("a", "00000002"),
        ("b", "00000001"),
    ]
    assert [len(bytes.fromhex(each["cnonce"])) for each in answers] == [16, 16, 16]


def test_a_wrong_password_is_tried_once(front_end: FrontEnd) -> None:
    """More would lock the account."""
    server = Server()
    server.login = ("ann", "other")
    assert harness_of(front_end, server).request().status_code == 401
    assert server.statuses == [401, 401]


def test_a_password_that_was_changed_is_tried_twice(front_end: FrontEnd) -> None:
    """Under the known nonce, and under the new one, since not every server says that a nonce is stale."""
    server = Server()
    harness = harness_of(front_end, server)
    harness.request()
    server.login = ("ann", "other")
    assert harness.request().status_code == 401
    assert server.statuses == [401, 200, 401, 401]


@pytest.mark.parametrize("says_so", [True, False])
def test_a_stale_nonce_costs_one_exchange(front_end: FrontEnd, says_so: bool) -> None:
    """Whether the server says that it is stale or only sends another one."""
    server = Server(uses=1)
    if not says_so:
        challenge = server.challenge
        server.challenge = lambda stale=False: challenge()  # type: ignore[method-assign]
    harness = harness_of(front_end, server)
    assert [harness.request("POST").status_code for _ in range(2)] == [200, 200]
    assert server.statuses == [401, 200, 401, 200]


def test_the_next_nonce_is_used(front_end: FrontEnd) -> None:
    """From Authentication-Info: a server that gives each nonce one use still costs one exchange a call."""
    server = Server(uses=1)
    server.next_nonce = True
    harness = harness_of(front_end, server)
    for _ in range(3):
        harness.request()
    assert server.statuses == [401, 200, 200, 200]


def test_each_origin_has_its_own_challenge(front_end: FrontEnd) -> None:
    """An answer for one means nothing to another."""
    harness = harness_of(front_end, Server())
    harness.request()
    harness.transport.script = [200]
    harness.request(url="https://other.test/")
    assert "Authorization" not in harness.transport.sent[-1].headers


def test_the_target_is_signed_as_it_is_sent(front_end: FrontEnd) -> None:
    """A redirect within the origin has an answer of its own."""
    server = Server()

    def moved(request: HttpRequest) -> HttpResponse:
        response = server(request)
        if response.status_code == 200 and request.url == URL:
            return HttpResponse(307, headers={"Location": "/a%2fb?c=d"}, url=request.url)
        return response

    harness = harness_of(front_end, moved)
    assert harness.request("POST", data=b"x").status_code == 200
    assert server.statuses == [401, 200, 200]


@pytest.mark.parametrize("name", ["Jäsøn", "Ja\u0308søn"])
def test_a_name_beyond_ascii(front_end: FrontEnd, name: str) -> None:
    """It is sent as username*, or hashed where the server supports that; composed, as RFC 7616 asks."""
    composed = unicodedata.normalize("NFC", name)
    for extra, shown in (("", "UTF-8''J%C3%A4s%C3%B8n"), (", userhash=true", None)):
        server = Server(extra=extra)
        server.login = (composed, "secret")
        harness = Harness(front_end, server, auth=Digest(name, "secret"))
        assert harness.request().status_code == 200
        expected = hashlib.sha256(f'{composed}:a "b"'.encode()).hexdigest() if shown is None else shown
        assert server.names == [expected]


def test_a_server_that_asks_for_something_else_gets_nothing(front_end: FrontEnd) -> None:
    """A digest login never becomes a password in the clear."""
    harness = harness_of(front_end, lambda request: HttpResponse(401, headers={"WWW-Authenticate": "Basic realm=r"}, url=request.url))  # fmt: skip
    assert harness.request().status_code == 401
    assert harness.sends == 1


def test_threads_share_the_challenge_and_no_count() -> None:
    """The server of this test fails on a count that it has seen."""
    server = Server(uses=1000)
    login = Digest("ann", "secret")
    client = HttpServiceClient(transport=ScriptedTransport([server]))
    client.get(URL, auth=login)
    with ThreadPoolExecutor(8) as threads:
        statuses = list(threads.map(lambda _: client.get(URL, auth=login).status_code, range(100)))
    assert statuses == [200] * 100
    assert server.statuses == [401] + [200] * 101


def test_a_forked_child_does_not_count_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parent and child would use the same counts under one nonce."""
    server = Server()
    login = Digest("ann", "secret")
    client = HttpServiceClient(transport=ScriptedTransport([server]))
    client.get(URL, auth=login)
    monkeypatch.setattr(os, "getpid", lambda: -1)
    client.get(URL, auth=login)
    client.get(URL, auth=login)
    assert server.statuses == [401, 200, 401, 200, 200]
