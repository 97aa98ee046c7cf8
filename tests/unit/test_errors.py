"""Errors: the tree, what each carries, that it travels between processes, and that no secret is in it."""

from __future__ import annotations

import copy
import inspect
import logging
import pickle
import re
from base64 import b64encode
from collections.abc import Callable
from typing import Any

import pytest

import http_service_client
from http_service_client import HttpServiceClient, errors
from http_service_client.errors import (
    CircuitOpenError,
    ConfigurationError,
    ConnectError,
    ConnectionLostError,
    Failure,
    HttpClientError,
    HttpStatusError,
    InterceptorError,
    InvalidRequestError,
    NetworkError,
    RequestTimeoutError,
    ResponseValidationError,
    SentState,
    TooManyRedirectsError,
    TransportError,
    UnsafeRedirectError,
    innermost,
)
from http_service_client.events import (
    AttemptFinished,
    CallFinished,
    CircuitRefused,
    RedirectFollowed,
    RetryScheduled,
    RetryStopped,
    StopReason,
    Timeline,
)
from http_service_client.http.messages import HttpRequest, HttpResponse
from kit.fakes import READ_TIMEOUT, RESET, URL, FakeTransport, Harness, short
from kit.front_ends import FrontEnd

ALL_ERRORS: list[type[HttpClientError]] = [
    value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, HttpClientError)
]


# The tree.


def drawn_tree() -> dict[str, tuple[str | None, str | None]]:
    """Name to (base, builtin), read from the drawing in the module's docstring."""
    tree: dict[str, tuple[str | None, str | None]] = {}
    path: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        match = re.fullmatch(r" {4}((?:[│├└─ ]{4})*)(\w+Error)(?: +\((\w+)\))?(?: +.*)?", line)
        if match is None:
            continue
        depth = len(match[1]) // 4
        del path[depth:]
        tree[match[2]] = (path[-1] if path else None, match[3])
        path.append(match[2])
    return tree


def test_the_tree_is_drawn_as_it_is() -> None:
    """Every class, its base and the builtin it derives from, and nothing that is not there."""
    actual: dict[str, tuple[str | None, str | None]] = {}
    for cls in ALL_ERRORS:
        ours = [base.__name__ for base in cls.__bases__ if issubclass(base, HttpClientError)]
        builtins = [
            base.__name__ for base in cls.__bases__ if base.__module__ == "builtins" and base is not Exception
        ]
        actual[cls.__name__] = (ours[0] if ours else None, builtins[0] if builtins else None)
        assert len(ours) <= 1
    assert drawn_tree() == actual


def test_all_errors_are_public() -> None:
    """In the module's __all__ and in the package, but for the groups that are abstract there too."""
    names = {cls.__name__ for cls in ALL_ERRORS}
    assert names <= set(errors.__all__)
    assert names <= set(http_service_client.__all__)


@pytest.mark.parametrize(
    ("cls", "builtin"),
    [
        (ConfigurationError, ValueError),
        (InvalidRequestError, ValueError),
        (ResponseValidationError, ValueError),
        (InterceptorError, TypeError),
        (errors.ClientClosedError, RuntimeError),
        (NetworkError, ConnectionError),
        (ConnectError, ConnectionError),
        (ConnectionLostError, OSError),
        (errors.TlsVerificationError, ConnectionError),
        (RequestTimeoutError, TimeoutError),
        (errors.DeadlineExceededError, TimeoutError),
        (errors.PoolTimeoutError, OSError),
    ],
)
def test_code_that_catches_builtins_keeps_working(cls: type[Exception], builtin: type[Exception]) -> None:
    """`except ConnectionError`, `except TimeoutError`, `except ValueError`."""
    with pytest.raises(builtin):
        raise cls("x")


@pytest.mark.parametrize("cls", ALL_ERRORS, ids=lambda cls: cls.__name__)
def test_every_error_explains_its_class(cls: type[HttpClientError]) -> None:
    """One sentence of its own."""
    assert cls.__doc__ is not None
    assert inspect.getdoc(cls) is not None
    assert cls.__doc__ != HttpClientError.__doc__ or cls is HttpClientError


# What they carry.

TIMELINE = Timeline(
    [
        AttemptFinished(
            0.1, 1, "https://api.example.com", 0.1, 503, None, "Service Unavailable", SentState.ANSWERED
        ),
        RetryScheduled(0.1, 1, "https://api.example.com", 1.0, "status 503", None, 9, None),
        RedirectFollowed(1.2, 2, "https://api.example.com", 302, "GET", URL),
        CircuitRefused(1.3, 2, "https://api.example.com", "open", 5.0),
        RetryStopped(1.3, 2, "https://api.example.com", StopReason.CIRCUIT_OPEN, 9, 0.5),
        CallFinished(1.3, "POST", URL, "https://api.example.com", 1, None, "X", SentState.ANSWERED, -0.5),
    ]
)


