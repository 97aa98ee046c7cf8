"""A response: its problem document, its links, its JSON, what its errors quote, and responses made by hand."""

from __future__ import annotations

import json
import pickle
import re
from http import HTTPStatus
from typing import Any

import pytest

from http_service_client import (
    HttpRequest,
    HttpResponse,
    HttpStatusError,
    Problem,
    ResponseValidationError,
    SentState,
)
from http_service_client.testing import ScriptedTransport
from kit.front_ends import FrontEnd
from kit.rows import each_row

URL = "https://api.example.com/orders/7"


def problem_response(status: int = 403, reason: str = "Forbidden", **members: Any) -> HttpResponse:
    return HttpResponse(
        status,
        reason_phrase=reason,
        url=URL,
        headers={"Content-Type": "application/problem+json; charset=utf-8"},
        content=json.dumps(members).encode(),
    )


def message_of(response: HttpResponse) -> str:
    with pytest.raises(HttpStatusError) as caught:
        response.raise_for_status()
    return str(caught.value).removeprefix(f"the request to {URL} answered ")


def test_a_response_of_a_test_may_have_no_url() -> None:
    """A mock of a client returns it, and the error is about the status alone."""
    with pytest.raises(HttpStatusError, match=r"^the request answered 404 Not Found$"):
        HttpResponse(404, reason_phrase="Not Found").raise_for_status()


def test_a_problem_reaches_the_caller(front_end: FrontEnd) -> None:
    """On the response and on the error, from sync and async calls; the error can be pickled."""
    scripted = problem_response(title="Out of credit", detail="The balance is 30.", balance=30)
    client = front_end.client(transport=ScriptedTransport([scripted]))
    response = front_end.request(client, "POST", URL)
    expected = Problem(title="Out of credit", detail="The balance is 30.", extensions={"balance": 30})
    assert response.problem == expected
    with pytest.raises(HttpStatusError) as caught:
        response.raise_for_status()
    assert str(caught.value) == (f"POST {URL} answered 403 Forbidden: Out of credit: The balance is 30.")
    assert pickle.loads(pickle.dumps(caught.value)).problem == expected


@each_row(
    ("members", "message"),
    [
        ({}, "403 Forbidden"),
        ({"title": "Forbidden"}, "403 Forbidden"),
        ({"title": "Forbidden", "detail": "not yours"}, "403 Forbidden: not yours"),
        ({"title": "Not yours"}, "403 Forbidden: Not yours"),
        ({"title": "", "detail": "\n"}, "403 Forbidden"),
        ({"detail": "a\r\nINFO all is well\x1b[2J"}, "403 Forbidden: a INFO all is well [2J"),
        ({"title": 5, "detail": ["no"]}, "403 Forbidden"),
    ],
)
def test_an_error_quotes_the_problem_in_one_line(members: dict[str, Any], message: str) -> None:
    """It repeats nothing of the status and cannot forge a line of a log."""
    assert message_of(problem_response(**members)) == message


def test_a_long_problem_is_cut_in_the_message_only() -> None:
    """`problem` has all of it."""
    response = problem_response(detail="word " * 1000)
    assert len(message_of(response)) < 400
    assert message_of(response).endswith("word ...")
    assert response.problem is not None
    assert len(response.problem.detail or "") == 5000


def test_a_problem_document_of_more_than_a_mebibyte_is_not_parsed() -> None:
    """An error would parse it unasked, and hold the event loop for as long as the server likes."""
    response = problem_response(detail="a" * 1024 * 1024)
    assert response.problem is None
    assert message_of(response) == "403 Forbidden"


EVIL = "OK\x1b]0;owned\x07\x1b[2K\x9b31m\u2028 0.001 s  done: 200\u202e"


def test_a_reason_phrase_is_printable_wherever_it_is_shown(front_end: FrontEnd) -> None:
    """It cannot move the cursor, forge a line of the story, or reverse the text after it."""
    client = front_end.client(transport=ScriptedTransport([HttpResponse(404, reason_phrase=EVIL)]))
    response = front_end.request(client, "GET", URL)
    with pytest.raises(HttpStatusError) as caught:
        response.raise_for_status()
    texts = [response.reason_phrase, str(caught.value), caught.value.explain(), response.explain()]
    assert all(line.isprintable() for text in texts for line in text.split("\n"))
    assert response.reason_phrase == "OK ]0;owned [2K 31m 0.001 s done: 200"
    assert len(HttpResponse(200, reason_phrase="long " * 1000).reason_phrase) <= 200


