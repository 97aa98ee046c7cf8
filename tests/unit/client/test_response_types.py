"""`response_type=`: the data of a 2xx response is of that type, or the call raises an error that says why not."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import Annotated, Any, Optional, get_args

import msgspec
import pytest
from pydantic import RootModel
from typing_extensions import TypedDict

from http_service_client import ConfigurationError, HttpResponse, ResponseValidationError, SentState
from kit.fakes import Harness
from kit.front_ends import FrontEnd
from kit.rows import each_row


@dataclass
class Order:
    id: int
    status: str = "baking"


def answering(front_end: FrontEnd, content: bytes, status: int = 200) -> Harness:
    return Harness(front_end, HttpResponse(status, content=content))


@each_row(
    ("response_type", "content", "data"),
    [
        (Order, b'{"id": 1}', Order(1)),
        (list[Order], b'[{"id": 1}, {"id": 2, "status": "out"}]', [Order(1), Order(2, "out")]),
        (Optional[Order], b"null", None),  # noqa: UP045  # as users often write it
        (Order | None, b"", None),
        (Optional[list[Order]], b"", None),  # noqa: UP045
        (Any, b"", None),
        (RootModel[Order | None], b"", RootModel[Order | None](None)),
        (dict[str, int], b'{"a": 1}', {"a": 1}),
    ],
    ids=["dataclass", "list", "optional", "nothing", "no list", "anything", "model of nothing", "dict"],
)
def test_the_data_is_of_the_type(front_end: FrontEnd, response_type: Any, content: bytes, data: Any) -> None:
    """In `response.data`; the response keeps its content."""
    response = answering(front_end, content).request(response_type=response_type)
    assert response.data == data
    assert response.content == content


class Struct(msgspec.Struct):
    name: str


@each_row("response_type", [TypedDict("Named", {"name": str}), Struct])
@each_row(
    ("encoding", "content_type"),
    [
        ("utf-8-sig", "application/json"),  # .NET writes a byte order mark
        ("utf-16", "application/json"),
        ("iso-8859-1", "application/json; charset=ISO-8859-1"),
    ],
)
def test_the_encodings_are_those_of_json(
    front_end: FrontEnd, response_type: Any, encoding: str, content_type: str
) -> None:
    """What `json()` reads, a type does as well: of a success, and of an error."""
    content = json.dumps({"name": "é"}, ensure_ascii=False).encode(encoding)
    headers = {"Content-Type": content_type}
    for status, named in ((200, "response_type"), (400, "error_type")):
        harness = Harness(front_end, HttpResponse(status, content=content, headers=headers))
        response = harness.request(**{named: response_type})
        assert response.json() == {"name": "é"}
        assert response.data == (Struct("é") if response_type is Struct else {"name": "é"})


def test_an_error_shows_no_more_than_a_reader_can_use(front_end: FrontEnd) -> None:
    """The server chose the number of wrong fields, and their names."""
    escape = json.dumps({"a\x1b[2J\u202e": "x"}).encode()
    for content, message in (
        (escape, ": a [2J : Input should be a valid integer, unable to parse string as an integer"),
        (json.dumps(dict.fromkeys(map(str, range(100)), "x")).encode(), "; and 80 more"),
        (json.dumps(dict.fromkeys(map(str, range(5000)), "x")).encode(), "5000 fields are wrong"),
    ):
        with pytest.raises(ResponseValidationError) as raised:
            answering(front_end, content).request(response_type=dict[str, int])
        assert str(raised.value).endswith(message)
        assert str(raised.value).isprintable()


@pytest.mark.parametrize(
    ("count", "shown", "end"),
    [
        (1, 1, ""),
        (20, 20, ""),
        (21, 20, "; and 1 more"),
        (1000, 20, "; and 980 more"),
        (1001, 0, "1001 fields are wrong"),
    ],
)
def test_twenty_wrong_fields_are_shown(front_end: FrontEnd, count: int, shown: int, end: str) -> None:
    """The number of the others is said. More than a thousand are not even listed."""
    content = json.dumps(dict.fromkeys(map(str, range(count)), "x")).encode()
    with pytest.raises(ResponseValidationError) as raised:
        answering(front_end, content).request(response_type=dict[str, int])
    assert str(raised.value).count("valid integer") == shown
    assert str(raised.value).count(": Input should be") == shown
    assert ("as an integer; 1: Input" in str(raised.value)) is (1 < count <= 1000)
    assert str(raised.value).endswith(end or "as an integer")


@each_row(
    ("response_type", "content", "message"),
    [
        (Order, b'{"id": "x"}', "a valid Order: id: Input should be a valid integer"),
        (list[Order], b'[{"id": 1}, {}]', "a valid list[Order]: 1.id: Field required"),
        (Optional[Order], b"[]", "a valid Optional[Order]: the body: "),  # noqa: UP045
        (Order | int, b'"x"', "a valid Order | int: "),
        (
            Order,
            b"",
            "a valid Order: the body is empty; if that is a response to expect, write response_type=Order | None",
        ),
        (list[Order], b"", "write response_type=list[Order] | None"),
    ],
    ids=["field", "item", "optional", "union", "empty", "empty list"],
)
def test_the_error_of_wrong_data_names_the_field(
    front_end: FrontEnd, response_type: Any, content: bytes, message: str
) -> None:
    """With the type as its user wrote it, and the response for inspection."""
    harness = answering(front_end, content)
    with pytest.raises(ResponseValidationError) as raised:
        harness.request(response_type=response_type)
    assert message in str(raised.value)
    assert raised.value.response is not None
    assert raised.value.sent_state is SentState.ANSWERED


def test_a_type_with_a_part_that_cannot_be_hashed_is_a_type(front_end: FrontEnd) -> None:
    """Its adapter is made again for each call."""
    marked: Any = Annotated[list[int], ["for another library"]]
    assert answering(front_end, b"[7]").request(response_type=marked).data == [7]


def test_the_error_of_a_type_that_pydantic_does_not_know_is_one_line(front_end: FrontEnd) -> None:
    """Pydantic's own goes on with what to write in a model."""

    class Plain:
        pass

    with pytest.raises(ConfigurationError, match="cannot be validated: ") as caught:
        answering(front_end, b"{}").request(response_type=Plain)
    assert "\n" not in str(caught.value)


