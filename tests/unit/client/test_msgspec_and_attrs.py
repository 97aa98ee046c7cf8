"""`response_type=` of msgspec's structs and attrs classes, in both directions: chosen by the type."""

from __future__ import annotations

import json
import sys
from typing import Any, Generic, TypeVar

import pytest

from http_service_client import ConfigurationError, HttpRequest, HttpResponse, ResponseValidationError
from http_service_client.client import msgspec_and_attrs
from kit.fakes import Harness
from kit.front_ends import FrontEnd


def _types() -> dict[str, Any]:
    """An `Order` of each library that is installed."""
    found: dict[str, Any] = {}
    try:
        import msgspec
    except ImportError:
        pass
    else:
        found["msgspec"] = msgspec.defstruct(
            "Order",
            [
                ("id", int),
                ("status", str, "baking"),
                ("items", list[str], msgspec.field(default_factory=list)),
            ],
        )
    try:
        import attrs
        import cattrs  # noqa: F401
    except ImportError:
        pass
    else:
        found["attrs"] = attrs.make_class(
            "Order",
            {
                "id": attrs.field(type=int),
                "status": attrs.field(type=str, default="baking"),
                "items": attrs.field(type=list[str], factory=list),
            },
        )
    return found


TYPES = _types()


@pytest.fixture(params=["msgspec", "attrs"])
def order(request: pytest.FixtureRequest) -> Any:
    """The class."""
    if request.param not in TYPES:
        pytest.skip(f"the extra {request.param} is not installed")
    return TYPES[request.param]


def fetched(front_end: FrontEnd, content: bytes, response_type: Any) -> Any:
    """The data of a response."""
    return Harness(front_end, HttpResponse(200, content=content)).request(response_type=response_type).data


def test_the_data_is_of_the_type(front_end: FrontEnd, order: Any) -> None:
    """Itself, and as a part of another type; unknown fields are ignored."""
    assert fetched(front_end, b'{"id": 1, "new": 2}', order) == order(1)
    assert fetched(front_end, b'[{"id": 1}, {"id": 2, "status": "out"}]', list[order]) == [
        order(1),
        order(2, "out"),
    ]
    assert fetched(front_end, b'{"a": {"id": 1}}', dict[str, order]) == {"a": order(1)}
    assert fetched(front_end, b"null", order | None) is None


Item = TypeVar("Item")


def _pages() -> dict[str, Any]:
    """A generic class of each library that is installed."""
    found: dict[str, Any] = {}
    if "msgspec" in TYPES:
        import msgspec

        class Struct(msgspec.Struct, Generic[Item]):
            items: list[Item]

        found["msgspec"] = Struct
    if "attrs" in TYPES:
        import attrs

        @attrs.define
        class Attrs(Generic[Item]):
            items: list[Item]

        # The names in its annotations are those of this function.
        found["attrs"] = attrs.resolve_types(Attrs, {"Item": Item}, {})
    return found


@pytest.mark.parametrize("library", ["msgspec", "attrs"])
def test_a_generic_class_is_of_its_library(front_end: FrontEnd, library: str) -> None:
    """Whatever it is a class of."""
    pages = _pages()
    if library not in pages:
        pytest.skip(f"the extra {library} is not installed")
    page = pages[library]
    for response_type in (page[int], list[page[int]], page[int] | None):
        content = b'{"items": [1]}' if response_type != list[page[int]] else b'[{"items": [1]}]'
        data = fetched(front_end, content, response_type)
        assert (data[0] if isinstance(data, list) else data) == page([1])
    with pytest.raises(ResponseValidationError):
        fetched(front_end, b'{"items": ["a"]}', page[int])


@pytest.mark.parametrize(
    ("content", "path"),
    [
        (b'{"id": "1"}', "$.id"),
        (b'{"id": 1.5}', "$.id"),
        (b'{"id": true}', "$.id"),
        (b'{"id": 1, "items": ["a", 2]}', "$.items[1]"),
        (b"{}", "id"),
        (b'{"id":', ""),
        (b"[]", ""),
        (b"", ""),
    ],
)
def test_wrong_data_is_an_error(front_end: FrontEnd, order: Any, content: bytes, path: str) -> None:
    """It names the type and the path, converts nothing, and shows no value."""
    with pytest.raises(ResponseValidationError, match="is not a valid Order: ") as caught:
        fetched(front_end, content, order)
    assert path in str(caught.value)
    assert caught.value.response is not None
    secret = b'{"id": "hush"}'
    with pytest.raises(ResponseValidationError) as caught:
        fetched(front_end, secret, order)
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize(("count", "end"), [(1, ""), (20, ""), (21, "; and 1 more"), (99, "; and 79 more")])
def test_twenty_wrong_fields_of_attrs_are_shown(front_end: FrontEnd, count: int, end: str) -> None:
    """The server chose how many there are. msgspec shows the first one."""
    if "attrs" not in TYPES:
        pytest.skip("the extra attrs is not installed")
    content = json.dumps({"id": 1, "items": list(range(count))}).encode()
    with pytest.raises(ResponseValidationError) as caught:
        fetched(front_end, content, TYPES["attrs"])
    assert str(caught.value).count("$.items[") == min(count, 20)
    assert str(caught.value).endswith(end or f"$.items[{count - 1}]")


