"""Signers see each request in its final form, add headers, and can change nothing else."""

from __future__ import annotations

import asyncio
import hashlib
import io
import threading
from typing import Any

import pytest

from http_service_client import (
    AttemptTimeoutError,
    ConfigurationError,
    ConnectError,
    ConstantBackoff,
    CookieJar,
    HttpClientConfig,
    HttpClientError,
    InterceptorError,
    InvalidRequestError,
    RetryPolicy,
    SentState,
)
from http_service_client.auth import ApiKey, SignableRequest
from http_service_client.core.effects import Invoke
from http_service_client.core.layers.signing import Signer as Signing
from http_service_client.core.layers.signing import SigningLayer
from kit.fakes import READ_TIMEOUT, URL, Harness
from kit.front_ends import BlockingFrontEnd, FrontEnd
from kit.rows import each_row

RETRIES = {"retry_policy_config": RetryPolicy(3, ConstantBackoff(0.1, jitter="none"))}


def digest(request: SignableRequest, context: Any) -> None:
    hashed = hashlib.sha256()
    for piece in request.chunks():
        hashed.update(piece)
    request.headers["X-Signature"] = hashed.hexdigest()


class Signer:
    def sign_request(self, request: SignableRequest, context: Any) -> None:
        digest(request, context)


class AsyncSigner:
    async def sign_request(self, request: SignableRequest, context: Any) -> SignableRequest:
        await asyncio.sleep(0)
        digest(request, context)
        return request


async def async_digest(request: SignableRequest, context: Any) -> None:
    await asyncio.sleep(0)
    digest(request, context)


KINDS = [digest, async_digest, Signer, Signer(), AsyncSigner, AsyncSigner(), lambda r, c: async_digest(r, c)]


def signatures(harness: Harness) -> list[str | None]:
    return [request.headers.get("X-Signature") for request in harness.transport.sent]


def hashes(harness: Harness) -> list[str]:
    return [hashlib.sha256(body or b"").hexdigest() for body in harness.transport.bodies]


@each_row("signer", KINDS)
def test_a_signer_is_a_function_or_an_object_plain_or_async(front_end: FrontEnd, signer: Any) -> None:
    """Of each kind, in both front ends."""
    harness = Harness(front_end, request_signers=[signer])
    harness.request("POST", json={"a": 1})
    assert signatures(harness) == hashes(harness)


@each_row(
    "body",
    [
        {},
        {"json": {"a": ["x" * 3000]}},
        {"data": {"a": "x" * 3000}},
        {"data": b"x" * 3000},
        {"data": io.BytesIO(b"x" * 3000)},
        {"data": ("é" * 2000), "headers": {"Content-Type": "text/plain; charset=latin-1"}},
        {"files": {"f": b"x" * 3000}},
        {"files": {"f": ("name", io.BytesIO(b"x" * 3000))}},
    ],
    ids=lambda body: "+".join(body),
)
@each_row("compresses", [False, True])
def test_the_signature_is_that_of_the_bytes_on_the_wire(
    front_end: FrontEnd, body: dict[str, Any], compresses: bool
) -> None:
    """Whatever the kind of body, and compressed where it is."""
    harness = Harness(front_end, request_signers=[digest], enable_request_compression=compresses)
    harness.request("POST", **body)
    assert signatures(harness) == hashes(harness)


def test_a_signer_may_read_the_bytes_of_a_body_in_memory(front_end: FrontEnd) -> None:
    """As they are sent; none are none."""
    seen: list[bytes] = []
    harness = Harness(front_end, request_signers=[lambda request, context: seen.append(request.content)])
    harness.request("POST", json={"a": 1})
    harness.request()
    assert seen == [b'{"a":1}', b""]


def test_the_plain_body_after_a_415_has_a_signature_of_its_own(front_end: FrontEnd) -> None:
    """It has other bytes."""
    harness = Harness(front_end, 415, 200, request_signers=[digest], enable_request_compression=True)
    harness.request("POST", json=["x" * 3000])
    assert signatures(harness) == hashes(harness)
    assert len(set(signatures(harness))) == 2


