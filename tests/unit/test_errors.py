"""Errors: their hierarchy, their attributes, pickling, and that they contain no secrets."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import logging
import pickle
import re
from base64 import b64encode
from collections.abc import Callable
from json import JSONDecodeError
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
from kit.rows import each_row

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


def test_the_drawn_hierarchy_is_the_real_one() -> None:
    """The module docstring draws every class, its base, and in parentheses a second one, and nothing else."""
    actual: dict[str, tuple[str | None, str | None]] = {}
    for cls in ALL_ERRORS:
        own_bases = [base.__name__ for base in cls.__bases__ if issubclass(base, HttpClientError)]
        builtins = [
            base.__name__ for base in cls.__bases__ if base.__module__ == "builtins" and base is not Exception
        ]
        further = own_bases[1:] + builtins
        actual[cls.__name__] = (own_bases[0] if own_bases else None, further[0] if further else None)
        assert len(further) <= 1
    assert drawn_tree() == actual


def test_all_errors_are_public() -> None:
    """Every error class is in `__all__` of the module and of the package."""
    names = {cls.__name__ for cls in ALL_ERRORS}
    assert names <= set(errors.__all__)
    assert names <= set(http_service_client.__all__)


@each_row(
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
def test_errors_derive_from_the_builtins_that_callers_catch(
    cls: type[Exception], builtin: type[Exception]
) -> None:
    """`except ConnectionError`, `except TimeoutError` and `except ValueError` catch them."""
    with pytest.raises(builtin):
        raise cls("x")


@each_row("cls", ALL_ERRORS, ids=lambda cls: cls.__name__)
def test_every_error_class_has_its_own_docstring(cls: type[HttpClientError]) -> None:
    """No class is without a docstring or repeats that of the base class."""
    assert (cls.__doc__ or "").strip()
    assert [other for other in ALL_ERRORS if other.__doc__ == cls.__doc__] == [cls]


# Attributes.

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


def full_error(cls: type[HttpClientError], **more: Any) -> HttpClientError:
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


@each_row("cls", ALL_ERRORS, ids=lambda cls: cls.__name__)
@each_row(
    "copied",
    [*(lambda e, p=p: pickle.loads(pickle.dumps(e, p)) for p in range(2, 6)), copy.copy, copy.deepcopy],
    ids=["pickle 2", "pickle 3", "pickle 4", "pickle 5", "copy", "deepcopy"],
)
def test_every_error_can_be_pickled_and_copied(
    cls: type[HttpClientError], copied: Callable[[Any], Any]
) -> None:
    """The copy has the message, request, response, sent state, timeline and the attributes of its class."""
    error = copied(full_error(cls, key="k", retry_after=5.0, status_code=503))
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


@each_row("cls", ALL_ERRORS, ids=lambda cls: cls.__name__)
def test_every_error_can_be_made_without_arguments(cls: type[HttpClientError]) -> None:
    """Mocks and tests make such errors: missing attributes are empty, and str, repr and explain work."""
    error = cls()
    assert str(error) == ""
    assert (error.request, error.response, error.timeline) == (None, None, None)
    names = {name for each in cls.__mro__ for name in inspect.get_annotations(each)} - {"sent_state"}
    assert {name: value for name in names if (value := getattr(error, name))} == {}
    assert error.sent_state is SentState.NEVER_SENT
    details = {
        name: getattr(error, name)
        for kind in cls.__mro__
        if issubclass(kind, HttpClientError)
        for name, value in vars(kind).items()
        if name[0] != "_" and not callable(value)
    }
    assert {name for name, detail in details.items() if detail} == {"sent_state"}
    assert error.explain() == f"{cls.__name__}: "
    assert str(pickle.loads(pickle.dumps(error))) == ""
    assert cls.__name__ in repr(cls("x"))


def test_the_error_of_a_call_can_be_pickled(front_end: FrontEnd) -> None:
    """A task queue can send it, even with a streamed body or a file in the request."""
    for options in ({"data": iter([b"x"])}, {"files": {"f": b"content"}}, {"json": {"a": 1}}, {}):
        error = Harness(front_end, RESET).error(ConnectionLostError, "POST", **options)
        copied = pickle.loads(pickle.dumps(error))
        assert str(copied) == str(error)
        assert copied.timeline == error.timeline
        assert copied.request.headers["User-Agent"] == error.request.headers["User-Agent"]
        assert copied.explain() == error.explain()


def test_a_response_can_be_pickled(front_end: FrontEnd) -> None:
    """The copy has the history and the timeline."""
    response = Harness(front_end, (302, {"Location": "/b"}), 200).request()
    copied = pickle.loads(pickle.dumps(response))
    assert (copied.status_code, copied.url, len(copied.history)) == (200, response.url, 1)
    assert copied.timeline == response.timeline
    assert copied.explain() == response.explain()


def test_raise_for_status_raises_for_4xx_and_5xx_only(front_end: FrontEnd) -> None:
    """The error has the response and its timeline; for other statuses the response is returned."""
    for status in (404, 500):
        response = Harness(front_end, status, enable_retry_policy=False).request()
        with pytest.raises(HttpStatusError, match=rf"GET {URL} answered {status}") as raised:
            response.raise_for_status()
        assert (raised.value.status_code, raised.value.response) == (status, response)
        assert raised.value.timeline is response.timeline
    unchanged = Harness(front_end, 304).request()
    assert unchanged.raise_for_status() is unchanged


def test_a_body_that_is_not_json_is_a_response_validation_error(front_end: FrontEnd) -> None:
    """The error has the response, and is a ValueError but not a JSONDecodeError, nor caused by one."""
    response = Harness(front_end, lambda request: HttpResponse(200, content=b"<html>", url=URL)).request()
    with pytest.raises(ResponseValidationError) as raised:
        response.json()
    assert raised.value.response is response
    assert raised.value.__cause__ is None
    assert isinstance(raised.value, ValueError)
    assert not isinstance(raised.value, JSONDecodeError)


def test_explain_has_one_line_for_each_event() -> None:
    """The first line is the request, then each event has a line, and the last line is the error."""
    lines = full_error(ConnectionLostError).explain().splitlines()
    assert lines[0] == f"POST {URL}"
    assert lines[-1] == "ConnectionLostError: it failed"
    assert len(lines) == 1 + len(TIMELINE) + 1
    assert "[9 retries left in the budget, 0.500 s left of the deadline]" in lines[5]


# Causes.


def test_the_cause_is_the_innermost_builtin_error() -> None:
    """It is found through __cause__, __context__, args and urllib3's `reason`, and loses its traceback."""

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

    found = innermost(deep(), implicitly=True)
    assert type(found) is ConnectionResetError
    assert (found.__traceback__, found.__cause__, found.__context__) == (None, None, None)


