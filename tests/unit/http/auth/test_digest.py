"""Digest: the arithmetic of RFC 7616, which challenges are answered, and credentials."""

from __future__ import annotations

import copy
import hashlib
import pickle
import re
from types import SimpleNamespace
from typing import Any

import pytest

from http_service_client import HttpResponse, HttpServiceClient, InvalidRequestError
from http_service_client.auth import Digest
from http_service_client.http.auth import digest
from http_service_client.http.auth.challenges import parse_challenges
from http_service_client.http.auth.digest import DigestChallenge, digest_header, strongest
from http_service_client.testing import ScriptedTransport
from kit.digests import Server, fields
from kit.fakes import Harness
from kit.front_ends import FrontEnd
from kit.rows import each_row

HTTP_AUTH = (
    'realm="http-auth@example.org", qop="auth, auth-int", '
    'nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"'
)


API = (
    'realm="api@example.org", qop="auth", algorithm=SHA-512-256, '
    'nonce="5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK", opaque="HRPCssKJSGjCrkzDg8OhwpzCiGPChXYjwrI2QmXDnsOS", '
    "charset=UTF-8, userhash=true"
)


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


@each_row(
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


@each_row(
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
