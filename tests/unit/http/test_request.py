"""A request: its body as it was given, copies that are independent, and what may be repeated."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from http_service_client.errors import InvalidRequestError
from http_service_client.http.messages import HttpRequest
from kit.rows import each_row

URL = "https://api.test/orders"


@pytest.mark.parametrize("name", ["json", "data"])
@pytest.mark.parametrize("is_copy", [False, True], ids=["original", "copy"])
def test_a_body_read_twice_is_one_object(name: str, is_copy: bool) -> None:
    """An interceptor may change it in two steps, and both are sent."""
    request = HttpRequest("POST", URL, **{name: {"a": 1}})
    if is_copy:
        request = request.copy()
    body = getattr(request, name)
    assert getattr(request, name) is body
    getattr(request, name)["b"] = 2
    getattr(request, name)["c"] = 3
    assert getattr(request, name) == {"a": 1, "b": 2, "c": 3}
    assert request.content == {"json": b'{"a":1,"b":2,"c":3}', "data": b"a=1&b=2&c=3"}[name]


@pytest.mark.parametrize("name", ["json", "data"])
def test_a_change_to_a_copy_leaves_the_original_alone(name: str) -> None:
    """Deep inside the body, too: each attempt starts from what the caller gave."""
    given = {"a": ["1"]}
    original = HttpRequest("POST", URL, **{name: given})
    twin = original.copy()
    getattr(twin, name)["a"].append("2")
    twin.headers["X-Own"] = "1"
    assert (given, original.headers) == ({"a": ["1"]}, {})
    assert getattr(original, name) == {"a": ["1"]}
    assert original.content != twin.content


@pytest.mark.parametrize("given", [b"raw", "text", iter([b"piece"])], ids=["bytes", "text", "iterator"])
def test_data_that_is_not_a_form_is_never_copied(given: Any) -> None:
    """A stream could not be."""
    request = HttpRequest("POST", URL, data=given).copy()
    body = request.body
    assert request.data is given
    assert request.body is body


def test_an_untouched_copy_shares_the_encoded_body() -> None:
    """Encoding it again for each attempt would cost time and change nothing."""
    request = HttpRequest("POST", URL, json={"a": 1})
    assert request.copy().body is request.body


@pytest.mark.parametrize(
    ("name", "value", "content"),
    [
        ("json", [1], b"[1]"),
        ("data", {"a": "b"}, b"a=b"),
        ("content", b"raw", b"raw"),
        ("json", None, b""),
    ],
)
def test_a_body_that_is_set_is_encoded_again(name: str, value: Any, content: bytes) -> None:
    """By whichever of the attributes."""
    request = HttpRequest("POST", URL, **({"json": {"old": 1}} if name == "json" else {}))
    setattr(request, name, value)
    assert request.content == content


def test_content_replaces_every_kind_of_body() -> None:
    """A request has one body."""
    request = HttpRequest("POST", URL, json={"a": 1})
    request.content = b"raw"
    assert (request.content, request.json, request.data, request.files) == (b"raw", None, None, None)


def test_body_itself_cannot_be_set_to_content() -> None:
    """The error names the attributes that can."""
    request = HttpRequest("POST", URL)
    with pytest.raises(
        InvalidRequestError, match=r"of type bytes; set request\.content, data, json or files"
    ):
        request.body = b"raw"  # type: ignore[assignment]  # as other clients allow


@each_row(
    ("method", "headers", "idempotent", "is_safe"),
    [
        ("GET", {}, None, True),
        ("PUT", {}, None, True),
        ("DELETE", {}, None, True),
        ("HEAD", {}, None, True),
        ("OPTIONS", {}, None, True),
        ("QUERY", {}, None, True),
        ("TRACE", {}, None, True),
        ("get", {}, None, False),
        ("POST", {}, None, False),
        ("PATCH", {}, None, False),
        ("POST", {"Idempotency-Key": "k"}, None, True),
        ("POST", {"x-idempotency-key": "k"}, None, True),
        ("POST", {"Idempotency-Key": ""}, None, False),
        ("POST", {"Idempotency-Key": " \t"}, None, False),
        ("POST", {"Idempotency-Key": "None"}, None, False),
        ("POST", {"X-Idempotency-Key": "None"}, None, False),
        ("POST", {"Idempotency-Key": "", "X-Idempotency-Key": "k"}, None, True),
        ("POST", {"Idempotency-Key": "none"}, None, True),
        ("POST", {}, True, True),
        ("GET", {}, False, False),
        ("POST", {"Idempotency-Key": "k"}, False, False),
    ],
)
def test_what_may_be_repeated(
    method: str, headers: dict[str, str], idempotent: bool | None, is_safe: bool
) -> None:
    """The caller's word counts first, then the method (RFC 9110, 9.2.2) and a key that is not blank."""
    request = HttpRequest(method, URL, headers=headers, idempotent=idempotent)
    assert request.is_safe_to_repeat is is_safe


