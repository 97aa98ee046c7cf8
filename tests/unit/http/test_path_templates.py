"""Placeholders in the path of a URL: a value stays within its segment, and what cannot be protected is refused."""

from __future__ import annotations

import datetime
import decimal
import enum
import uuid
from typing import Any
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from http_service_client import InvalidRequestError, RawUrl
from http_service_client.http.path_templates import fill_path, is_of_template
from http_service_client.http.urls import normalise_url
from kit.rows import each_row

BASE = "https://api.test/v1"


class Part(enum.Enum):
    LINES = "lines"
    NONE = None


@each_row(
    ("url", "values", "filled", "template"),
    [
        ("/orders/{id}", {"id": 7}, "/orders/7", "/orders/{id}"),
        ("orders/{id}", {"id": "7"}, "orders/7", "/orders/{id}"),
        ("/orders", {}, "/orders", "/orders"),
        ("", {}, "", "/"),
        ("/a/{x}-{y}.json?q={x}#{y}", {"x": 1, "y": 2}, "/a/1-2.json?q={x}#{y}", "/a/{x}-{y}.json"),
        ("/{a}/{a}", {"a": "b"}, "/b/b", "/{a}/{a}"),
        ("/{pet.id}/{pet-name}", {"pet.id": 1, "pet-name": "é"}, "/1/%C3%A9", "/{pet.id}/{pet-name}"),
        ("https://api.test/v2/{id}?a=b", {"id": "x"}, "https://api.test/v2/x?a=b", "/v2/{id}"),
        ("https://api.test?a=b", {}, "https://api.test?a=b", "/"),
        ("http+unix://%2Frun%2Fapp.sock/{id}", {"id": "/"}, "http+unix://%2Frun%2Fapp.sock/%2F", "/{id}"),
        ("/größe 100%/{id}", {"id": "7"}, "/gr%C3%B6%C3%9Fe%20100%25/7", "/gr%C3%B6%C3%9Fe%20100%25/{id}"),
        ("/users/{id}:block", {"id": "a:b"}, "/users/a%3Ab:block", "/users/{id}:block"),
    ],
)
def test_a_url_and_its_template(url: str, values: Any, filled: str, template: str) -> None:
    """The template is the path alone, in normal form; the query and the base URL are no part of it."""
    assert fill_path(url, values) == (filled, template)


