"""RFC 9421 signatures: by the examples of the RFC, and checked by the library's verifier."""

from __future__ import annotations

import base64
import copy
import datetime
import io
import pickle
import re
import sys
from typing import Any

import pytest

from http_service_client import (
    ConfigurationError,
    ConstantBackoff,
    HttpClientConfig,
    HttpRequest,
    InvalidRequestError,
    RetryPolicy,
)
from http_service_client.auth import HmacSignature, MessageSignature, SignableRequest
from kit.fakes import URL, Harness
from kit.front_ends import FrontEnd
from kit.rows import each_row

library = pytest.importorskip("http_message_signatures", reason="an extra that is not installed here")

SECRET = base64.b64decode(
    "uzvJfB4u3N0Jy4T7NZ75MDVcr8zSTInedJtkgcu46YW4XByzNJjxBdtjUkdJPBtbmHhIDi6pcl8jsasjlTMtDQ=="
)
ED25519 = b"""-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIJ+DYvh6SEqVTm50DFtMDoQikTmiCqirVv9mWG9qfSnF
-----END PRIVATE KEY-----
"""
CREATED = 1618884473.7


def signer(**settings: Any) -> MessageSignature:
    key = settings.pop("key", SECRET)
    return MessageSignature(key, **{"key_id": "test-shared-secret", "clock": lambda: CREATED, **settings})


def sign(own: MessageSignature) -> Any:
    """The headers of the request of RFC 9421, appendix B.2, once it is signed."""
    request = HttpRequest(
        "POST",
        "https://example.com/foo?param=Value&Pet=dog",
        headers={
            "Date": "Tue, 20 Apr 2021 02:07:55 GMT",
            "Content-Type": "application/json",
            "Content-Length": "18",
        },
        data=b'{"hello": "world"}',
    )
    signable = SignableRequest(request)
    own.sign_request(signable, None)  # type: ignore[arg-type]
    return signable.headers


def test_the_example_with_a_shared_secret() -> None:
    """RFC 9421, B.2.5."""
    own = signer(
        components=["date", "@authority", "content-type"], digest=None, label="sig-b25", include_alg=False
    )
    headers = sign(own)
    assert headers["Signature-Input"] == (
        'sig-b25=("date" "@authority" "content-type");created=1618884473;keyid="test-shared-secret"'
    )
    assert headers["Signature"] == "sig-b25=:pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8=:"


def test_the_example_with_ed25519() -> None:
    """RFC 9421, B.2.6."""
    own = signer(
        key=ED25519,
        key_id="test-key-ed25519",
        algorithm="ed25519",
        components=["date", "@method", "@path", "@authority", "content-type", "content-length"],
        digest=None,
        label="sig-b26",
        include_alg=False,
    )
    assert sign(own)["Signature"] == (
        "sig-b26=:wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw==:"
    )


@pytest.mark.parametrize(
    ("digest", "expected"),
    [
        ("sha-256", "sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:"),
        (
            "sha-512",
            "sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:",
        ),
    ],
)
def test_the_examples_of_digests(digest: str, expected: str) -> None:
    """RFC 9530, B.1, and RFC 9421, B.2: over this body; and it is signed."""
    headers = sign(signer(digest=digest))
    assert headers["Content-Digest"] == expected
    assert '"content-digest")' in headers["Signature-Input"]


def verify(request: HttpRequest, body: bytes, key: Any = SECRET, algorithm: str = "HMAC_SHA256") -> Any:
    """What the library's verifier says of a request that was received."""

    class Keys(library.HTTPSignatureKeyResolver):  # type: ignore[name-defined, misc]
        def resolve_public_key(self, key_id: str) -> Any:
            return key

    class Received:
        method = request.method
        url = request.url
        headers = {name.lower(): value for name, value in request.headers.items()}

    verifier = library.HTTPMessageVerifier(
        signature_algorithm=getattr(library.algorithms, algorithm), key_resolver=Keys()
    )
    age = datetime.timedelta(days=100_000)
    return verifier.verify(Received, max_age=age, body=body)


@pytest.mark.parametrize(
    "options",
    [
        {"method": "GET", "params": {"q": "a b"}},
        {"json": {"a": ["x" * 3000]}},
        {"data": io.BytesIO(b"x" * 100_000)},
        {"data": b"x", "headers": {"Content-Type": "text/plain", "Signature": "no"}},
    ],
    ids=["query", "json", "file", "bytes"],
)
def test_what_is_signed_is_what_is_sent(front_end: FrontEnd, options: dict[str, Any]) -> None:
    """Compressed, as the server receives it."""
    given = {"method": "POST", **options}
    given.get("headers", {}).pop("Signature", None)
    harness = Harness(front_end, request_signers=[signer()], enable_request_compression=True)
    harness.request(given.pop("method"), "https://api.example.com/x", **given)
    request, body = harness.transport.sent[0], harness.transport.bodies[0] or b""
    results = verify(request, body)
    covered = results[0].covered_components
    assert ('"content-digest"' in covered) is bool(body)
    assert covered['"@method"'] == request.method
    if body:
        with pytest.raises(library.HTTPMessageSignaturesException):
            verify(request, body + b"x")
    request.url += "y"
    with pytest.raises(library.InvalidSignature):
        verify(request, body)


def test_the_authority_is_that_of_the_host_header(front_end: FrontEnd) -> None:
    """The server sees no other."""
    harness = Harness(front_end, request_signers=[signer()])
    harness.request("GET", "https://10.0.0.1/x", headers={"Host": "virtual.example.com"})
    request = harness.transport.sent[0]
    request.url = "https://virtual.example.com/x"
    assert verify(request, b"")[0].covered_components['"@authority"'] == "virtual.example.com"