@pytest.mark.parametrize("content_type", [None, "application/json", "text/html"])
def test_other_responses_have_no_problem(content_type: str | None) -> None:
    """JSON of another kind may have a "title" that means something else."""
    headers = {} if content_type is None else {"Content-Type": content_type}
    response = HttpResponse(404, url=URL, headers=headers, content=b'{"title": "x"}')
    assert response.problem is None
    assert message_of(response) == "404"


def test_a_content_type_that_is_sent_twice_keeps_its_meaning() -> None:
    """An application sets it, and a proxy once more."""
    twice = HttpResponse(
        200, headers=[("Content-Type", "text/plain; charset=gbk")] * 2, content="你好".encode("gbk")
    )
    assert twice.text == "你好"
    problem = HttpResponse(
        400, headers=[("Content-Type", "application/problem+json")] * 2, content=b'{"title": "No"}'
    )
    assert problem.problem is not None
    assert problem.problem.title == "No"


@each_row(
    ("status", "content_type", "words"),
    [
        (200, "text/html; charset=utf-8", "(200, text/html) is not JSON: Expecting value: line 1 column 1 (char 0)"),
        (502, "text/html", "(502, text/html) is not JSON: Expecting value: line 1 column 1 (char 0); raise_for_status() raises"),
        (200, "application/problem+json", "(200) is not JSON: "),
        (200, "application/json", "(200) is not JSON: "),
        (200, None, "(200) is not JSON: "),
        (200, "a\x1b[2J\u202e/" + "x" * 500, "(200, a [2j ...) is not JSON: "),
    ],
)  # fmt: skip
def test_the_error_of_what_is_not_json_has_the_media_type(
    status: int, content_type: str | None, words: str
) -> None:
    """The page of a gateway, mostly. A server chose the type, so it is one short line."""
    headers = {} if content_type is None else {"Content-Type": content_type}
    with pytest.raises(ResponseValidationError, match=re.escape(f"the response of {URL} {words}")) as caught:
        HttpResponse(status, url=URL, headers=headers, content="<html>").json()
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400


@each_row("strict", [False, True])
@each_row("charset", ["ISO-8859-1", '"windows-1252"', "shift_jis"])
def test_json_may_be_in_the_charset_that_is_named(charset: str, strict: bool) -> None:
    """Older services send such JSON. UTF-8 comes first, as the standard has it, and what is named wrongly is an error."""
    text = "テ" if charset == "shift_jis" else "é"
    content = json.dumps({"name": text}, ensure_ascii=False)
    headers = {"Content-Type": f"application/json; charset={charset}"}
    named = HttpResponse(200, headers=headers, content=content.encode(charset.strip('"')))
    assert named.json(strict=strict) == {"name": text}
    assert HttpResponse(200, headers=headers, content=content.encode()).json(strict=strict) == {"name": text}
    for wrong in (
        "application/json",
        "application/json; charset=utf-8",
        "application/json; charset=unheard-of",
    ):
        with pytest.raises(ResponseValidationError, match="not JSON: 'utf-8' codec can't decode byte"):
            HttpResponse(200, headers={"Content-Type": wrong}, content=named.content).json(strict=strict)


@pytest.mark.parametrize("content", ["NaN", "Infinity", '{"a": [-Infinity]}'])
def test_json_can_be_read_strictly(content: str) -> None:
    """Python accepts three numbers that are not JSON; `strict` does not."""
    response = HttpResponse(200, content=content)
    response.json()
    with pytest.raises(ResponseValidationError, match=r"is not JSON: (NaN|-?Infinity) is not a JSON number"):
        response.json(strict=True)
    assert HttpResponse(200, content='{"NaN": 1.5}').json(strict=True) == {"NaN": 1.5}


def test_links_are_absolute(front_end: FrontEnd) -> None:
    """A relative target is resolved against the URL of the response, after redirects."""
    moved = HttpResponse(301, headers={"Location": "/v2/orders"})
    page = HttpResponse(200, headers=[("Link", '<?page=2>; rel="next"'), ("Link", "</v2>; rel=up")])
    client = front_end.client(transport=ScriptedTransport({"/v1/orders": [moved], "/v2/orders": [page]}))
    links = front_end.request(client, "GET", "https://api.example.com/v1/orders").links
    assert links["next"]["url"] == "https://api.example.com/v2/orders?page=2"
    assert links["up"]["url"] == "https://api.example.com/v2"


# Made by hand.