def test_what_was_merely_being_handled_is_no_cause() -> None:
    """Unless it is asked for, as of libraries that wrap an error without naming it."""
    for is_asked_for in (False, True):
        error = ConnectionError("wrapped")
        error.__context__ = beneath = OSError("beneath")
        found = innermost(error, implicitly=True) if is_asked_for else innermost(error)
        assert found is (beneath if is_asked_for else error)


def test_a_circular_chain_of_causes_ends() -> None:
    """Errors that are each other's cause do not cause an endless loop."""
    one, other = ValueError("one"), ValueError("other")
    one.__cause__, other.__cause__ = other, one
    assert innermost(one) in (one, other)


def test_an_error_without_a_builtin_is_its_own_cause() -> None:
    """If no builtin error is in the chain, the error itself is the cause, so there always is one."""

    class Own(Exception):
        pass

    error = Own("x")
    assert innermost(error) is error
    assert Failure(ConnectError, "m", SentState.NEVER_SENT, error).cause is error


# Secrets.

SECRET = "s3cr3t"
BASIC = b64encode(f"user:{SECRET}".encode()).decode()


def all_texts(harness: Harness, error: BaseException | None, response: HttpResponse | None = None) -> str:
    """Every text of a call that an application might log."""
    texts: list[str] = [str(event) + repr(event) for event in harness.events]
    texts += [
        repr(harness.client),
        repr(harness.client.config),
        repr(harness.client.get_circuit_breaker_states()),
    ]
    texts += [
        repr(harness.client.get_health_summary()),
        repr(harness.state.breaker),
        repr(harness.client.metrics),
    ]
    for thing in (error, response):
        if thing is not None:
            texts += [str(thing), repr(thing), thing.explain() if hasattr(thing, "explain") else ""]  # type: ignore[attr-defined]
            request = getattr(thing, "request", None)
            texts += [repr(request), repr(request.headers) if request is not None else ""]
            texts += [repr(getattr(thing, "timeline", None)), repr(getattr(thing, "__cause__", None))]
            texts += [repr(getattr(thing, "response", None))]
    return "\n".join(texts)


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
def test_no_text_about_a_call_contains_a_secret(
    front_end: FrontEnd, name: str, outcome: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever the outcome, str, repr, explain, events, metrics and logs do not contain it."""
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
    texts = all_texts(harness, error, response) + caplog.text
    assert SECRET not in texts
    assert BASIC not in texts
    sent = harness.transport.sent[0]
    on_the_wire = f"{sent.url} {sent.headers.multi_items()} {harness.transport.bodies[0]!r}"
    assert SECRET in on_the_wire or BASIC in on_the_wire, (
        "the secret was not sent, so the test proves nothing"
    )


@each_row(
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
def test_no_text_about_a_redirect_contains_a_secret(front_end: FrontEnd, location: str) -> None:
    """Whether the redirect is followed or rejected, the secrets in its Location are redacted."""
    harness = Harness(front_end, (302, {"Location": location}), 200)
    error = response = None
    try:
        response = harness.request()
    except (UnsafeRedirectError, TooManyRedirectsError) as raised:
        error = raised
    assert SECRET not in all_texts(harness, error, response)


@each_row(
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
def test_an_invalid_request_error_contains_no_secret(front_end: FrontEnd, options: dict[str, Any]) -> None:
    """The error describes what is wrong with a value without showing the value."""
    harness = Harness(front_end)
    options = {"url": URL, **options}
    with pytest.raises(InvalidRequestError) as raised:
        harness.request("POST", **options)
    texts = [str(raised.value), repr(raised.value), raised.value.explain()]
    cause, context = raised.value.__cause__, raised.value.__context__
    texts += [repr(cause), repr(context if not raised.value.__suppress_context__ else None)]
    assert SECRET not in "\n".join(texts)


def test_an_error_about_an_interceptor_contains_no_secret(front_end: FrontEnd) -> None:
    """A returned string may be a token, so the error shows its type and never its value."""

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
        assert SECRET not in all_texts(harness, error)


def test_the_log_of_a_failed_listener_contains_no_secret(
    front_end: FrontEnd, caplog: pytest.LogCaptureFixture
) -> None:
    """The client's own log records name the event and not the URL or headers of the call."""

    def fail(event: Any) -> None:
        raise RuntimeError("listener")

    client = HttpServiceClient(transport=FakeTransport(404), on_event=fail)
    front_end.request(client, "GET", f"{URL}?token={SECRET}", headers={"Authorization": SECRET})
    assert "on_event failed" in caplog.text
    assert SECRET not in caplog.text


def test_a_circuit_open_error_contains_no_secret(front_end: FrontEnd) -> None:
    """Its key is the origin, without path and query."""
    harness = Harness(front_end)
    harness.state.breaker.isolate()
    with pytest.raises(CircuitOpenError) as raised:
        harness.request(url=f"{URL}/{SECRET}?token={SECRET}")
    assert raised.value.key == "https://api.example.com"
    assert SECRET not in str(raised.value)


def test_every_error_is_an_http_client_error() -> None:
    """`except HttpClientError` catches all, and `except TransportError` the network errors and timeouts."""
    assert all(issubclass(cls, HttpClientError) for cls in ALL_ERRORS)
    assert issubclass(NetworkError, TransportError)
    assert issubclass(RequestTimeoutError, TransportError)


def test_a_failure_cannot_be_changed() -> None:
    """It may be one that all clients share."""
    failure = errors.Failure(errors.ConnectError, "", errors.SentState.NEVER_SENT)
    with pytest.raises(dataclasses.FrozenInstanceError):
        failure.message = "x"  # type: ignore[misc]  # that it is frozen is the point
