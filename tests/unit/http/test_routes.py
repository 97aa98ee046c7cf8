"""Routes: which one a request matches, and which tables are refused."""

from __future__ import annotations

import time
from itertools import pairwise
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from http_service_client import ConfigurationError
from http_service_client.http.path_templates import fill_path
from http_service_client.http.routes import Route, RouteTable, _rank, parse_route, path_below
from kit.rows import each_row


def table(*routes: str) -> RouteTable:
    return RouteTable("routes", [parse_route("routes", route) for route in routes])


def found(routes: list[str], method: str, path: str) -> str | None:
    index = table(*routes).find(method, path)
    return None if index is None else routes[index]


ROUTES = [
    "GET *",
    "* /orders/{id}",
    "GET /orders/{id}",
    "GET /orders/latest",
    "GET /orders/v{version}",
    "POST /charges",
    "* /{a}/{b}/lines",
    "GET /orders/{id}/{part}",
]


@each_row(
    ("method", "path", "expected"),
    [
        ("POST", "/charges", "POST /charges"),
        ("GET", "/charges", "GET *"),
        ("PUT", "/charges", None),
        ("GET", "/orders/latest", "GET /orders/latest"),
        ("GET", "/orders/v7", "GET /orders/v{version}"),
        ("GET", "/orders/v", "GET /orders/{id}"),
        ("GET", "/orders/7", "GET /orders/{id}"),
        ("DELETE", "/orders/latest", "* /orders/{id}"),
        ("GET", "/orders/7/lines", "GET /orders/{id}/{part}"),
        ("PUT", "/orders/7/lines", "* /{a}/{b}/lines"),
        ("GET", "/orders/", "GET *"),
        ("POST", "/charges/", None),
        ("POST", "/v1/charges", None),
        ("POST", "/Charges", None),
        ("POST", "/", None),
    ],
)
def test_the_most_specific_route_is_found(method: str, path: str, expected: str | None) -> None:
    """From the left: text, text with a placeholder, a placeholder; then any path. The order of the list is no matter."""
    assert found(ROUTES, method, path) == expected
    assert found(ROUTES[::-1], method, path) == expected


@pytest.mark.parametrize(
    "routes",
    [
        ["GET /a", "get /a"],
        ["GET /{x}", "GET /{y}"],
        ["GET *", "GET *"],
        ["GET /a/{x}.json", "GET /a/{name}.json"],
        ["GET /a/x{a}", "GET /a/{b}y"],
    ],
)
def test_two_routes_for_the_same_request_are_an_error(routes: list[str]) -> None:
    """Neither is more specific than the other."""
    with pytest.raises(ConfigurationError, match="which the same requests may match"):
        table(*routes)


def test_routes_that_exclude_each_other_are_no_error() -> None:
    """By their methods, or by the texts around their placeholders."""
    table(
        "GET /a",
        "POST /a",
        "* /a",
        "GET /{x}.json",
        "GET /{x}.html",
        "GET /v{x}",
        "GET /w{x}",
        "GET /aa",
        "GET /v1/{x}",
        "GET *",
        "POST *",
    )


@each_row(
    ("text", "words"),
    [
        (7, "which is no route"),
        ("", "which is no route"),
        ("/orders", "which is no route"),
        ("GET", "which is no route"),
        ("G(T /orders", "which is no route"),
        ("* *", "every request"),
        ("GET orders", "must begin with '/'"),
        ("GET https://api.test/orders", "must begin with '/'"),
        ("GET /orders?page=1", "a query or fragment"),
        ("GET /orders#page", "a query or fragment"),
        ("GET /orders/{id", "single brace"),
        ("GET /orders/{a b}", "no placeholder"),
        ("GET /orders/..", "segment '..'"),
        ("GET /orders/:id", r"':id' of another library; write \{id\}"),
        ("GET /:org/lines", r"':org' of another library; write \{org\}"),
        ("GET /orders/<id>", r"'<id>' of another library; write \{id\}"),
        ("GET /orders/<int:number>/lines", r"'<int:number>' of another library; write \{number\}"),
        ("GET /orders/:X", r"':X' of another library; write \{X\}"),
        ("GET /orders/:", r"':' of another library; write \{id\}"),
        ("GET /orders/<>", r"'<>' of another library; write \{id\}"),
    ],
)
def test_what_is_no_route_is_an_error(text: Any, words: str) -> None:
    """The message has the text and what to write."""
    with pytest.raises(ConfigurationError, match=words) as error:
        parse_route("routes", text)
    assert str(error.value).startswith("routes has ")