def test_a_request_crosses_processes_with_its_bytes() -> None:
    """The arguments that they were encoded from, and a streamed body, stay behind."""
    request = HttpRequest("POST", URL, json={"a": 1}, headers={"X": "1"}, idempotent=True)
    twin = pickle.loads(pickle.dumps(request))
    assert (twin.method, twin.url, twin.headers, twin.idempotent) == ("POST", URL, {"X": "1"}, True)
    assert (twin.content, twin.json) == (b'{"a":1}', None)
    streamed = pickle.loads(pickle.dumps(HttpRequest("PUT", URL, data=iter([b"x"]))))
    assert (streamed.content, streamed.body.may_send) == (None, False)


def written(count: int, total: int | None) -> None:
    """A listener of progress."""


# What a request may be told beside its method, URL, headers and body.
SAID: dict[str, Any] = {
    "idempotent": False,
    "progress": written,
    "decompress": False,
    "follows_redirects": True,
    "pickles_secrets": True,
    "left_origin": True,
    "withheld": ("X-Key",),
    "url_template": "/orders/{id}",
}
UNSAID = {
    **dict.fromkeys(SAID),
    "follows_redirects": False,
    "pickles_secrets": False,
    "left_origin": False,
    "withheld": (),
}


def telling() -> HttpRequest:
    """A request that was told all of it."""
    request = HttpRequest("PUT", URL, headers={"X": "1", "Authorization": "Bearer secret"}, json={"a": 1})
    for name, value in SAID.items():
        setattr(request, name, value)
    return request


def told(request: HttpRequest) -> dict[str, Any]:
    return {name: getattr(request, name) for name in SAID}


def test_a_request_is_told_nothing_at_first() -> None:
    """By the caller or the client."""
    assert told(HttpRequest("GET", URL)) == UNSAID


@pytest.mark.parametrize(
    "how", [HttpRequest.copy, copy.copy, copy.deepcopy], ids=["copy", "copy.copy", "deepcopy"]
)
def test_a_copy_knows_what_the_request_was_told(how: Callable[[HttpRequest], HttpRequest]) -> None:
    """All of it, for the next attempt or hop."""
    request = telling()
    twin = how(request)
    assert told(twin) == SAID
    assert (twin.method, twin.url, twin.headers, twin.json) == ("PUT", URL, request.headers, {"a": 1})
    assert twin.headers is not request.headers


def test_a_pickle_knows_what_the_request_was_told_about_its_content() -> None:
    """Functions and what concerns one call stay behind. Secrets cross only if they are told to."""
    request = telling()
    twin = pickle.loads(pickle.dumps(request))
    kept = ("idempotent", "decompress", "pickles_secrets", "left_origin", "url_template")
    assert told(twin) == {**UNSAID, **{name: SAID[name] for name in kept}}
    assert twin.headers["Authorization"] == "Bearer secret"
    request.pickles_secrets = False
    twin = pickle.loads(pickle.dumps(request))
    assert (twin.headers["Authorization"], twin.headers["X"], twin.pickles_secrets) == ("***", "1", False)


