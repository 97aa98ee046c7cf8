"""Digest: the arithmetic of RFC 7616, and the conversation with a server."""

from __future__ import annotations

import copy
import hashlib
import io
import os
import pickle
import re
import secrets
import unicodedata
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest

from http_service_client import HttpRequest, HttpResponse, HttpServiceClient, InvalidRequestError
from http_service_client.auth import Digest
from http_service_client.http.auth import digest
from http_service_client.http.auth.challenges import parse_challenges
from http_service_client.http.auth.digest import DigestChallenge, digest_header, strongest
from http_service_client.testing import ScriptedTransport
from kit.fakes import ORIGIN, URL, Harness
from kit.front_ends import FrontEnd

HTTP_AUTH = (
    'realm="http-auth@example.org", qop="auth, auth-int", '
    'nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"'
)
API = (
    'realm="api@example.org", qop="auth", algorithm=SHA-512-256, '
    'nonce="5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK", opaque="HRPCssKJSGjCrkzDg8OhwpzCiGPChXYjwrI2QmXDnsOS", '
    "charset=UTF-8, userhash=true"
)


def fields(header: str) -> dict[str, str]:
    (challenge,) = parse_challenges([header])
    return challenge.parameters


@pytest.mark.parametrize(
    ("challenge", "login", "target", "cnonce", "expected"),
    [
        (
            f"Digest {HTTP_AUTH}, algorithm=MD5",
            ("Mufasa", "Circle of Life"),
            "/dir/index.html",
            "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
            {"username": "Mufasa", "algorithm": "MD5", "response": "8ca523f5e9506fed4657c9700eebdbec"},
        ),
        (
            f"Digest {HTTP_AUTH}, algorithm=SHA-256",
            ("Mufasa", "Circle of Life"),
            "/dir/index.html",
            "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
            {
                "username": "Mufasa",
                "algorithm": "SHA-256",
                "response": "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
            },
        ),
        (
            f"Digest {API}",  # section 3.9.2, with the values of its erratum 4897
            ("Jäsøn Doe", "Secret, or not?"),
            "/doe.json",
            "NTg6RKcb9boFIAS3KrFK9BGeh+iDa/sm6jUMp2wds69v",
            {
                "username": "793263caabb707a56211940d90411ea4a575adeccb7e360aeb624ed06ece9b0b",
                "userhash": "true",
                "response": "3798d4131c277846293534c3edc11bd8a5e4cdcbff78b05db9d95eeb1cec68a5",
            },
        ),
    ],
)
def test_the_examples_of_the_rfc(
    challenge: str, login: tuple[str, str], target: str, cnonce: str, expected: dict[str, str]
) -> None:
    """RFC 7616, 3.9."""
    read = strongest(parse_challenges([challenge]))
    assert read is not None
    answer = fields(digest_header(read, *login, "GET", target, cnonce=cnonce, count=1))
    given = fields(challenge)
    assert {name: answer[name] for name in ("realm", "nonce", "opaque")} == {
        name: given[name] for name in ("realm", "nonce", "opaque")
    }
    assert (answer["qop"], answer["nc"], answer["cnonce"], answer["uri"]) == (
        "auth",
        "00000001",
        cnonce,
        target,
    )
    assert expected.items() <= answer.items()


def test_the_example_of_the_older_rfc() -> None:
    """RFC 2069, 2.4 (with its erratum 749), without qop and algorithm: some devices know nothing newer."""
    challenge = 'Digest realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", opaque="5ccc069c403ebaf9f0171e9517f40e41"'
    read = strongest(parse_challenges([challenge]))
    assert read is not None
    header = digest_header(read, "Mufasa", "CircleOfLife", "GET", "/dir/index.html", cnonce="c", count=1)
    answer = fields(header)
    assert answer["response"] == "1949323746fe6a43ef61f9606e7febea"
    assert answer.keys() == {"username", "realm", "nonce", "uri", "response", "opaque"}