def full(cls: type[HttpClientError], **more: Any) -> HttpClientError:
    request = HttpRequest("POST", URL, headers={"X-A": "1"}, json={"a": [1]})
    response = HttpResponse(503, headers={"Retry-After": "5"}, content=b"body", url=URL, request=request)
    return cls(
        "it failed",
        request=request,
        response=response,
        sent_state=SentState.MAYBE_PROCESSED,
        timeline=TIMELINE,
        **more,
    )


@pytest.mark.parametrize("cls", ALL_ERRORS, ids=lambda cls: cls.__name__)
@pytest.mark.parametrize(
    "again",
    [*(lambda e, p=p: pickle.loads(pickle.dumps(e, p)) for p in range(2, 6)), copy.copy, copy.deepcopy],
    ids=["pickle 2", "pickle 3", "pickle 4", "pickle 5", "copy", "deepcopy"],
)
def test_every_error_can_be_pickled(cls: type[HttpClientError], again: Callable[[Any], Any]) -> None:
    """With its message, request, response, state, timeline and what is its own."""
    error = again(full(cls, key="k", retry_after=5.0, status_code=503))
    assert type(error) is cls
    assert (str(error), error.args) == ("it failed", ("it failed",))
    assert (error.request.method, error.request.url, error.request.content) == ("POST", URL, b'{"a":[1]}')
    assert error.request.headers["x-a"] == "1"
    assert (error.response.status_code, error.response.content) == (503, b"body")
    assert error.response.headers["Retry-After"] == "5"
    assert error.sent_state is SentState.MAYBE_PROCESSED
    assert error.timeline == TIMELINE
    assert type(error.timeline) is Timeline
    assert (error.key, error.retry_after, error.status_code) == ("k", 5.0, 503)


@pytest.mark.parametrize("cls", ALL_ERRORS, ids=lambda cls: cls.__name__)
def test_every_error_can_be_made_with_nothing(cls: type[HttpClientError]) -> None:
    """By mocks and tests; what it lacks is None, and it reads well."""
    error = cls()
    assert str(error) == ""
    assert (error.request, error.response, error.timeline) == (None, None, None)
    assert error.sent_state is SentState.NEVER_SENT
    assert error.explain() == f"{cls.__name__}: "
    assert str(pickle.loads(pickle.dumps(error))) == ""
    assert cls.__name__ in repr(cls("x"))


def test_errors_of_real_calls_travel(front_end: FrontEnd) -> None:
    """As a task queue would send them: with a streamed body and an open file in the request."""
    for options in ({"data": iter([b"x"])}, {"files": {"f": b"content"}}, {"json": {"a": 1}}, {}):
        error = Harness(front_end, RESET).error(ConnectionLostError, "POST", **options)
        there = pickle.loads(pickle.dumps(error))
        assert str(there) == str(error)
        assert there.timeline == error.timeline
        assert there.request.headers["User-Agent"] == error.request.headers["User-Agent"]
        assert there.explain() == error.explain()


def test_responses_travel(front_end: FrontEnd) -> None:
    """With history, request and timeline."""
    response = Harness(front_end, (302, {"Location": "/b"}), 200).request()
    there = pickle.loads(pickle.dumps(response))
    assert (there.status_code, there.url, len(there.history)) == (200, response.url, 1)
    assert there.explain() == response.explain()


def test_raise_for_status(front_end: FrontEnd) -> None:
    """4xx and 5xx raise, with the response and its story; below, the response comes back."""
    response = Harness(front_end, 404).request()
    with pytest.raises(HttpStatusError, match=rf"GET {URL} answered 404") as raised:
        response.raise_for_status()
    assert (raised.value.status_code, raised.value.response) == (404, response)
    assert raised.value.timeline is response.timeline
    fine = Harness(front_end, 304).request()
    assert fine.raise_for_status() is fine


def test_json_that_is_none(front_end: FrontEnd) -> None:
    """An error with the response, not a bare JSONDecodeError (which it is not, but a ValueError)."""
    response = Harness(front_end, lambda request: HttpResponse(200, content=b"<html>", url=URL)).request()
    with pytest.raises(ResponseValidationError) as raised:
        response.json()
    assert raised.value.response is response
    assert raised.value.__cause__ is None
    assert isinstance(raised.value, ValueError)