@each_row("path", ["/a:b", "/a:", "/<a", "/a>", "/>a<", "/<a>b", "/a//b"])
def test_colons_and_brackets_elsewhere_are_text(path: str) -> None:
    """Only a segment that is a placeholder of another library is taken for one."""
    assert parse_route("routes", f"GET {path}").template == quote(path, safe="/:")


@pytest.mark.parametrize(
    ("text", "shown", "method"),
    [
        ("get /a", "GET /a", "GET"),
        ("  GET   /a  ", "GET /a", "GET"),
        ("* /a", "* /a", None),
        ("post *", "POST *", "POST"),
        ("GET /a/{x}", "GET /a/{x}", "GET"),
    ],
)
def test_a_route_shows_what_it_is(text: str, shown: str, method: str | None) -> None:
    """Its method in upper case, and its path as it was written."""
    route = parse_route("routes", text)
    assert (str(route), route.method) == (shown, method)


@each_row(
    ("route", "method", "url", "matches"),
    [
        ("GET /orders/{id}", "GET", "https://api.test/orders/7", True),
        ("GET /orders/{id}", "GET", "https://api.test/v1/orders/7?page=2", True),
        ("GET /orders/{id}", "GET", "https://api.test/orders/7/lines", False),
        ("GET /orders/{id}", "GET", "https://api.test/7", False),
        ("GET /orders/{id}", "GET", "https://api.test/?/orders/7", False),
        ("GET /orders/{id}", "POST", "https://api.test/orders/7", False),
        ("* /orders/{id}", "POST", "https://api.test/orders/7", True),
        ("GET *", "GET", "https://api.test/", True),
        ("GET *", "PUT", "https://api.test/", False),
    ],
)
def test_a_route_may_be_below_any_base_url(route: str, method: str, url: str, matches: bool) -> None:
    """The last segments of the path are compared."""
    assert parse_route("routes", route).matches_url(method, url) is matches


@each_row(
    "routes",
    [
        ["GET /a", "GET /{x}"],
        ["GET /a/b", "GET /a/{x}", "GET /{x}/b"],
        ["GET /long{x}", "GET /lo{x}"],
        ["GET /{x}.json", "GET /{x}"],
        ["GET /v{x}.json", "GET /v{x}"],
        ["GET /a", "* /a", "GET *"],
        ["GET /{x}", "* /{x}", "GET *"],
        ["GET /{x}/b", "GET /{x}/{y}"],
    ],
    ids=" > ".join,
)
def test_routes_are_tried_from_the_most_specific_to_the_least(routes: list[str]) -> None:
    """In whichever order they are written: text, then more text around a placeholder, then less; a method before none."""
    ranks = [_rank(parse_route("routes", text)) for text in routes]
    assert all(one < next_one for one, next_one in pairwise(ranks))


@each_row(
    ("one", "other", "is_error"),
    [
        ("a{x}", "a{y}", True),
        ("a{x}b", "ab{y}", True),  # "abb"
        ("ab{x}", "ba{y}", False),
        ("{x}ab", "{y}ba", False),
        ("{x}ab", "a{y}b", True),
        ("a{x}c", "a{y}b", False),
        ("a{x}c", "b{y}c", False),
        ("a{x}{y}", "{z}a", True),
    ],
)
def test_routes_of_one_rank_must_exclude_each_other(one: str, other: str, is_error: bool) -> None:
    """By how a segment begins or by how it ends."""
    if is_error:
        with pytest.raises(ConfigurationError, match="which the same requests may match"):
            table(f"GET /{one}", f"GET /{other}")
    else:
        table(f"GET /{one}", f"GET /{other}")
    table(f"GET /{one}", f"PUT /{other}", f"* /{one}/x")