@pytest.mark.parametrize(
    ("settings", "user", "count", "header"),
    [
        (
            {"hash": "md5"},
            "ann",
            1,
            'Digest username="ann", realm="r", nonce="n", uri="/a?b=1", response="{}"',
        ),
        (
            {"hash": "md5", "algorithm": "MD5", "opaque": 'o"p', "qop": "auth"},
            'a"n\\n',
            10,
            'Digest username="a\\"n\\\\n", realm="r", nonce="n", uri="/a?b=1", response="{}", algorithm=MD5, '
            'opaque="o\\"p", qop=auth, nc=0000000a, cnonce="c"',
        ),
        (
            {"hash": "sha256", "algorithm": "SHA-256-sess", "qop": "auth-int", "is_session": True},
            "Jäsøn",
            255,
            'Digest username*=UTF-8\'\'J%C3%A4s%C3%B8n, realm="r", nonce="n", uri="/a?b=1", response="{}", '
            'algorithm=SHA-256-sess, qop=auth-int, nc=000000ff, cnonce="c"',
        ),
        (
            {"hash": "md5", "hashes_user": True},
            "ann",
            1,
            'Digest username="HASH", realm="r", nonce="n", uri="/a?b=1", response="{}", userhash=true',
        ),
    ],
    ids=["oldest", "quotes", "session", "user hash"],
)
def test_the_header_has_these_parts(settings: dict[str, Any], user: str, count: int, header: str) -> None:
    """In this order; some servers read it by position."""
    challenge = DigestChallenge(realm="r", nonce="n", strength=0, **settings)
    made = digest_header(challenge, user, "p", "GET", "/a?b=1", cnonce="c", count=count, body=[b"x"])
    header = header.replace("HASH", hashlib.md5(b"ann:r").hexdigest())
    assert re.sub(r'response="[0-9a-f]{32,64}"', 'response="{}"', made) == header


@pytest.mark.parametrize(
    ("challenges", "chosen"),
    [
        (["Basic realm=r"], None),
        (["Digest realm=r"], None),
        (["Digest nonce=n"], None),
        (["Other realm=r, nonce=n"], None),
        (["Digest realm=r, nonce=n"], "n"),
        (["Digest realm=r, nonce=n, algorithm=SHA-1"], None),
        (["Digest realm=r, nonce=n, qop=confidential"], None),
        (["Digest realm=r, nonce=n, qop=AUTH"], "n"),
        (["Digest realm=r, nonce=a, algorithm=md5", "Digest realm=r, nonce=b, algorithm=sha-256-SESS"], "b"),
        (["Digest realm=r, nonce=a, algorithm=SHA-512-256, Digest realm=r, nonce=b, algorithm=SHA-256"], "a"),
        (["Digest realm=r, nonce=a, algorithm=SHA-256, Digest realm=r, nonce=b, algorithm=SHA-512-256"], "a"),
        (["Digest realm=r, nonce=a, algorithm=SHA-3, Basic realm=r, Digest realm=r, nonce=b"], "b"),
    ],
)
def test_the_strongest_challenge_is_chosen(challenges: list[str], chosen: str | None) -> None:
    """Of those that can be answered, in any number of fields; the server's order among equals."""
    found = strongest(parse_challenges(challenges))
    assert (None if found is None else found.nonce) == chosen