def test_each_attempt_is_signed_for_itself(front_end: FrontEnd) -> None:
    """A signature may contain a time."""
    seen: list[tuple[int, float]] = []

    def sign(request: SignableRequest, context: Any) -> None:
        seen.append((context.attempt, harness.clock.now))
        request.headers["X-Time"] = str(harness.clock.now)

    harness = Harness(front_end, 503, 200, request_signers=[sign], **RETRIES)
    harness.request()
    assert seen == [(1, 1000.0), (2, 1000.1)]
    assert [request.headers.get_all("X-Time") for request in harness.transport.sent] == [
        ["1000.0"],
        ["1000.1"],
    ]


def test_a_signer_sees_cookies_host_and_length(front_end: FrontEnd) -> None:
    """All that is sent and that a signature could cover."""
    jar = CookieJar()
    jar.set(URL, "session", "1")
    seen: list[list[tuple[str, str]]] = []
    harness = Harness(
        front_end,
        cookies=jar,
        request_signers=[lambda request, context: seen.append(request.headers.pairs())],
    )
    harness.request("POST", data=b"abc")
    assert seen == [harness.transport.sent[0].headers.pairs()]
    assert {("Host", "api.example.com"), ("Cookie", "session=1"), ("Content-Length", "3")} <= set(seen[0])


@each_row(
    ("url", "host"),
    [
        ("https://api.example.com:443/", "api.example.com"),
        ("https://api.example.com:8443/", "api.example.com:8443"),
        ("http://[::1]:8080/", "[::1]:8080"),
        ("http+unix://%2Frun%2Fapp.sock/", "localhost"),
    ],
)
def test_a_signer_sees_the_host_as_it_is_sent(front_end: FrontEnd, url: str, host: str) -> None:
    """The Host field of the URL; a Host of the call's own is kept."""
    seen: list[str] = []
    harness = Harness(front_end, request_signers=[lambda r, c: seen.append(r.headers["Host"])])
    harness.request(url=url)
    harness.request(url=url, headers={"Host": "own.test"})
    assert seen == [host, "own.test"]


def test_a_trace_carries_no_signature(front_end: FrontEnd) -> None:
    """Its response would repeat it (RFC 9110, 9.3.8)."""
    harness = Harness(front_end, request_signers=[digest])
    with pytest.raises(
        InvalidRequestError, match="a TRACE request must not have the secret header 'X-Signature'"
    ):
        harness.request("TRACE")
    assert not harness.transport.sent


def test_signers_run_in_order_and_see_what_the_first_ones_added(front_end: FrontEnd) -> None:
    """As the request goes out."""

    def second(request: SignableRequest, context: Any) -> None:
        request.headers["X-Second"] = request.headers["X-Signature"]

    harness = Harness(front_end, request_signers=[digest, second])
    harness.request()
    headers = harness.transport.sent[0].headers
    assert headers["X-Second"] == headers["X-Signature"]


def test_a_redirect_within_the_origin_is_signed_and_one_to_another_is_not(front_end: FrontEnd) -> None:
    """Nor is one that leads back from there: another server chose its URL."""
    redirects = [(307, {"Location": to}) for to in ("/b", "https://b.test/c", URL)]
    harness = Harness(front_end, *redirects, 200, request_signers=[digest])
    harness.request("POST", data=b"x")
    assert [signature is not None for signature in signatures(harness)] == [True, True, False, False]


def test_a_signer_may_ask_for_other_origins(front_end: FrontEnd) -> None:
    """By its attribute; one without it is not called."""

    class Everywhere(Signer):
        signs_other_origins = True

    harness = Harness(front_end, (307, {"Location": "https://b.test/c"}), 200, request_signers=[Everywhere])
    harness.request("POST", data=b"x")
    assert signatures(harness) == hashes(harness)
    assert harness.transport.sent[1].headers["Host"] == "b.test"


async def pieces() -> Any:
    yield b"a"


class Pieces:
    def __aiter__(self) -> Any:
        return pieces()


ONCE = "a stream that can be read once"


