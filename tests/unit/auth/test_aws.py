"""AWS Signature Version 4: by AWS's own examples, and checked by a verifier that shares no code with the signer."""

from __future__ import annotations

import copy
import datetime
import hashlib
import io
import pickle
import sys
import threading
from typing import Any

import pytest

from http_service_client import (
    ConfigurationError,
    ConstantBackoff,
    HttpClientConfig,
    HttpRequest,
    InvalidRequestError,
    RetryPolicy,
    TokenError,
)
from http_service_client.auth import AwsSigV4, SignableRequest, aws
from http_service_client.drivers.aio import WORKERS
from kit.fakes import FakeTransport, Harness
from kit.front_ends import FrontEnd
from kit.sigv4 import is_signed
from kit.threads import wait_until

botocore = pytest.importorskip("botocore", reason="an extra that is not installed here")

SUITE = AwsSigV4(
    "service",
    "us-east-1",
    access_key="AKIDEXAMPLE",
    secret_key="wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
)
S3: dict[str, Any] = {
    "access_key": "AKIAIOSFODNN7EXAMPLE",
    "secret_key": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
}


class Times:
    """The instants of the signatures to come, one after the other."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = [datetime.datetime(2015, 8, 30, 12, 36)]
        monkeypatch.setattr("botocore.auth.get_current_datetime", self)

    def __call__(self) -> datetime.datetime:
        return self.now.pop(0) if len(self.now) > 1 else self.now[0]


@pytest.fixture(autouse=True)
def times(monkeypatch: pytest.MonkeyPatch) -> Times:
    return Times(monkeypatch)


def sign(signer: AwsSigV4, method: str, url: str, **request: Any) -> Any:
    """The headers of a signed request."""
    signable = SignableRequest(HttpRequest(method, url, **request))
    assert signer.sign_request(signable, None) is None  # type: ignore[arg-type]
    return signable.final().headers


@pytest.mark.parametrize(
    ("method", "url", "headers", "signed", "signature"),
    [
        (
            "GET",
            "/",
            {},
            "host;x-amz-date",
            "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
        ),
        (
            "POST",
            "/",
            {},
            "host;x-amz-date",
            "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
        ),
        (
            "GET",
            "/?Param2=value2&Param1=value1",
            {},
            "host;x-amz-date",
            "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
        ),
    ],
    ids=["get-vanilla", "post-vanilla", "get-vanilla-query-order-key-case"],
)
def test_the_examples_of_the_test_suite(
    method: str, url: str, headers: dict[str, str], signed: str, signature: str
) -> None:
    """AWS's suite for Signature Version 4."""
    found = sign(SUITE, method, f"https://example.amazonaws.com{url}", headers=headers)
    assert found["Authorization"] == (
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "
        f"SignedHeaders={signed}, Signature={signature}"
    )
    assert found["X-Amz-Date"] == "20150830T123600Z"


def test_the_example_of_s3(times: Times) -> None:
    """From its reference, on signing by the Authorization header: GET Bucket Lifecycle."""
    times.now = [datetime.datetime(2013, 5, 24)]
    found = sign(
        AwsSigV4("s3", "us-east-1", **S3), "GET", "https://examplebucket.s3.amazonaws.com/?lifecycle="
    )
    assert found["Authorization"].endswith(
        "SignedHeaders=host;x-amz-content-sha256;x-amz-date, "
        "Signature=fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"
    )


def last(harness: Harness) -> tuple[HttpRequest, bytes]:
    return harness.transport.sent[-1], harness.transport.bodies[-1] or b""


@pytest.mark.parametrize("service", ["s3", "s3-object-lambda", "s3-outposts", "execute-api"])
@pytest.mark.parametrize(
    "options",
    [
        {"params": {"prefix": "a b/c", "x:y": "(1)*'!~", "é": "", "a": ["2", "1"]}},
        {"method": "POST", "json": {"a": ["x" * 3000]}},
        {"method": "PUT", "data": io.BytesIO(b"x" * 100_000)},
        {"url": "https://bucket.example.com/a%20b/c+d:e@f=(g)~é%2Bh"},
        {"url": "https://bucket.example.com/%E9?b=%E9&a=%FF&a=1&a&c%20=%3d"},
        {"url": "https://bucket.example.com:8443/", "headers": {"X-Amz-Meta-Two": "a   b"}},
        {"url": "https://127.0.0.1:4566/", "headers": {"Host": "bucket.example.com"}},
    ],
    ids=["query", "json", "file", "path", "latin-1", "headers", "host"],
)
def test_what_is_signed_is_what_is_sent(front_end: FrontEnd, service: str, options: dict[str, Any]) -> None:
    """Compressed, escaped, with all that the client adds."""
    signer = AwsSigV4(service, "eu-central-1", session_token="t0k3n", **S3)
    harness = Harness(front_end, request_signers=[signer], enable_request_compression=True)
    given = {"url": "https://bucket.example.com/key", "method": "GET", **options}
    harness.request(given.pop("method"), given.pop("url"), **given)
    request, body = last(harness)
    assert request.headers["X-Amz-Security-Token"] == "t0k3n"
    assert ("X-Amz-Content-SHA256" in request.headers) is (service != "execute-api")
    assert is_signed(request, body, S3["secret_key"])
    assert not is_signed(request, body + b"x", S3["secret_key"]) or service == "execute-api"
    request.url += "x"
    assert not is_signed(request, body, S3["secret_key"])


