"""A request: its body as it was given, copies that are independent, and what may be repeated."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from http_service_client.errors import InvalidRequestError
from http_service_client.http.messages import HttpRequest

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


@pytest.mark.parametrize(
    ("method", "headers", "idempotent", "is_safe"),
    [
        ("GET", {}, None, True),
        ("PUT", {}, None, True),
        ("DELETE", {}, None, True),
        ("POST", {}, None, False),
        ("PATCH", {}, None, False),
        ("POST", {"Idempotency-Key": "k"}, None, True),
        ("POST", {"x-idempotency-key": "k"}, None, True),
        ("POST", {"Idempotency-Key": ""}, None, False),
        ("POST", {"Idempotency-Key": " \t"}, None, False),
        ("POST", {"Idempotency-Key": "None"}, None, False),
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


def test_a_redacted_copy_has_left_its_origin_as_well() -> None:
    """A client that sends it must not add its credentials."""
    request = HttpRequest("POST", URL)
    request.left_origin = True
    assert request.redacted().left_origin