@each_row(
    ("read", "body", "message"),
    [
        (
            "content",
            lambda: iter([b"a"]),
            f"the body is {ONCE}, whose bytes are known only while they are sent",
        ),
        ("chunks", lambda: iter([b"a"]), f"the body is {ONCE}"),
        ("content", Pieces, "the body is an async iterable"),
        ("chunks", Pieces, "the body is an async iterable, whose bytes are known only while they are sent"),
        ("content", lambda: io.BytesIO(b"a"), "hash it in pieces by request.chunks()"),
    ],
)
def test_a_signer_is_told_why_it_cannot_read_a_body(
    front_end: FrontEnd, read: str, body: Any, message: str
) -> None:
    """And what to do; nothing is sent."""

    def sign(request: SignableRequest, context: Any) -> None:
        request.content if read == "content" else list(request.chunks())

    harness = Harness(front_end, request_signers=[sign])
    error = harness.error(InvalidRequestError, "POST", data=body())
    assert message in str(error)
    assert "test_a_signer_is_told_why_it_cannot_read_a_body.<locals>.sign: " in str(error)
    assert (error.sent_state, harness.sends) == (SentState.NEVER_SENT, 0)


def test_a_stream_may_be_signed_without_its_bytes(front_end: FrontEnd) -> None:
    """Reading the body is what fails, not the stream: it is sent whole."""
    harness = Harness(front_end, request_signers=[lambda r, c: r.headers.update({"X-Payload": "UNSIGNED"})])
    harness.request("POST", data=iter([b"a", b"b"]))
    assert harness.transport.bodies == [b"ab"]


@each_row(
    ("sign", "kind", "message"),
    [
        (lambda r, c: setattr(r, "content", b"b"), InvalidRequestError, "may set headers, not content"),
        (lambda r, c: setattr(r, "url", "https://b.test"), InvalidRequestError, "may set headers, not url"),
        (lambda r, c: setattr(r, "method", "GET"), InvalidRequestError, "may set headers, not method"),
        (lambda r, c: setattr(r, "json", {}), InvalidRequestError, "may set headers, not json"),
        (lambda r, c: r.headers.update({"Content-Length": "9"}), InvalidRequestError, "Content-Length"),
        (lambda r, c: r.headers.pop("Content-Length") and None, InvalidRequestError, "Content-Length"),
        (lambda r, c: r.headers.pop("Host") and None, InvalidRequestError, "Host"),
        (
            lambda r, c: r.headers.update({"Transfer-Encoding": "chunked"}),
            InvalidRequestError,
            "Transfer-Encoding",
        ),
        (lambda r, c: r.headers.update({"X-A": "a\r\nX-B: b"}), InvalidRequestError, "control character"),
        (lambda r, c: "text", InterceptorError, "returned str"),
        (lambda r, c: SignableRequest(r._request), InterceptorError, "returned SignableRequest"),
    ],
)
def test_what_a_signer_may_not_do(
    front_end: FrontEnd, sign: Any, kind: type[HttpClientError], message: str
) -> None:
    """Whatever would make the signature that of another request; nothing is sent."""
    harness = Harness(front_end, request_signers=[sign])
    error = harness.error(kind, "POST", data=b"a")
    assert message in str(error)
    assert (error.sent_state, harness.sends) == (SentState.NEVER_SENT, 0)
    assert harness.names() == ["attempt_finished", "retry_stopped", "call_finished"], (
        "it is the outcome of an attempt"
    )


def test_a_signer_may_assign_all_headers(front_end: FrontEnd) -> None:
    """A library for signing may return new ones."""

    def sign(request: SignableRequest, context: Any) -> None:
        request.headers = {**request.headers, "X-Signature": "s"}  # type: ignore[assignment]  # a mapping will do

    harness = Harness(front_end, request_signers=[sign])
    harness.request("POST", data=b"a")
    assert signatures(harness) == ["s"]


def test_headers_that_a_signer_assigns_hide_what_the_others_hid(front_end: FrontEnd) -> None:
    """The key of an API among them."""

    def sign(request: SignableRequest, context: Any) -> None:
        request.headers = dict(request.headers)  # type: ignore[assignment]  # a mapping will do

    harness = Harness(front_end, request_signers=[sign], auth=ApiKey("s3cret", header="X-Partner"))
    harness.request()
    headers = harness.transport.sent[0].headers
    assert headers["X-Partner"] == "s3cret"
    assert "s3cret" not in repr(headers)


