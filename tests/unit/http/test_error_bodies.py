"""What the body of an error says: the shapes that APIs use, and bodies that say nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest

from http_service_client import HttpRequest, HttpResponse, HttpStatusError
from http_service_client.http.error_bodies import quote_error
from http_service_client.testing import ScriptedTransport
from kit.front_ends import FrontEnd
from kit.rows import each_row

URL = "https://api.example.com/v1/chat"
JSON = "application/json; charset=utf-8"

SHAPES: dict[str, tuple[Any, str]] = {
    "OpenAI": (
        {
            "error": {
                "message": "No such model",
                "type": "invalid_request_error",
                "param": None,
                "code": "not_found",
            }
        },
        "not_found: No such model",
    ),
    "Anthropic": (
        {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}},
        "overloaded_error: Overloaded",
    ),
    "JSON:API": (
        {"errors": [{"title": "Invalid", "detail": "Too few", "code": "17"}, {}]},
        "17: Too few (and 1 more)",
    ),
    "GitHub": (
        {"message": "Validation Failed", "errors": [{"field": "name", "message": "name is missing"}]},
        "Validation Failed: name is missing",
    ),
    "OAuth 2.0": (
        {"error": "invalid_grant", "error_description": "Token expired"},
        "invalid_grant: Token expired",
    ),
    "Google": (
        {
            "error": {
                "code": 403,
                "message": "Denied",
                "status": "PERMISSION_DENIED",
                "details": [{"@type": "x"}],
            }
        },
        "PERMISSION_DENIED: Denied",
    ),
    "AWS": ({"__type": "ValidationException", "message": "bad key"}, "ValidationException: bad key"),
    "FastAPI": (
        {"detail": [{"loc": ["body", "items", 0], "msg": "Field required"}]},
        "body.items.0: Field required",
    ),
    "Django": ({"detail": "Not found."}, "Not found."),
    "Apigee": (
        {"fault": {"faultstring": "Invalid ApiKey", "detail": {"errorcode": "oauth.v2.Invalid"}}},
        "Invalid ApiKey",
    ),
    ".NET": ({"Message": "An error has occurred."}, "An error has occurred."),
    "JSend": ({"status": "error", "message": "no stock"}, "no stock"),
    "a bare error": ({"error": "no such user"}, "no such user"),
    "a bare text": ("no such user", "no such user"),
    "a list that holds more than errors": ([None, 17, {"message": "bad"}], "bad (and 2 more)"),
}


@each_row("shape", SHAPES)
def test_the_words_of_an_api_are_found(shape: str) -> None:
    """By the names that APIs use for a message and a code."""
    body, words = SHAPES[shape]
    assert quote_error(JSON, json.dumps(body).encode()) == words
    assert quote_error("application/vnd.example+json", json.dumps(body).encode("utf-16")) == words


MESSAGES = [
    "message",
    "detail",
    "error_description",
    "errorMessage",
    "msg",
    "description",
    "faultstring",
    "reason",
]


@each_row("name", MESSAGES)
def test_the_names_of_a_message(name: str) -> None:
    """One that comes earlier in this list is the message where there are several."""
    later = dict.fromkeys(MESSAGES[MESSAGES.index(name) + 1 :], "other words")
    assert quote_error(JSON, json.dumps({**later, name: "words"}).encode()) == "words"


@pytest.mark.parametrize("name", ["code", "error-code", "error", "status", "type"])
def test_the_names_of_a_code(name: str) -> None:
    """It stands before the message, unless it says only that there is an error."""
    for code, words in (
        ("E17", "E17: words"),
        ("Error", "words"),
        ("fail", "words"),
        ("failure", "words"),
        ("failed", "words"),
    ):
        assert quote_error(JSON, json.dumps({name: code, "message": "words"}).encode()) == words


@each_row(
    "name",
    [
        "error",
        "errors",
        "fault",
        "faults",
        "detail",
        "details",
        "message",
        "messages",
        "exception",
        "response",
    ],
)
def test_the_names_of_what_holds_the_message(name: str) -> None:
    """An object or a list of them."""
    for inner in ({"msg": "words"}, [{"msg": "words"}]):
        assert quote_error(JSON, json.dumps({name: inner}).encode()) == "words"


def test_a_list_as_plain_text_is_json() -> None:
    """As an object is."""
    assert quote_error("text/plain", b'["words", "more"]') == "words (and 1 more)"


FAULT_1_1 = b"""<?xml version="1.0"?><s:Envelope><s:Body><s:Fault><faultcode>s:Client</faultcode>
<faultstring xml:lang="en">Bad &amp; late</faultstring><detail>stack</detail></s:Fault></s:Body></s:Envelope>"""
FAULT_1_2 = b"""<e:Fault><e:Code><e:Value>e:Sender</e:Value></e:Code><e:Reason>
<e:Text xml:lang="en">Bad & late</e:Text></e:Reason></e:Fault>"""
S3 = b"""<?xml version="1.0"?>\n<Error><Code>NoSuchKey</Code><Message><![CDATA[No <such> key]]></Message></Error>"""


@each_row(
    ("content_type", "content", "words"),
    [
        ("text/xml", FAULT_1_1, "Bad & late"),
        ("application/soap+xml", FAULT_1_2, "Bad & late"),
        ("application/xml", S3.replace(b"<such> ", b""), "NoSuchKey: No key"),
        (
            "text/html",
            b"<!DOCTYPE html><html><head><title> Bad\ngateway </title><p>message</p>",
            "Bad\ngateway",
        ),
        (
            "application/xml",
            b"<Error><Code>E17</Code><Message>E17: no stock</Message></Error>",
            "E17: no stock",
        ),
        (None, b"<html><title>Down</title><message>x</message></html>", "Down"),
        ("text/html", b"<title>Down</title><message>x</message>", "Down"),
        ("text/html", b"<html><title>Down</title><code>x = 1</code></html>", "Down"),
        ("text/plain; charset=latin-1", b"caf\xe9 closed", "café closed"),
        (None, b"upstream error", "upstream error"),
        ("text/plain", b' {"message": "as text"}', "as text"),
        ("text/plain", b"\xef\xbb\xbfwith a mark", "with a mark"),
        ("text/plain", "cut é".encode() + "é".encode() * 9000, "cut " + "é" * 1996),
    ],
)
def test_faults_pages_and_plain_text_are_quoted(content_type: str | None, content: bytes, words: str) -> None:
    """Without a parser of XML; entities and CDATA are read."""
    assert quote_error(content_type, content) == words


@each_row(
    ("content_type", "content"),
    [
        (JSON, b""),
        (JSON, b"{"),
        (JSON, b"[" * 50_000),
        (JSON, b"[[[[[[[[\"deep\"]]]]]]]]"),
        (JSON, b'{"input": "what the caller sent", "status": 422, "ok": false, "error": null}'),
        (JSON, b'{"message": "%s"}' % (b"x" * 70_000)),
        ("text/plain", b"\x1f\x8b\x08compressed"),
        ("text/plain", b"with\0zeros"),
        ("text/html", b"no markup"),
        ("text/xml", b"<order><id>1</id></order>"),
        ("text/xml", b"<error><code>E17</code></error>"),
        (JSON, b"[{}, {}, 17]"),
        ("text/xml", b" " * 9000 + b"<faultstring>too far</faultstring>"),
        ("image/png", b"text"),
        ("application/octet-stream", b'{"message": "not JSON"}'),
    ],
)  # fmt: skip
def test_nothing_else_is_quoted(content_type: str, content: bytes) -> None:
    """Neither data without a message, nor what is no text, nor more than a few KiB."""
    assert quote_error(content_type, content) == ""


@each_row("charset", ["base64", "bz2", "hex", "quopri", "rot13", "uu", "zlib"])
def test_a_codec_that_is_no_charset_is_not_used(charset: str) -> None:
    """Python has codecs that inflate, or give bytes: none of them may break or fill the error."""
    response = HttpResponse(502, content="closed", headers={"Content-Type": f"text/plain; charset={charset}"})
    with pytest.raises(HttpStatusError, match=r"closed$"):
        response.raise_for_status()


def error_of(front_end: FrontEnd, response: HttpResponse, **options: Any) -> HttpStatusError:
    client = front_end.client(transport=ScriptedTransport(response), enable_retry_policy=False)
    with pytest.raises(HttpStatusError) as caught:
        front_end.request(client, "POST", URL, **options).raise_for_status()
    return caught.value


def test_an_error_quotes_the_body(front_end: FrontEnd) -> None:
    """After the status; it has no problem document all the same."""
    error = error_of(front_end, HttpResponse(404, json={"error": {"message": "No such model"}}))
    assert str(error) == f"POST {URL} answered 404 Not Found: No such model"
    assert error.problem is None


def test_a_stream_quotes_what_was_read(front_end: FrontEnd) -> None:
    """The body of an error is read whole, and never a body that is still to come."""
    client = front_end.client(transport=ScriptedTransport(HttpResponse(400, json={"detail": "bad"})))
    with (
        front_end.stream(client, "GET", URL) as response,
        pytest.raises(HttpStatusError, match=r"Request: bad$"),
    ):
        response.raise_for_status()


@each_row("words", ["Not Found", "404 Not Found", " \x1b\n "])
def test_what_the_status_says_already_is_not_repeated(front_end: FrontEnd, words: str) -> None:
    """Nor is a body quoted that has nothing to print."""
    error = error_of(front_end, HttpResponse(404, content=words, headers={"Content-Type": "text/plain"}))
    assert str(error) == f"POST {URL} answered 404 Not Found"


def test_a_quotation_is_one_short_printable_line(front_end: FrontEnd) -> None:
    """It cannot forge a line of a log, or steer a terminal."""
    words = "a\r\nINFO all is well\x1b[2J \u202e " + "word " * 1000
    error = error_of(front_end, HttpResponse(500, json={"message": words}))
    quoted = str(error).partition("Error: ")[2]
    assert quoted.startswith("a INFO all is well [2J word")
    assert len(quoted) <= 200
    assert quoted.isprintable()


@each_row(
    ("options", "echo"),
    [
        ({"auth": "correct-horse"}, "correct-horse"),
        ({"auth": ("ann", "battery")}, "battery"),
        ({"headers": {"X-Api-Key": "staple"}}, "staple"),
        ({"cookies": {"sid": "abcdef"}}, "abcdef"),
        ({"params": {"api_key": "q-1"}}, "q-1"),
        ({"json": {"user": {"password": "hunter"}}}, "hunter"),
        ({"json": [{"pin": 4711}]}, "4711"),
        ({"data": {"client_secret": "s p"}}, "s p"),
    ],
)
def test_a_secret_of_the_request_is_not_repeated(front_end: FrontEnd, options: Any, echo: str) -> None:
    """Wherever it was sent; a server that quotes it would put it into our logs."""
    error = error_of(front_end, HttpResponse(401, json={"message": f"wrong ({echo}) value"}), **options)
    assert str(error).endswith("401 Unauthorized: wrong (***) value")


def test_a_request_that_an_interceptor_changed_is_read_all_the_same() -> None:
    """An error about the error would hide it."""
    request = HttpRequest("POST", URL, json={"password": "hunter"})
    request.headers = {"Authorization": "Bearer staple"}  # type: ignore[assignment]  # that is the point
    response = HttpResponse(400, json={"detail": "staple, hunter"}, url=URL, request=request)
    with pytest.raises(HttpStatusError, match=r"400: \*\*\*, \*\*\*$"):
        response.raise_for_status()


@pytest.mark.parametrize(("depth", "words"), [(6, "deep"), (7, "")])
def test_a_message_is_looked_for_six_levels_deep(depth: int, words: str) -> None:
    """Further down nobody hides one, and a body may be made of brackets alone."""
    objects: Any = {"message": "deep"}
    lists: Any = {"message": "deep"}
    for _ in range(depth - 1):
        objects, lists = {"error": objects}, [lists]
    assert quote_error(JSON, json.dumps(objects).encode()) == words
    assert quote_error(JSON, json.dumps(lists).encode()) == words


@pytest.mark.parametrize(("position", "words"), [(10, "late (and 9 more)"), (11, "")])
def test_the_first_ten_of_a_list_are_read(position: int, words: str) -> None:
    """A list may have a million items; one of these has a message, or none is looked for."""
    body = [*[{}] * (position - 1), {"message": "late"}]
    assert quote_error(JSON, json.dumps(body).encode()) == words


@pytest.mark.parametrize(("size", "words"), [(65_536, "big"), (65_537, "")])
def test_a_json_of_64_kib_is_read(size: int, words: str) -> None:
    """A larger one would have to be read whole for a line in a log."""
    assert quote_error(JSON, b'{"message": "big"}'.ljust(size)) == words


@pytest.mark.parametrize(("blanks", "is_json"), [(63, True), (64, False)])
def test_plain_text_is_json_if_its_first_64_bytes_begin_one(blanks: int, is_json: bool) -> None:
    """What comes later is taken for text, as it is."""
    content = b" " * blanks + b'{"message": "words"}'
    assert quote_error("text/plain", content) == ("words" if is_json else content.decode())


@pytest.mark.parametrize(("position", "words"), [(995, "Down"), (996, "x")])
def test_markup_is_a_page_if_its_first_1000_characters_say_so(position: int, words: str) -> None:
    """A page has its message in its title; further on, the element is part of a message of its own."""
    content = b"<!-- ".ljust(position, b"-") + b"<html><title>Down</title><message>x</message>"
    assert quote_error("text/plain", content) == words


@pytest.mark.parametrize(("size", "is_read"), [(8192, True), (8193, False)])
def test_the_beginning_of_a_page_is_looked_at(size: int, is_read: bool) -> None:
    """8 KiB of it: a server can send any number of bytes."""
    page = f"<html>{'<!-- -->' * 2000}"[: size - len("<title>Down")] + "<title>Down"
    assert len(page) == size
    assert quote_error("text/html", page.encode()) == ("Down" if is_read else "Dow")


@pytest.mark.parametrize(
    ("markup", "quotation"),
    [
        ("<Error><Code>NoSuchKey</Code><Message>No key</Message></Error>", "NoSuchKey: No key"),
        ("<e><errorCode>17</errorCode><errorMessage>Too few</errorMessage></e>", "17: Too few"),
        ("<e><code>17</code><description>Too few</description></e>", "17: Too few"),
        ("<e><code>17</code><detail>Too few</detail></e>", "17: Too few"),
    ],
)
def test_the_elements_of_an_error_in_xml(markup: str, quotation: str) -> None:
    """Of S3, of Java services, and of others."""
    assert quote_error("application/xml", markup.encode()) == quotation