@each_row(
    ("url", "base_url", "path"),
    [
        ("https://api.test/v1/orders?page=2", "https://api.test/v1", "/orders"),
        ("https://api.test/v1/orders", "https://api.test/v1/", "/orders"),
        ("https://api.test/v1?x", "https://api.test/v1", "/"),
        ("https://api.test/v1", "https://api.test/v1", "/"),
        ("https://api.test/v12/orders", "https://api.test/v1", None),
        ("https://api.test/orders", "https://api.test/v1", None),
        ("https://api.test:8443/orders", "https://api.test", None),
        ("https://api.test.evil/orders", "https://api.test", None),
        ("https://api.test/orders", "https://api.test/", "/orders"),
        ("https://other.test/orders?x", None, "/orders"),
    ],
)
def test_the_path_is_that_below_the_base_url(url: str, base_url: str | None, path: str | None) -> None:
    """Another origin, or another prefix, has none."""
    assert path_below(url, base_url) == path


@given(st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=3))
def test_a_filled_template_matches_its_route(values: list[str]) -> None:
    """Whatever the values are, as long as the URL may be requested."""
    template = "".join(f"/s{number}/x{{p{number}}}" for number in range(len(values)))
    url, _ = fill_path(template, {f"p{number}": value for number, value in enumerate(values)})
    assert table(f"GET {template}", "GET *", "* /{a}/{b}").find("GET", url) == 0


def test_a_long_path_is_compared_in_linear_time() -> None:
    """A path that nearly matches many placeholders is no way to stop a client."""
    routes = table("GET /{a}x{b}x{c}x{d}x{e}y")
    began = time.process_time()
    assert routes.find("GET", "/" + "x" * 20_000) is None
    assert time.process_time() - began < 5.0


@given(
    st.lists(st.tuples(st.sampled_from(["GET", "PUT", "*"]), st.lists(st.sampled_from(["a", "b", "{x}", "a{x}"]), min_size=1, max_size=3)), max_size=12),
    st.lists(st.sampled_from(["a", "b", "ab", "c", ""]), min_size=1, max_size=3),
)  # fmt: skip
def test_the_index_finds_what_a_search_finds(given_routes: list[Any], segments: list[str]) -> None:
    """The first route, by rank, that the request matches."""
    texts = [f"{method} /{'/'.join(f'{each[:-1]}{n}}}' if '{' in each else each for n, each in enumerate(path))}" for method, path in given_routes]  # fmt: skip
    routes = table(*dict.fromkeys(texts))
    matching = [route for route in routes.routes if route.matches("GET", segments)]
    found = routes.find("GET", "/" + "/".join(segments))
    if not matching:
        assert found is None
    else:
        assert found is not None
        assert _rank(routes.routes[found]) == min(map(_rank, matching))


@pytest.mark.parametrize(
    "paths",
    [("/ab{x}{y}c", "/a{x}x{y}c"), ("/c{x}{y}ab", "/c{x}x{y}b")],
)
def test_the_beginnings_and_the_ends_of_a_segment_decide_whether_routes_exclude_each_other(
    paths: tuple[str, str],
) -> None:
    """In either order, whatever stands between placeholders."""
    for one, other in (paths, paths[::-1]):
        with pytest.raises(ConfigurationError, match="which the same requests may match"):
            table(f"GET {one}", f"GET {other}")


def test_text_comes_before_text_with_a_placeholder() -> None:
    """However long that is."""
    assert found(["GET /l{x}", "GET /latest"], "GET", "/latest") == "GET /latest"
    assert found(["GET /{x}", "GET /l{x}"], "GET", "/late") == "GET /l{x}"
    assert path_below("https://h/X/a", "https://h/X") == "/a"


def test_a_request_is_compared_with_routes_that_begin_alike_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A table of a thousand routes is searched as fast as one of ten."""
    compared: list[str] = []
    matches = Route.matches

    def noted(self: Route, method: str, segments: Any) -> bool:
        compared.append(str(self))
        return matches(self, method, segments)

    monkeypatch.setattr(Route, "matches", noted)
    routes = table("GET /a/x", "GET /b/x", "GET /a/{y}/z", "GET /{p}/x", "GET /a", "GET /{p}")
    for path, expected in {
        "/a/x": ["GET /a/x", "GET /{p}/x"],
        "/a": ["GET /a", "GET /{p}"],
        "/c/x": ["GET /{p}/x"],
        "/a/b/c/d": [],
    }.items():
        compared.clear()
        assert routes.find("PUT", path) is None
        assert compared == expected