def test_an_error_of_a_signer_ends_the_call_as_it_is(front_end: FrontEnd) -> None:
    """As that of an interceptor."""

    def sign(request: SignableRequest, context: Any) -> None:
        raise LookupError("no key")

    harness = Harness(front_end, request_signers=[sign], **RETRIES)
    assert harness.error(LookupError).args == ("no key",)
    assert harness.sends == 0


def test_an_error_of_another_call_says_what_became_of_this_one(front_end: FrontEnd) -> None:
    """A signer may ask a key service, which could not be reached. The first attempt of this call may have been processed."""
    signed: list[bool] = []

    def sign(request: SignableRequest, context: Any) -> None:
        signed.append(True)
        if len(signed) == 2:
            error = ConnectError("no key service")
            error.sent_state = SentState.NEVER_SENT
            raise error

    harness = Harness(front_end, READ_TIMEOUT, request_signers=[sign], **RETRIES)
    error = harness.error(ConnectError)
    assert (str(error), error.sent_state) == ("no key service", SentState.MAYBE_PROCESSED)
    assert harness.sends == 1


def test_a_signer_that_refuses_a_request_is_named(front_end: FrontEnd) -> None:
    """Before what it says, and nothing after it."""

    def sign(request: SignableRequest, context: Any) -> None:
        raise InvalidRequestError("no date")

    error = Harness(front_end, request_signers=[sign]).error(InvalidRequestError)
    assert str(error).endswith("<locals>.sign: no date")

    class Signer:
        def sign_request(self, request: SignableRequest, context: Any) -> None:
            sign(request, context)

    error = Harness(front_end, request_signers=[Signer()]).error(InvalidRequestError)
    assert str(error).endswith("Signer.sign_request: no date")


def test_an_async_signer_is_called_where_it_is_awaited() -> None:
    """A call that ends before leaves no coroutine that nobody awaits."""
    called: list[bool] = []

    async def sign(request: SignableRequest, context: Any) -> None:
        called.append(True)

    call = Harness(BlockingFrontEnd()).client._call_builder.build("GET", URL)
    plan: Any = SigningLayer([Signing("sign", sign, False)])(lambda *_: iter(()), call.request, call)
    effect = next(plan)
    assert (type(effect), effect.function) == (Invoke, sign)
    plan.close()
    assert called == []


def test_a_plain_signer_runs_on_the_thread_of_its_call(front_end: FrontEnd) -> None:
    """It may read what that thread keeps, and holds up nobody else."""
    threads: list[int] = []
    harness = Harness(front_end, request_signers=[lambda r, c: threads.append(threading.get_ident())])
    harness.request()
    assert threads == [threading.get_ident()]


def test_signing_takes_the_attempts_time(front_end: FrontEnd) -> None:
    """What is left of it is for the exchange."""

    def sign(request: SignableRequest, context: Any) -> None:
        harness.clock.now += 3.0

    harness = Harness(front_end, request_signers=[sign], base_timeout=10.0)
    harness.request()
    assert harness.transport.timeouts[0].total == 7.0


def test_an_async_signer_ends_with_the_attempt(front_end: FrontEnd) -> None:
    """A key service that does not respond is not waited for longer."""

    async def sign(request: SignableRequest, context: Any) -> None:
        await asyncio.sleep(3600)

    harness = Harness(
        front_end, request_signers=[sign], base_timeout=0.01, retry_policy_config=RetryPolicy(1)
    )
    error = harness.error(AttemptTimeoutError)
    assert "timed out while" in str(error)
    assert error.sent_state is SentState.NEVER_SENT


@each_row("value", [5, "sign", [5], [Harness], [object()], None])
def test_a_wrong_signer_is_reported_when_it_is_configured(value: Any) -> None:
    """And not by the first call."""
    with pytest.raises(ConfigurationError, match="request_signers"):
        HttpClientConfig(request_signers=value)