@pytest.mark.parametrize("content", [b"", b"x"])
def test_a_pickled_body_is_sent_again_as_it_was(content: bytes) -> None:
    """An empty one, too."""
    twin = pickle.loads(pickle.dumps(HttpRequest("POST", URL, content=content)))
    assert (twin.content, twin.body.may_send, twin.body.length) == (content, True, len(content))


def test_a_body_that_stayed_behind_is_not_sent_as_an_empty_one() -> None:
    """It would be another request."""
    twin = pickle.loads(pickle.dumps(HttpRequest("POST", URL, data=iter([b"x"]))))
    assert (twin.body.has_started, twin.body.is_replayable) == (True, False)


def test_a_redacted_request_has_no_body_and_no_secrets() -> None:
    """What it was told about its content is of no use without it."""
    twin = telling().redacted()
    kept = ("idempotent", "left_origin", "url_template")
    assert told(twin) == {**UNSAID, **{name: SAID[name] for name in kept}}
    assert (twin.method, twin.url, twin.content) == ("PUT", URL, b"")
    assert (twin.headers["Authorization"], twin.headers["X"]) == ("***", "1")


@each_row(
    ("change", "is_same"),
    [
        (lambda request: None, True),
        (lambda request: request.json, True),
        (lambda request: request.headers.clear(), True),
        (lambda request: request.json.update(b=2), False),
        (lambda request: setattr(request, "json", {"a": 1}), True),
        (lambda request: setattr(request, "json", {"a": 2}), False),
        (lambda request: setattr(request, "json", None), False),
        (lambda request: setattr(request, "data", b"x"), False),
        (lambda request: setattr(request, "files", {"f": b"x"}), False),
        (lambda request: setattr(request, "content", b"x"), False),
    ],
)
def test_a_copy_has_the_same_body_until_it_is_changed(
    change: Callable[[HttpRequest], object], is_same: bool
) -> None:
    """Reading it, or setting an equal one, changes nothing."""
    request = HttpRequest("POST", URL, json={"a": 1})
    twin = request.copy()
    change(twin)
    assert twin.has_body_of(request) is is_same


def test_a_streamed_body_is_the_same_only_as_itself() -> None:
    """Nobody can compare the bytes of two streams."""
    request = HttpRequest("POST", URL, data=iter([b"x"]))
    twin = request.copy()
    assert twin.has_body_of(request)
    twin.data = iter([b"x"])
    assert twin.body.content is None
    assert not twin.has_body_of(request)


def test_a_redacted_copy_has_left_its_origin_as_well() -> None:
    """A client that sends it must not add its credentials."""
    request = HttpRequest("POST", URL)
    request.left_origin = True
    assert request.redacted().left_origin


@pytest.mark.parametrize(
    ("name", "value"), [("json", {"a": [1]}), ("data", {"a": "b"}), ("files", {"f": b"x"})]
)
def test_what_was_given_is_what_is_read(name: str, value: Any) -> None:
    """The same object, of the constructor or set later: only a copy of the request has a copy of it."""
    assert getattr(HttpRequest("POST", URL, **{name: value}), name) is value
    request = HttpRequest("POST", URL)
    setattr(request, name, value)
    assert getattr(request, name) is value


def test_equal_content_is_the_same_body() -> None:
    """Other content is not, and a stream that is set again is not known to be."""
    request = HttpRequest("POST", URL, content=b"x")
    for content, is_same in ((b"x", True), (b"y", False), (b"", False)):
        twin = request.copy()
        twin.content = content
        assert twin.has_body_of(request) is is_same
    stream = iter([b"x"])
    request = HttpRequest("POST", URL, data=stream)
    twin = request.copy()
    twin.data = stream
    assert twin.body.content is None
    assert not twin.has_body_of(request)


def test_progress_is_reported_of_a_body_that_there_is() -> None:
    """A request without one has nothing to report."""
    request = HttpRequest("POST", URL)
    request.progress = lambda *_: None
    assert request.outgoing_body is request.body
    request.content = b"x"
    assert request.outgoing_body is not request.body