@each_row(
    ("value", "sent"),
    [
        ("a/b", "a%2Fb"),
        ("../../admin", "..%2F..%2Fadmin"),
        ("%2e%2e", "%252e%252e"),
        ("a\\b", "a%5Cb"),
        ("a?b#c", "a%3Fb%23c"),
        ("a;v=1,2", "a%3Bv%3D1%2C2"),
        ("a+b c", "a%2Bb%20c"),
        ("x\r\nHost: evil", "x%0D%0AHost%3A%20evil"),
        ("\x00", "%00"),
        ("{b}", "%7Bb%7D"),
        ("...", "..."),
        ("ü€", "%C3%BC%E2%82%AC"),
        (b"\xff/", "%FF%2F"),
        (True, "true"),
        (1.5, "1.5"),
        (decimal.Decimal("2.50"), "2.50"),
        (datetime.date(2024, 5, 1), "2024-05-01"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (Part.LINES, "lines"),
    ],
)
def test_a_value_is_one_part_of_one_segment(value: Any, sent: str) -> None:
    """Everything but the unreserved characters is escaped, "/" and "%" too."""
    assert fill_path("/orders/{id}/lines", {"id": value})[0] == f"/orders/{sent}/lines"


@each_row(
    ("url", "values", "message"),
    [
        ("/o/{id}", {}, "path_params does not fit the URL '/o/{id}': 'id' has no value"),
        ("/o/{id}", {"ID": 1}, "'id' has no value, 'ID' is not in its path"),
        ("/o/7", {"id": 7}, "'id' is not in its path; write the name in braces, and no f-string"),
        ("/o?id={id}", {"id": 7}, "'id' is not in its path; values of the query go into params"),
        ("https://{tenant}.test/", {"tenant": "a"}, "a value must not choose the host"),
        ("{scheme}://api.test/", {"scheme": "https"}, "has a placeholder in its scheme"),
        ("/o/{id}", {"id": ""}, "path_params['id'] is empty"),
        ("/o/{id}", {"id": b""}, "path_params['id'] is empty"),
        ("/o/{id}", {"id": None}, "path_params['id'] is None"),
        ("/o/{id}", {"id": Part.NONE}, "path_params['id'] is None"),
        ("/o/{id}", {"id": "."}, "path_params would make '.' a segment"),
        ("/o/{id}", {"id": ".."}, "path_params would make '..' a segment"),
        ("/o/.{id}", {"id": "."}, "path_params would make '..' a segment"),
        ("/o/%2e{id}", {"id": "."}, "path_params would make '%2e.' a segment"),
        ("/o/{a}{b}", {"a": ".", "b": "."}, "path_params would make '..' a segment"),
        ("/o/{id};v=1", {"id": ".."}, "path_params would make '..;v=1' a segment"),
        ("/o/.{id};", {"id": "."}, "path_params would make '..;' a segment"),
        ("/o/{id}/../x", {"id": 1}, "has the segment '..' in its path"),
        ("/o/{id}/%2E", {"id": 1}, "has the segment '%2E' in its path"),
        ("/o/%{id}", {"id": "2F"}, "has a '%' right before a placeholder"),
        ("/o/{a}%{b}", {"a": "1", "b": "2F"}, "has a '%' right before a placeholder"),
        ("/o/id}", {"id": 1}, "has a single brace in its path"),
        ("/o/{id}a}", {"id": 1}, "has a single brace in its path"),
        ("/o?id={id}", {"id": 7, "x": 1}, "values of the query go into params"),
        ("https://{tenant}.test/", {"tenant": "a", "x": 1}, "a value must not choose the host"),
        ("/o/%2{id}", {"id": "F"}, "has a '%' right before a placeholder"),
        ("/o/{+id}", {"id": 1}, "has {+id} in its path, which is no placeholder"),
        ("/o/{}", {"": 1}, "has {} in its path, which is no placeholder"),
        ("/o/{id", {"id": 1}, "has a single brace in its path"),
        ("/o/{{id}}", {"id": 1}, "has a single brace in its path"),
        ("/o/{a/b}", {"a/b": 1}, "has a single brace in its path"),
        ("/o/{id}", {"id": ["a"]}, "path_params['id'] must be text, bytes, a number, bool, date, UUID or Enum, not list"),
        ("/o/{id}", {"id": float("nan")}, "path_params['id'] is nan, which is not a number to send"),
        ("/o/{id}", {"id": "\ud800"}, "path_params['id'] holds a lone surrogate"),
        ("/o/{id}", [("id", 1)], "path_params must be a mapping of names to values, not list"),
        (b"/o/{id}", {"id": 1}, "the URL must be text, not bytes"),
        ("/o/{id}?token=s3cret", {}, "'/o/{id}?token=***'"),
    ],
)  # fmt: skip
def test_what_is_refused(url: Any, values: Any, message: str) -> None:
    """Before anything is sent, by name, with what to write instead."""
    with pytest.raises(InvalidRequestError) as caught:
        fill_path(url, values)
    assert message in str(caught.value)
    assert "s3cret" not in str(caught.value)
    assert not str(caught.value).endswith("use None to drop it")


@each_row(
    ("url", "values", "faults"),
    [
        ("/o/{id}", {}, "'id' has no value"),
        ("/o/{id}", {"ID": 1}, "'id' has no value, 'ID' is not in its path"),
        ("/o/{b}/{a}", {"x": 1, "w": 2}, "'a' has no value, 'b' has no value, 'x' is not in its path, 'w' is not in its path"),
        ("/o/7", {"id": 7}, "'id' is not in its path; write the name in braces, and no f-string"),
        ("/o?q={q}", {"q": 7}, "'q' is not in its path; values of the query go into params"),
        (
            "https://{x}.test/",
            {"x": "a"},
            "'x' is not in its path; a value must not choose the host, so make the URL of it after checking it",
        ),
    ],
)  # fmt: skip
def test_values_that_do_not_fit_are_named_one_by_one(url: str, values: Any, faults: str) -> None:
    """The missing ones in order, then those that are too many; and what to write, where that is known."""
    with pytest.raises(InvalidRequestError) as caught:
        fill_path(url, values)
    assert str(caught.value) == f"path_params does not fit the URL {url!r}: {faults}"


@pytest.mark.parametrize(("length", "is_kept"), [(20, True), (2048, True), (2049, False)])
def test_a_template_of_usual_length_is_parsed_once(length: int, is_kept: bool) -> None:
    """A longer one is not kept: it may have been made of data, and hundreds of these would fill the memory."""
    url = "/{id}/".ljust(length, "x")
    template = fill_path(url, {"id": 1})[1]
    assert (fill_path(url, {"id": 2})[1] is template) is is_kept


def test_a_raw_url_stays_raw() -> None:
    """Its own text goes out as it is, dot segments included; a value is escaped as always, and makes none."""
    filled, template = fill_path(RawUrl("https://h.test/a/../|/{id}"), {"id": "x/ü"})
    assert isinstance(filled, RawUrl)
    assert (filled, template) == ("https://h.test/a/../|/x%2F%C3%BC", "/a/../|/{id}")
    with pytest.raises(InvalidRequestError):
        fill_path(RawUrl("https://h.test/{id}"), {"id": ".."})
    # Equal text of the other kind: the parsed form of one must not serve the other.
    assert fill_path(RawUrl("https://h.test/{id}/ü|"), {"id": 1})[0].endswith("/1/ü|")
    assert fill_path("https://h.test/{id}/ü|", {"id": 1})[0].endswith("/1/%C3%BC%7C")


@given(
    values=st.lists(st.one_of(st.text(), st.binary(), st.from_regex(r"[./%2eEfF\\;{}]+")), min_size=1, max_size=4),
    literal=st.sampled_from(["", "-", ".", "x.", "%2e", "a b", "é"]),
)  # fmt: skip
@example(values=["..", "."], literal="")
@example(values=["2e", "2F"], literal="%2e")
def test_a_server_decodes_exactly_the_values(values: list[Any], literal: str) -> None:
    """Split at "/", then decoded: each segment has its value, or the URL is refused."""
    names = [f"v{number}" for number in range(len(values))]
    template = "/".join(f"{literal}{{{name}}}" for name in names)
    try:
        filled, _ = fill_path(f"{template}?q={{v0}}", dict(zip(names, values, strict=True)))
    except InvalidRequestError:
        texts = [
            value if isinstance(value, bytes) else value.encode("utf-8", "surrogatepass") for value in values
        ]
        start = unquote_to_bytes(literal)
        assert any(not text or start + text in (b".", b"..") or b"\xed" in text for text in texts)
        return
    sent = normalise_url(filled, None, BASE)
    assert sent.startswith(f"{BASE}/")
    segments = sent.partition("?")[0].removeprefix(f"{BASE}/").split("/")
    expected = [value if isinstance(value, bytes) else value.encode() for value in values]
    assert [unquote_to_bytes(segment) for segment in segments] == [
        unquote_to_bytes(literal) + value for value in expected
    ]
    assert normalise_url(sent) == sent


@each_row(
    ("path", "template", "fits"),
    [
        ("/v1/orders/7", "/orders/{id}", True),
        ("/orders/7/lines", "/orders/{id}", False),
        ("/refunds/7", "/orders/{id}", False),
        ("/orders/", "/orders/{id}", False),
        ("/orders/7.xml", "/orders/{id}.json", False),
        ("/orders", "/v1/orders", False),
        ("/a--c", "/{x}-{y}", True),
        ("/-a", "/{x}-{y}", False),
        ("/a-", "/{x}-{y}", False),
        ("/a-b-c.json", "/{x}-b-{y}.json", True),
        ("/a-b-.json", "/{x}-b-{y}.json", False),
        ("/a-b.json", "/{x}-b-{y}.json", False),
        ("/za", "/a{x}", False),
    ],
)
def test_whether_a_url_is_of_a_template(path: str, template: str, fits: bool) -> None:
    """Each placeholder stands for something in its segment."""
    assert is_of_template(f"https://api.test{path}?a=/b", template) is fits


def test_a_url_of_fewer_segments_is_not_of_a_template() -> None:
    """Though it may end as the template begins."""
    assert is_of_template("a/b", "/{x}/{y}")
    assert not is_of_template("a", "/{x}/{y}")