def test_a_hash_that_is_missing_is_not_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenSSL may lack it."""
    monkeypatch.setitem(digest._HASHES, "sha-512-256", ("no_such_hash", 9))
    offers = ["Digest realm=r, nonce=a, algorithm=SHA-512-256, Digest realm=r, nonce=b, algorithm=MD5"]
    found = strongest(parse_challenges(offers))
    assert found is not None
    assert found.nonce == "b"


def test_md5_is_used_where_it_is_forbidden_for_security(monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenSSL in FIPS mode allows it for other ends alone; the server has chosen it here."""

    def new(name: str, data: bytes = b"", *, usedforsecurity: bool = True) -> Any:
        if usedforsecurity:
            raise ValueError("disabled for FIPS")
        return hashlib.new(name, data)

    monkeypatch.setattr(digest, "hashlib", SimpleNamespace(new=new))
    digest._is_available.cache_clear()
    found = strongest(parse_challenges(['Digest realm=r, nonce=n, qop="auth-int"']))
    assert found is not None
    header = digest_header(found, "a", "b", "GET", "/", cnonce="c", count=1, body=[b"x"])
    assert fields(header)["qop"] == "auth-int"


class Server:
    """Checks answers by the formulas of the RFC, written down once more."""

    def __init__(
        self, *, algorithm: str = "SHA-256", qop: str = "auth", extra: str = "", uses: int = 99
    ) -> None:
        self.algorithm, self.qop, self.extra, self.uses = algorithm, qop, extra, uses
        self.nonces: dict[str, set[str]] = {}
        self.statuses: list[int] = []
        self.names: list[str] = []
        self.login = ("ann", "secret")
        self.next_nonce = False

    def challenge(self, *, stale: bool = False) -> str:
        nonce = secrets.token_hex(4)
        self.nonces[nonce] = set()
        qop = f', qop="{self.qop}"' if self.qop else ""
        return f'Digest realm="a \\"b\\"", nonce="{nonce}", algorithm={self.algorithm}{qop}{self.extra}{", stale=true" * stale}'

    def __call__(self, request: HttpRequest) -> HttpResponse:
        status, headers = self._judge(request)
        self.statuses.append(status)
        return HttpResponse(status, headers=headers, url=request.url, request=request)

    def _judge(self, request: HttpRequest) -> tuple[int, dict[str, str]]:
        header = request.headers.get("Authorization")
        if header is None:
            return 401, {"WWW-Authenticate": self.challenge()}
        given = fields(header)
        counts = self.nonces.get(given["nonce"])
        if counts is None or len(counts) >= self.uses:
            return 401, {"WWW-Authenticate": self.challenge(stale=True)}
        assert given["nc"] not in counts, "replayed"
        counts.add(given["nc"])
        self.names.append(given.get("username", given.get("username*", "")))
        if given["response"] != self._response(request, given):
            return 401, {"WWW-Authenticate": self.challenge()}
        info = f'nextnonce="{parse_challenges([self.challenge()])[0].parameters["nonce"]}"'
        return 200, {"Authentication-Info": info} if self.next_nonce else {}

    def _response(self, request: HttpRequest, given: dict[str, str]) -> str:
        name = {"MD5": "md5", "SHA-256": "sha256", "SHA-512-256": "sha512_256"}[
            self.algorithm.removesuffix("-sess")
        ]

        def h(text: str | bytes) -> str:
            return hashlib.new(name, text.encode() if isinstance(text, str) else text).hexdigest()

        user, password = self.login
        a1 = f"{user}:{given['realm']}:{password}"
        if self.algorithm.endswith("-sess"):
            a1 = f"{h(a1)}:{given['nonce']}:{given['cnonce']}"
        a2 = f"{request.method}:{request.url.removeprefix(ORIGIN)}"
        if given["qop"] == "auth-int":
            a2 += f":{h(b''.join(request.body.chunks()))}"
        return h(f"{h(a1)}:{given['nonce']}:{given['nc']}:{given['cnonce']}:{given['qop']}:{h(a2)}")


def harness_of(
    front_end: FrontEnd, server: Callable[[HttpRequest], HttpResponse], **settings: Any
) -> Harness:
    return Harness(front_end, server, auth=Digest("ann", "secret"), **settings)