@pytest.mark.parametrize("service", ["s3", "execute-api"])
def test_a_hash_of_the_caller_is_replaced_and_signed(front_end: FrontEnd, service: str) -> None:
    """AWS takes it for that of the body, and refuses a header of its own that is not signed."""
    harness = Harness(front_end, request_signers=[AwsSigV4(service, "eu-central-1", **S3)])
    harness.request("PUT", data=b"x", headers={"x-amz-content-sha256": "that of another body"})
    request, body = last(harness)
    assert request.headers["X-Amz-Content-SHA256"] == hashlib.sha256(b"x").hexdigest()
    assert is_signed(request, body, S3["secret_key"])


def test_a_plus_in_a_query_is_a_space() -> None:
    """As AWS reads it, and signs it by its escape."""
    plus, escaped = (
        sign(SUITE, "GET", f"https://example.amazonaws.com/?q={q}") for q in ("a+b+c", "a%20b%20c")
    )
    assert plus["Authorization"] == escaped["Authorization"]


def test_each_attempt_is_signed_again(front_end: FrontEnd, times: Times) -> None:
    """AWS refuses signatures that are five minutes old."""
    times.now = [datetime.datetime(2026, 1, 1), datetime.datetime(2026, 1, 1, 0, 10)]
    retries = RetryPolicy(2, ConstantBackoff(600.0, jitter="none"))
    harness = Harness(front_end, 503, 200, request_signers=[SUITE], retry_policy_config=retries)
    harness.request("PUT", data=b"x")
    assert [r.headers["X-Amz-Date"] for r in harness.transport.sent] == [
        "20260101T000000Z",
        "20260101T001000Z",
    ]
    assert all(is_signed(request, b"x", str(SUITE.secret_key)) for request in harness.transport.sent)


def test_a_stream_is_refused_or_goes_unsigned(front_end: FrontEnd) -> None:
    """By the setting; the error names it."""
    harness = Harness(front_end, request_signers=[AwsSigV4("s3", "eu-central-1", **S3)])
    error = harness.error(InvalidRequestError, "PUT", data=iter([b"one"]))
    assert "unsigned_payload=True" in str(error)
    for service in ("s3", "vpc-lattice-svcs"):
        signer = AwsSigV4(service, "eu-central-1", unsigned_payload=True, **S3)
        harness = Harness(front_end, request_signers=[signer])
        harness.request("PUT", data=iter([b"one"]))
        request, body = last(harness)
        assert (request.headers["X-Amz-Content-SHA256"], body) == ("UNSIGNED-PAYLOAD", b"one")
        assert is_signed(request, body, S3["secret_key"])


@pytest.mark.parametrize("unsigned", [False, True])
@pytest.mark.parametrize("name", ["X-Amz-Content-SHA256", "x-amz-content-sha256"])
def test_a_hash_that_the_caller_gives_is_replaced(front_end: FrontEnd, name: str, unsigned: bool) -> None:
    """By that of the body, however it is written, and not sent beside it."""
    signer = AwsSigV4("s3", "eu-central-1", unsigned_payload=unsigned, **S3)
    harness = Harness(front_end, request_signers=[signer])
    harness.request("PUT", data=b"one", headers={name: "of another body"})
    request, body = last(harness)
    expected = "UNSIGNED-PAYLOAD" if unsigned else hashlib.sha256(b"one").hexdigest()
    assert [value for key, value in request.headers.items() if key.lower() == name.lower()] == [expected]
    assert is_signed(request, body, S3["secret_key"])


class Credentials:
    """As those of botocore: expired until they are asked for."""

    def __init__(self) -> None:
        self.threads: list[threading.Thread] = []

    def refresh_needed(self) -> bool:
        return not self.threads

    def get_frozen_credentials(self) -> Any:
        self.threads.append(threading.current_thread())
        return botocore.credentials.ReadOnlyCredentials(S3["access_key"], S3["secret_key"], None)


def full(*_: Any) -> Any:
    raise AssertionError("its threads may be full of other work")