def test_a_response_made_by_hand_takes_text_and_json() -> None:
    """Content-Type is set for JSON unless it is given."""
    assert HttpResponse(200, content="é").content == "é".encode()
    assert HttpResponse(HTTPStatus.OK, content=bytearray(b"x")).text == "x"
    made = HttpResponse(200, json={"é": [None]})
    assert made.json() == {"é": [None]}
    assert made.headers["Content-Type"] == "application/json"
    assert HttpResponse(200, json=None).content == b"null"
    own = HttpResponse(409, json={"title": "Sold out"}, headers={"content-type": "application/problem+json"})
    assert own.headers.get_all("Content-Type") == ["application/problem+json"]
    assert own.problem == Problem(title="Sold out")
    assert pickle.loads(pickle.dumps(made)).json() == made.json()


@each_row(
    ("arguments", "message"),
    [
        ({"status_code": "200"}, "status_code must be an int such as 200, not '200'"),
        ({"status_code": True}, "status_code must be an int such as 200, not True"),
        (
            {"status_code": 200, "content": {"a": 1}},
            "content must be bytes or text, not dict; pass data as json=",
        ),
        ({"status_code": 200, "content": None}, "content must be bytes or text, not NoneType"),
        (
            {"status_code": 200, "reason_phrase": None},
            "reason_phrase must be text such as 'OK', not None; leave it out for none",
        ),
        ({"status_code": 200, "content": b"x", "json": 1}, "pass content or json, not both"),
    ],
)
def test_an_invalid_response_is_refused_when_it_is_made(arguments: dict[str, Any], message: str) -> None:
    """And not where it is read, far from the test that made it."""
    with pytest.raises(TypeError) as raised:
        HttpResponse(**arguments)
    assert message in str(raised.value)


@each_row(
    ("name", "remedy"),
    [
        *((name, "is_success") for name in ("ok", "is_error")),
        ("status", "status_code"),
        ("reason", "reason_phrase"),
        *((name, "text, or content.decode(...)") for name in ("encoding", "charset")),
        *((name, "content, which is here") for name in ("read", "aread")),
        *(
            (name, "client.stream(...) to take the body in pieces")
            for name in [
                "raw",
                "iter_content",
                "iter_bytes",
                "iter_text",
                "iter_lines",
                "aiter_bytes",
                "aiter_lines",
                "iter_json",
                "iter_events",
            ]
        ),
        ("as_file", "io.BytesIO(content)"),
    ],
)
def test_a_name_from_another_client_is_answered_with_ours(name: str, remedy: str) -> None:
    """It is an AttributeError, so `hasattr` is false."""
    response = HttpResponse(200)
    with pytest.raises(AttributeError) as raised:
        getattr(response, name)
    assert str(raised.value) == f"'HttpResponse' object has no attribute {name!r}; use {remedy}"
    assert not hasattr(response, "nothing_like_it")
    assert name not in dir(HttpResponse)  # or a `Mock(spec=HttpResponse)` would have it


@each_row(
    "content",
    [
        b'{"a": 1}', b' "x"', b"12", b"NaN", '"ü"'.encode(), b'"\xed\xa0\x80"', "\ufeff{}".encode(),
        '{"a": "ü"}'.encode("utf-16"), '{"a": 1}'.encode("utf-16-le"), '{"a": 1}'.encode("utf-32-be"),
        b"", b"nul", b"1\0", b'["\xff"]', b"{", "\ufeff".encode() * 2,
    ],
)  # fmt: skip
def test_json_is_decoded_as_by_the_standard_library(content: bytes) -> None:
    """In each Unicode encoding, with and without a byte order mark; the same content is refused."""
    response = HttpResponse(200, content=content)
    try:
        expected = repr(json.loads(content))
    except ValueError:
        with pytest.raises(ResponseValidationError):
            response.json()
    else:
        assert repr(response.json()) == expected


@each_row(
    ("status", "is_success"),
    [(199, False), (200, True), (299, True), (300, False), (404, False), (503, False)],
)
def test_a_success_has_a_status_from_200_to_299(status: int, is_success: bool) -> None:
    """All others are none, redirects that were not followed among them."""
    assert HttpResponse(status).is_success is is_success


@each_row(
    ("status", "headers", "state"),
    [
        *((status, {}, SentState.REFUSED) for status in (425, 429)),
        *(
            (status, {}, SentState.ANSWERED)
            for status in (200, 304, 408, 424, 426, 428, 430, 500, 502, 503, 504)
        ),
        (503, {"Retry-After": "0"}, SentState.REFUSED),
        (502, {"Retry-After": "1"}, SentState.ANSWERED),
        (504, {"Retry-After": "1"}, SentState.ANSWERED),
    ],
)
def test_what_a_status_says_about_the_request(status: int, headers: dict[str, str], state: SentState) -> None:
    """Whether the server may have processed it."""
    assert HttpResponse(status, headers=headers).sent_state is state