def test_explain_reads_line_by_line() -> None:
    """First what was asked, then what happened, then the error."""
    story = full(ConnectionLostError).explain().splitlines()
    assert story[0] == f"POST {URL}"
    assert story[-1] == "ConnectionLostError: it failed"
    assert len(story) == 1 + len(TIMELINE) + 1
    assert "[9 retries left in the budget, 0.500 s left of the deadline]" in story[5]


# Causes.


def test_the_cause_is_the_innermost_builtin_error() -> None:
    """Through any wrapping: __cause__, __context__, args and urllib3's `reason`; freed of tracebacks."""

    class Wrapped(Exception):
        pass

    def deep() -> BaseException:
        try:
            try:
                try:
                    raise ConnectionResetError(104, "reset")
                except OSError as error:
                    raise Wrapped("inner") from error
            except Wrapped as error:
                raise Wrapped(("tuple", error), error)  # noqa: B904
        except Wrapped as error:
            outer = Wrapped("outer")
            outer.reason = error  # type: ignore[attr-defined]
            return outer

    found = innermost(deep())
    assert type(found) is ConnectionResetError
    assert (found.__traceback__, found.__cause__, found.__context__) == (None, None, None)


def test_a_chain_in_a_circle_ends() -> None:
    """Errors that name each other do not hang us."""
    one, other = ValueError("one"), ValueError("other")
    one.__cause__, other.__cause__ = other, one
    assert innermost(one) in (one, other)


def test_an_error_without_a_builtin_is_its_own_cause() -> None:
    """There is always something to show."""

    class Own(Exception):
        pass

    error = Own("x")
    assert innermost(error) is error
    assert Failure(ConnectError, "m", SentState.NEVER_SENT, error).cause is error


# Secrets.

SECRET = "s3cr3t"
BASIC = b64encode(f"user:{SECRET}".encode()).decode()


def everything_said(
    harness: Harness, error: BaseException | None, response: HttpResponse | None = None
) -> str:
    """All that anybody might log of a call."""
    said: list[str] = [str(event) + repr(event) for event in harness.events]
    said += [
        repr(harness.client),
        repr(harness.client.config),
        repr(harness.client.get_circuit_breaker_states()),
    ]
    said += [
        repr(harness.client.get_health_summary()),
        repr(harness.state.breaker),
        repr(harness.client.metrics),
    ]
    for thing in (error, response):
        if thing is not None:
            said += [str(thing), repr(thing), thing.explain() if hasattr(thing, "explain") else ""]  # type: ignore[attr-defined]
            request = getattr(thing, "request", None)
            said += [repr(request), repr(request.headers) if request is not None else ""]
            said += [repr(getattr(thing, "timeline", None)), repr(getattr(thing, "__cause__", None))]
            said += [repr(getattr(thing, "response", None))]
    return "\n".join(said)


SECRET_OPTIONS: dict[str, dict[str, Any]] = {
    "authorization": {"headers": {"Authorization": f"Bearer {SECRET}"}},
    "api key": {"headers": {"X-API-Key": SECRET}},
    "cookie header": {"headers": {"Cookie": f"sid={SECRET}"}},
    "cookies": {"cookies": {"sid": SECRET}},
    "basic": {"auth": ("user", SECRET)},
    "bearer": {"auth": SECRET},
    "token in params": {"params": {"access_token": SECRET, "api_key": SECRET, "page": 2}},
    "token in the url": {"url": f"{URL}?token={SECRET}&sig={SECRET}"},
    "body": {"json": {"card": SECRET}},
    "form": {"data": {"password": SECRET}},
}