def test_a_type_needs_pydantic(front_end: FrontEnd, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which is an extra. Nothing is sent without it."""
    monkeypatch.setitem(sys.modules, "pydantic", None)
    harness = answering(front_end, b"[]")
    with pytest.raises(
        ConfigurationError,
        match=r"response_type needs pydantic: pip install 'http-service-client\[pydantic\]'",
    ):
        harness.request(response_type=tuple[int, bytes, Order])
    assert harness.sends == 0


def test_a_page_in_the_place_of_data_is_known_by_its_type(front_end: FrontEnd) -> None:
    """A login page with the status 200, say."""
    page = HttpResponse(200, headers={"Content-Type": "text/html"}, content=b"<html>")
    with pytest.raises(
        ResponseValidationError, match=r"\(200, text/html\) is not a valid Order: the body: Invalid JSON"
    ):
        Harness(front_end, page).request(response_type=Order)


def test_an_error_page_is_not_validated(front_end: FrontEnd) -> None:
    """A 404 is not an order; it is returned as it is."""
    response = answering(front_end, b"no such order", 404).request(response_type=Order)
    assert response.status_code == 404
    assert response.data is None


def test_a_response_may_be_annotated_with_its_data() -> None:
    """Also where annotations are evaluated; a subscript costs nothing and changes nothing."""
    assert HttpResponse[int](200, content=b"1").json() == 1
    assert get_args(HttpResponse[list[int]]) == (list[int],)