@each_row("status", [100, 200, 304, 399, 400, 499, 500, 599])
def test_an_error_begins_at_400(status: int) -> None:
    """Any other response is returned."""
    response = HttpResponse(status)
    if status < 400:
        assert response.raise_for_status() is response
    else:
        with pytest.raises(HttpStatusError) as raised:
            response.raise_for_status()
        assert (raised.value.status_code, raised.value.response) == (status, response)


@pytest.mark.parametrize(("length", "kept"), [(199, 199), (200, 200), (201, 200)])
def test_a_reason_phrase_is_cut_only_if_it_is_too_long(length: int, kept: int) -> None:
    """At 200 characters."""
    phrase = HttpResponse(200, reason_phrase="x" * length).reason_phrase
    assert (len(phrase), phrase == "x" * length) == (kept, kept == length)


@pytest.mark.parametrize("body", ["none is left", "Sold Out now", "409", " none \n is\tleft "])
def test_a_body_that_says_more_than_the_status_is_quoted(body: str) -> None:
    """As one line, and nothing after it."""
    response = HttpResponse(
        409, reason_phrase="Sold Out", content=body, headers={"Content-Type": "text/plain"}, url=URL
    )
    assert message_of(response) == f"409 Sold Out: {' '.join(body.split())}"


@pytest.mark.parametrize("body", ["Sold Out", "409 Sold Out", "", "  "])
def test_a_body_that_repeats_the_status_is_not_quoted(body: str) -> None:
    """The message has it already."""
    response = HttpResponse(
        409, reason_phrase="Sold Out", content=body, headers={"Content-Type": "text/plain"}, url=URL
    )
    assert message_of(response) == "409 Sold Out"


@pytest.mark.parametrize(("size", "is_whole"), [(200, True), (201, False)])
def test_a_long_body_is_cut_in_the_message(size: int, is_whole: bool) -> None:
    """At 200 characters."""
    headers = {"Content-Type": "text/plain"}
    message = message_of(HttpResponse(409, content="ab " * 66 + "x" * (size - 198), headers=headers, url=URL))
    assert len(message) <= len("409: ") + 200
    assert message.endswith("...") is not is_whole


def test_an_unknown_attribute_is_named() -> None:
    """As by Python; names of Python's own protocols need no sentence, since they are looked for often."""
    with pytest.raises(AttributeError) as caught:
        _ = HttpResponse(200).nothing  # type: ignore[attr-defined]
    assert str(caught.value) == "'HttpResponse' object has no attribute 'nothing'"
    with pytest.raises(AttributeError) as caught:
        _ = HttpResponse(200).__await__  # type: ignore[attr-defined]
    assert str(caught.value) == "__await__"


@pytest.mark.parametrize("status", [200, 399, 400, 500])
def test_the_error_of_what_is_not_json_in_full(status: int) -> None:
    """Of an error's status it says what would have told of it."""
    remedy = "; raise_for_status() raises what this status means" if status >= 400 else ""
    with pytest.raises(ResponseValidationError) as caught:
        HttpResponse(status, url="https://h/").json()
    assert (
        str(caught.value) == f"the response of https://h/ ({status}) is not JSON: the body is empty{remedy}"
    )


def test_json_of_brackets_alone_is_an_error_of_the_response() -> None:
    """A server cannot raise a RecursionError."""
    with pytest.raises(ResponseValidationError, match="is not JSON"):
        HttpResponse(200, content="[" * 200_000).json()


def test_a_response_made_by_hand_has_had_one_attempt_and_no_story() -> None:
    """As that of a call that went well at once."""
    response = HttpResponse(200)
    assert (response.attempts, response.timeline, response.links) == (1, None, {})
    assert (response.is_fallback, response.from_cache) == (False, False)
    assert response.explain() == repr(response)


def test_a_body_of_another_type_is_not_quoted() -> None:
    """Bytes of an image may look like text."""
    image = HttpResponse(500, content="closed", headers={"Content-Type": "image/png"})
    with pytest.raises(HttpStatusError) as caught:
        image.raise_for_status()
    assert str(caught.value) == "the request answered 500"


def test_headers_can_be_read_though_an_interceptor_assigned_a_mapping() -> None:
    """To the request that the response answers."""
    request = HttpRequest("GET", "https://h/")
    request.headers = {"A": "b"}  # type: ignore[assignment]  # that is the point
    assert HttpResponse(200, headers={"X-Own": "1"}, request=request).headers["X-Own"] == "1"