def scripted(challenges: list[str | None]) -> Callable[[HttpRequest], HttpResponse]:
    """A server that answers each request with the next challenge: a nonce, and whether the last one was stale."""
    left = iter(challenges)

    def respond(request: HttpRequest) -> HttpResponse:
        nonce = next(left)
        if nonce is None:
            return HttpResponse(200, url=request.url)
        name, _, stale = nonce.partition(" ")
        challenge = f"Digest realm=r, qop=auth, nonce={name}{', stale=TRUE' if stale else ''}"
        return HttpResponse(401, headers={"WWW-Authenticate": challenge}, url=request.url)

    return respond


@pytest.mark.parametrize(
    "algorithm", [f"{name}{s}" for name in ("MD5", "SHA-256", "SHA-512-256") for s in ("", "-sess")]
)
@pytest.mark.parametrize("qop", ["auth", "auth-int", "auth-int, auth"])
def test_a_server_accepts_the_answer(front_end: FrontEnd, algorithm: str, qop: str) -> None:
    """With each algorithm and each quality of protection; later calls answer at once, each counted."""
    server = Server(algorithm=algorithm, qop=qop)
    harness = harness_of(front_end, server)
    for number in range(3):
        response = harness.request("POST", data=b"x" * number, params={"n": number})
        assert (response.status_code, response.attempts) == (200, 1)
    assert server.statuses == [401, 200, 200, 200]


@pytest.mark.parametrize("body", [{"json": {"a": 1}}, {"data": io.BytesIO(b"file")}, {}])
@pytest.mark.parametrize("compresses", [False, True])
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


@pytest.mark.parametrize(
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


def test_the_number_of_known_challenges_is_bounded() -> None:
    """A client that follows the URLs of its users must not grow for ever."""
    login = Digest("ann", "secret")
    client = HttpServiceClient(
        transport=ScriptedTransport([HttpResponse(401, headers={"WWW-Authenticate": "Digest realm=r, nonce=n, stale=true"})])
    )  # fmt: skip
    for number in range(300):
        client.get(f"https://h{number}.test/", auth=login)
    assert len(login._sessions) <= 256


def test_a_new_challenge_takes_the_place_of_the_oldest_one() -> None:
    """Once there are 256; that of another nonce of a known origin takes no place."""
    challenge = DigestChallenge(realm="r", nonce="n", hash="md5", strength=0)
    sessions, session = digest._Sessions(), digest._Session(challenge)
    for number in range(256):
        sessions.remember(str(number), session)
    sessions.remember("7", digest._Session(challenge))
    assert list(sessions) == [str(number) for number in range(256)]
    assert sessions["7"] is not session
    sessions.remember("new", session)
    assert list(sessions) == [*(str(number) for number in range(1, 256)), "new"]


def test_a_digest_is_a_value_without_its_challenges(front_end: FrontEnd) -> None:
    """It compares, copies and pickles by its credentials, and shows no secret."""
    harness = Harness(front_end, Server())
    login = Digest("ann", "secret")
    harness.request(auth=login)
    for twin in (copy.copy(login), copy.deepcopy(login), pickle.loads(pickle.dumps(login))):
        assert (twin, hash(twin), len(twin._sessions)) == (login, hash(login), 0)
    assert login != Digest("ann", "other")
    assert repr(login) == "Digest('ann', '***')"


@pytest.mark.parametrize(
    ("login", "name"),
    [
        (("a:b", "s3cret"), "user name"),
        (("a\n", "s3cret"), "user name"),
        (("a", "s3cret\x00"), "password"),
        (("a", b"s3cret"), "password"),
        ((None, "s3cret"), "user name"),
        (("a", "\ud800"), "password"),
    ],
)
def test_bad_credentials_are_refused_and_not_shown(login: Any, name: str) -> None:
    """When the object is made. The error says which of the two is wrong."""
    with pytest.raises(InvalidRequestError, match=f"the {name} in auth") as raised:
        Digest(*login)
    assert re.search("s3cret", str(raised.value)) is None
    if login[0] == "a:b":
        assert "a colon, which Digest authentication cannot express" in str(raised.value)