def test_data_that_is_nested_too_deeply_is_an_error(front_end: FrontEnd) -> None:
    """As it is without a type."""
    if "attrs" not in TYPES:
        pytest.skip("the extra attrs is not installed")
    with pytest.raises(ResponseValidationError, match=r"is not a valid Order: it is nested too deeply$"):
        fetched(front_end, b"[" * 100_000, TYPES["attrs"])


@pytest.mark.parametrize(("given", "price"), [("1.5", 1.5), ("2", 2.0), ('"1.5"', None), ("true", None)])
def test_a_number_of_attrs_is_a_number(front_end: FrontEnd, given: str, price: float | None) -> None:
    """A whole one, too; text and switches are none."""
    if "attrs" not in TYPES:
        pytest.skip("the extra attrs is not installed")
    import attrs

    item = attrs.make_class("Item", {"price": attrs.field(type=float)})
    content = f'{{"price": {given}}}'.encode()
    if price is None:
        with pytest.raises(ResponseValidationError, match=r"is not a valid Item: .* \$\.price$"):
            fetched(front_end, content, item)
    else:
        found = fetched(front_end, content, item).price
        assert (found, type(found)) == (price, float)


def test_a_struct_of_an_unknown_type_is_an_error(front_end: FrontEnd) -> None:
    """Which only its decoder looks for."""
    msgspec = pytest.importorskip("msgspec", reason="the extra msgspec is not installed")
    with pytest.raises(ConfigurationError, match=r"cannot be validated: name 'Nowhere' is not defined$"):
        fetched(front_end, b"{}", msgspec.defstruct("Order", [("item", "Nowhere")]))


def test_a_class_that_looks_like_a_struct_is_pydantic_s(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nobody has imported msgspec; and so is one of attrs that pydantic validates."""

    class Likely:
        __struct_fields__ = ("id",)

    class Validated:
        __attrs_attrs__ = ()
        __pydantic_validator__ = None

    monkeypatch.delitem(sys.modules, "msgspec", raising=False)
    monkeypatch.setattr(msgspec_and_attrs, "_of_msgspec", None)
    monkeypatch.setattr(msgspec_and_attrs, "_of_attrs", None)
    assert msgspec_and_attrs.other_adapter(Likely) is None
    assert msgspec_and_attrs.other_adapter(list[Validated]) is None


def test_the_error_of_a_type_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """A library may explain itself in several."""
    msgspec = pytest.importorskip("msgspec", reason="the extra msgspec is not installed")

    def explain(response_type: Any) -> None:
        raise TypeError("it cannot be\nand here is why")

    monkeypatch.setattr(msgspec.json, "Decoder", explain)
    with pytest.raises(ConfigurationError, match=r"cannot be validated: it cannot be$"):
        msgspec_and_attrs.other_adapter(msgspec.defstruct("Order", []))


def test_it_can_be_sent(order: Any) -> None:
    """As JSON that the same type reads again; nested, too."""
    sent = HttpRequest("POST", "https://a.test/", json={"orders": [order(1, "out", ["a"])]}).content
    assert json.loads(sent or b"") == {"orders": [{"id": 1, "status": "out", "items": ["a"]}]}


def test_a_struct_is_sent_as_msgspec_writes_it() -> None:
    """Under its encoded names, with its tag, and without what is unset."""
    msgspec = pytest.importorskip("msgspec", reason="the extra msgspec is not installed")
    fields = [("my_id", int), ("more", Any, msgspec.UNSET)]
    for options in ({"rename": "camel", "tag": "order"}, {"array_like": True, "tag": "order"}, {}):
        kind = msgspec.defstruct("Order", fields if "array_like" not in options else fields[:1], **options)
        sent = HttpRequest("POST", "https://a.test/", json=kind(1)).content
        assert json.loads(sent or b"") == json.loads(msgspec.json.encode(kind(1)))


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch, front_end: FrontEnd) -> None:
    """An attrs class needs cattrs."""
    if "attrs" not in TYPES:
        pytest.skip("the extra attrs is not installed")
    import attrs

    monkeypatch.setitem(sys.modules, "cattrs", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'http-service-client\[attrs\]'"):
        fetched(front_end, b"{}", attrs.make_class("Other", ["id"]))


def test_a_type_that_cannot_be_decoded_is_an_error(front_end: FrontEnd, order: Any) -> None:
    """Before anything is sent."""

    class Strange:
        pass

    harness = Harness(front_end, 200)
    with pytest.raises(ConfigurationError, match=r"response_type dict\[str, .* cannot be validated: .+"):
        harness.request(response_type=dict[str, order | Strange | set[Strange]])
    assert harness.sends == 0