def test_each_attempt_is_signed_again(front_end: FrontEnd) -> None:
    """With a time, an end and a nonce of its own."""
    times = iter([CREATED, CREATED + 30])
    own = signer(clock=lambda: next(times), lifetime=60, nonce=True, tag="shop")
    retries = RetryPolicy(2, ConstantBackoff(30.0, jitter="none"))
    harness = Harness(front_end, 503, 200, request_signers=[own], retry_policy_config=retries)
    harness.request("PUT", data=b"x")
    inputs = [request.headers["Signature-Input"] for request in harness.transport.sent]
    times_of = [re.findall(r"(?:created|expires)=(\d+)", text) for text in inputs]
    assert times_of == [["1618884473", "1618884533"], ["1618884503", "1618884563"]]
    assert 'tag="shop"' in inputs[0]
    nonces = {text.partition('nonce="')[2].partition('"')[0] for text in inputs}
    assert len(nonces) == 2
    assert all(len(nonce) == 24 for nonce in nonces)


def test_two_signatures_of_one_request(front_end: FrontEnd) -> None:
    """Under labels of their own."""
    both = [signer(), signer(label="sig2", components=["@method"])]
    harness = Harness(front_end, request_signers=both)
    harness.request()
    signatures = harness.transport.sent[0].headers["Signature"]
    assert signatures.startswith("sig1=:")
    assert ", sig2=:" in signatures


def test_what_cannot_be_signed_is_not_sent(front_end: FrontEnd) -> None:
    """A covered header that is missing, or a stream under a digest."""
    harness = Harness(front_end, request_signers=[signer(components=["x-missing"])])
    assert "x-missing" in str(harness.error(InvalidRequestError))
    streamed = Harness(front_end, request_signers=[signer()])
    assert "sign without the body's hash" in str(
        streamed.error(InvalidRequestError, "POST", data=iter([b"x"]))
    )
    assert harness.sends == streamed.sends == 0
    unhashed = Harness(front_end, request_signers=[signer(digest=None)])
    assert unhashed.request("POST", data=iter([b"x"])).status_code == 200


@each_row(
    ("settings", "problem"),
    [
        ({"key": b""}, "key must be bytes"),
        ({"key": "text"}, r"write text as b'\.\.\.'"),
        ({"key": b"no PEM", "algorithm": "ed25519"}, "key is not usable for ed25519"),
        ({"key_id": ""}, "key_id must be ASCII text"),
        ({"key_id": "ü"}, "key_id must be ASCII text"),
        ({"key_id": 5}, "key_id must be ASCII text"),
        ({"label": "Sig 1"}, "label must be .* such as 'sig1', not 'Sig 1'"),
        ({"label": ""}, "label must be"),
        ({"label": 5}, "label must be .*, not 5"),
        ({"tag": 5}, "tag must be ASCII text, or None, not 5"),
        ({"tag": "ü"}, "tag must be ASCII text, or None, not 'ü'"),
        ({"nonce": "n0nce"}, "nonce must be True or False"),
        ({"include_alg": None}, "include_alg must be True or False"),
        ({"clock": CREATED}, "clock must be a function"),
        ({"algorithm": "hmac"}, "algorithm must be one of 'ecdsa-p256-sha256', .* not 'hmac'"),
        ({"algorithm": []}, "algorithm must be one of"),
        ({"digest": "md5"}, "digest must be 'sha-256', 'sha-512' or None"),
        ({"digest": []}, "digest must be 'sha-256', 'sha-512' or None"),
        ({"components": "@method"}, "components must be a list of names"),
        ({"components": 5}, "components must be a list of names"),
        ({"components": ["@method", 5]}, "components must be a list of names"),
        ({"components": ["X-Id"]}, "components must be in lower case; write 'x-id', not 'X-Id'"),
        ({"components": ["@query-param"]}, """write '"@query-param";name="id"'"""),
        ({"lifetime": 0}, "lifetime must be"),
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, Any], problem: str) -> None:
    """With the name of the setting, and never with the key."""
    with pytest.raises(ConfigurationError, match=problem):
        signer(**settings)


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the extra that installs it."""
    monkeypatch.setitem(sys.modules, "http_message_signatures", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'http-service-client\[signatures\]'"):
        signer()


def test_a_signer_is_a_value_that_shows_no_key() -> None:
    """It compares, copies and pickles."""
    own = MessageSignature(b"s3cret", key_id="k")
    for twin in (pickle.loads(pickle.dumps(own)), copy.deepcopy(own)):
        assert twin == own
    assert own != MessageSignature(b"other", key_id="k")
    assert "s3cret" not in f"{own!r}{HttpClientConfig(request_signers=[own])!r}"
    assert own != HmacSignature("s3cret")


def test_a_component_may_have_parameters(front_end: FrontEnd) -> None:
    """Written as in RFC 9421, 2.2.8: one parameter of the query is signed, whose name may have capitals."""
    harness = Harness(
        front_end, request_signers=[signer(components=['"@query-param";name="Id"'], digest=None)]
    )
    harness.request(url=f"{URL}?Id=7&page=2")
    assert harness.transport.sent[0].headers["Signature-Input"].startswith('sig1=("@query-param";name="Id");')


def test_a_list_of_components_may_change_later() -> None:
    """The signer has a copy of it, and stays as it was made."""
    components = ["@method", "@path"]
    own = MessageSignature(b"k" * 64, key_id="k", components=components)
    components.append("@query")
    assert own.components == ("@method", "@path")
    assert own == MessageSignature(b"k" * 64, key_id="k", components=("@method", "@path"))