@pytest.mark.parametrize("name", SECRET_OPTIONS)
@pytest.mark.parametrize("outcome", [RESET, READ_TIMEOUT, 503, 200], ids=short)
def test_no_secret_in_what_is_said_of_a_call(
    front_end: FrontEnd, name: str, outcome: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Not in str, repr, explain, events, metrics or logs, whatever comes of the call."""
    caplog.set_level(logging.DEBUG)
    harness = Harness(front_end, outcome)
    error = response = None
    options = {"url": URL, **SECRET_OPTIONS[name]}
    try:
        response = harness.request("POST", **options)
        if response.status_code >= 400:
            response.raise_for_status()
    except HttpClientError as raised:
        error = raised
    said = everything_said(harness, error, response) + caplog.text
    assert SECRET not in said
    assert BASIC not in said
    sent = harness.transport.sent[0]
    carried = f"{sent.url} {sent.headers.multi_items()} {harness.transport.bodies[0]!r}"
    assert SECRET in carried or BASIC in carried, "the secret was not sent: the test tests nothing"


@pytest.mark.parametrize(
    "location",
    [
        f"/next?token={SECRET}",
        f"https://user:{SECRET}@other.example.com/",
        f"http://api.example.com/?access_token={SECRET}",
        f"ftp://user:{SECRET}@h/",
        f"/next#access_token={SECRET}",
        f"https://user:{SECRET}@/",
        f"//user:{SECRET}@other.example.com",
    ],
)
def test_no_secret_of_a_redirect(front_end: FrontEnd, location: str) -> None:
    """Followed or refused, what a server put into Location is redacted."""
    harness = Harness(front_end, (302, {"Location": location}), 200)
    error = response = None
    try:
        response = harness.request()
    except (UnsafeRedirectError, TooManyRedirectsError) as raised:
        error = raised
    assert SECRET not in everything_said(harness, error, response)


@pytest.mark.parametrize(
    "options",
    [
        {"url": f"https://user:{SECRET}@h/"},
        {"url": f"https://user:{SECRET}@h/ x"},
        {"url": f"ftp://user:{SECRET}@h/?token={SECRET}"},
        {"url": f"//user:{SECRET}@h"},
        {"url": f"h/?token={SECRET}"},
        {"url": f"https://h:{SECRET}/"},
        {"headers": {"Authorization": f"Bearer {SECRET}\n"}},
        {"headers": {"X-API-Key": f"{SECRET}\ud800"}},
        {"headers": {"X-API-Key": [SECRET]}},
        {"auth": f"{SECRET} {SECRET}"},
        {"auth": (f"user:{SECRET}", SECRET)},
        {"auth": ("user", f"{SECRET}\n")},
        {"auth": {"token": SECRET}},
        {"auth": (SECRET,)},
        {"cookies": {"sid": f"{SECRET};"}},
        {"params": f"token={SECRET}\n"},
        {"params": {"token": {SECRET: 1}}},
        {"json": {"password": {SECRET}}},
        {"data": {"password": {SECRET}}},
        {"json": SECRET, "data": SECRET},
    ],
    ids=short,
)
def test_no_secret_in_what_is_wrong_with_a_request(front_end: FrontEnd, options: dict[str, Any]) -> None:
    """str(InvalidRequestError) says what is wrong with a value, and not what it is."""
    harness = Harness(front_end)
    options = {"url": URL, **options}
    with pytest.raises(InvalidRequestError) as raised:
        harness.request("POST", **options)
    said = [str(raised.value), repr(raised.value), raised.value.explain()]
    cause, context = raised.value.__cause__, raised.value.__context__
    said += [repr(cause), repr(context if not raised.value.__suppress_context__ else None)]
    assert SECRET not in "\n".join(said)


def test_no_secret_of_an_interceptor_s_mistake(front_end: FrontEnd) -> None:
    """A returned string may be the token that was fetched: its type is shown, never its value."""

    class ReturnsToken:
        def intercept_request(self, request: Any, context: Any) -> Any:
            return SECRET

    class BreaksHeader:
        def intercept_request(self, request: Any, context: Any) -> Any:
            request.headers["Authorization"] = f"Bearer {SECRET}\n"
            return request

    for kind, expected in [(ReturnsToken, InterceptorError), (BreaksHeader, InvalidRequestError)]:
        harness = Harness(front_end, request_interceptors=[kind])
        error = harness.error(expected)
        assert SECRET not in everything_said(harness, error)


def test_a_listener_that_fails_logs_no_secret(front_end: FrontEnd, caplog: pytest.LogCaptureFixture) -> None:
    """What we log ourselves names the event, not the call."""

    def fail(event: Any) -> None:
        raise RuntimeError("listener")

    client = HttpServiceClient(transport=FakeTransport(404), on_event=fail)
    front_end.request(client, "GET", f"{URL}?token={SECRET}", headers={"Authorization": SECRET})
    assert "on_event failed" in caplog.text
    assert SECRET not in caplog.text


def test_a_refusal_shows_no_secret(front_end: FrontEnd) -> None:
    """The circuit's key is the origin: no path, no query."""
    harness = Harness(front_end)
    harness.state.breaker.isolate()
    with pytest.raises(CircuitOpenError) as raised:
        harness.request(url=f"{URL}/{SECRET}?token={SECRET}")
    assert raised.value.key == "https://api.example.com"
    assert SECRET not in str(raised.value)


def test_everything_ours_is_caught_by_one_class() -> None:
    """`except HttpClientError` is enough; transport errors have a class of their own."""
    assert all(issubclass(cls, HttpClientError) for cls in ALL_ERRORS)
    assert issubclass(NetworkError, TransportError)
    assert issubclass(RequestTimeoutError, TransportError)