def test_credentials_are_fetched_in_a_thread(front_end: FrontEnd, monkeypatch: pytest.MonkeyPatch) -> None:
    """They may come from a metadata service: the event loop must not wait for it. Then they are used at once."""
    pytest.importorskip("botocore.credentials")
    monkeypatch.setattr("asyncio.base_events.BaseEventLoop.run_in_executor", full)
    monkeypatch.setattr(WORKERS, "start", full)
    credentials = Credentials()
    signer = AwsSigV4("s3", "eu-central-1", credentials=credentials)
    harness = Harness(front_end, request_signers=[signer])
    harness.request()
    harness.request()
    fetched_on, used_on = credentials.threads
    assert fetched_on is not threading.main_thread()
    assert used_on is threading.main_thread()
    assert is_signed(*last(harness), S3["secret_key"])


def test_eight_threads_may_wait_for_credentials() -> None:
    """No more: a metadata service that hangs must not fill the process with threads."""
    begun: list[int] = []
    may_end = threading.Event()
    for number in range(8):
        assert not aws._THREADS.is_full
        aws._THREADS.start(lambda number=number: (begun.append(number), may_end.wait(20)))  # type: ignore[misc]
    try:
        wait_until(lambda: len(begun) == 8)
        assert aws._THREADS.is_full
    finally:
        may_end.set()


def test_botocore_finds_credentials(front_end: FrontEnd, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the environment, for example."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", S3["access_key"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", S3["secret_key"])
    harness = Harness(front_end, request_signers=[AwsSigV4("s3", "eu-central-1")])
    harness.request()
    assert is_signed(*last(harness), S3["secret_key"])


def test_no_credentials_fail_the_call(
    front_end: FrontEnd, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    """And it is not sent unsigned."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    harness = Harness(front_end, request_signers=[AwsSigV4("s3", "eu-central-1")])
    assert "set access_key and secret_key, or credentials" in str(harness.error(TokenError))

    class Broken(Credentials):
        def get_frozen_credentials(self) -> Any:
            raise OSError("no route")

    harness = Harness(front_end, request_signers=[AwsSigV4("s3", "eu-central-1", credentials=Broken())])
    error = harness.error(TokenError)
    assert isinstance(error.__cause__, OSError)
    assert isinstance(harness.transport, FakeTransport)
    assert harness.sends == 0


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"service": ""}, "service must be text"),
        ({"service": 5}, "service must be text"),
        ({"region": None}, "region must be text"),
        ({"access_key": "a"}, "access_key and secret_key must be set together"),
        ({"access_key": "", "secret_key": ""}, "access_key and secret_key must be .* text that is not empty"),
        ({**S3, "access_key": 5}, "access_key and secret_key must be .* text"),
        ({**S3, "secret_key": b"k"}, "access_key and secret_key must be .* text"),
        ({**S3, "secret_key": ""}, "access_key and secret_key must be set together"),
        ({**S3, "session_token": 5}, "session_token must be text, not int"),
        ({"session_token": "a"}, "session_token belongs to"),
        ({**S3, "credentials": object()}, "both access_key and credentials are set"),
        ({"service": "s3\n"}, "service has a line break"),
        ({"region": "eu-central-1\n"}, "region has a line break"),
        ({**S3, "access_key": "a\n"}, "access_key has a line break"),
        ({**S3, "secret_key": "a\r\n"}, "secret_key has a line break"),
        ({**S3, "session_token": "a\n"}, "session_token has a line break"),
        ({"unsigned_payload": "yes"}, "unsigned_payload must be True or False"),
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, Any], problem: str) -> None:
    """With the name of the setting."""
    with pytest.raises(ConfigurationError, match=problem):
        AwsSigV4(**{"service": "s3", "region": "eu-central-1", **settings})


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the extra that installs it."""
    monkeypatch.setitem(sys.modules, "botocore", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'http-service-client\[aws\]'"):
        AwsSigV4("s3", "eu-central-1")


def test_a_signer_is_a_value_that_shows_no_key() -> None:
    """It compares, copies and pickles."""
    for twin in (pickle.loads(pickle.dumps(SUITE)), copy.deepcopy(SUITE)):
        assert twin == SUITE
    assert AwsSigV4("s3", "us-east-1", access_key="a", secret_key="b") != SUITE
    assert "wJalr" not in f"{SUITE!r}{HttpClientConfig(request_signers=[SUITE])!r}"


def test_the_headers_that_are_signed() -> None:
    """Those that the service reads: its own, the type and the host. A proxy may change the others."""
    headers = {"X-Amz-Meta-A": "1", "Content-Type": "text/plain", "Content-MD5": "x", "X-Other": "2"}
    authorization = sign(SUITE, "PUT", "https://example.amazonaws.com/", headers=headers, data=b"x")[
        "Authorization"
    ]
    names = authorization.partition("SignedHeaders=")[2].partition(",")[0]
    assert names == "content-md5;content-type;host;x-amz-date;x-amz-meta-a"
