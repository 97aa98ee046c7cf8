"""`paginate` and `paginate_async`: the pages of a listing, and where its next URL may lead."""

from __future__ import annotations

from typing import Any

import pytest

from http_service_client import (
    ConfigurationError,
    DeadlineExceededError,
    EgressPolicy,
    EgressRefusedError,
    HttpResponse,
    HttpServiceClient,
    HttpStatusError,
    InvalidRequestError,
    PaginationError,
    RawUrl,
    ResponseValidationError,
    next_by_field,
)
from http_service_client.testing import ScriptedTransport, VirtualClock, late
from kit.front_ends import FrontEnd
from kit.rows import each_row

API = "https://api.example.com"
URL = f"{API}/orders"


def linked(*urls: str) -> list[HttpResponse]:
    """A page that leads to each URL, and a last one."""
    pages = [HttpResponse(200, headers={"Link": f'<{url}>; rel="next"'}, content=url) for url in urls]
    return [*pages, HttpResponse(200, content="last")]


def listing(
    front_end: FrontEnd, script: Any, url: str = URL, **options: Any
) -> tuple[list[HttpResponse], list[str]]:
    """The pages, and the URLs that were requested."""
    transport = ScriptedTransport(script)
    client = front_end.client(transport=transport, enable_retry_policy=False)
    pages = list(front_end.paginate(client, url, **options))
    return pages, [request.url for request in transport.requests]


def test_pages_follow_the_link_header(front_end: FrontEnd) -> None:
    """Until there is none; relative URLs are resolved against that of the response."""
    pages, urls = listing(front_end, linked("?page=2", f"{URL}?page=3", "/orders?page=4"), params={"page": 1})
    assert urls == [f"{URL}?page={number}" for number in (1, 2, 3, 4)]
    assert pages[-1].content == b"last"


def test_a_relation_in_single_quotes_leads_to_the_next_page(front_end: FrontEnd) -> None:
    """Some servers write it so; the listing once ended there, as if it were complete."""
    first = HttpResponse(200, headers={"Link": "<?page=2>; rel='next'"})
    assert listing(front_end, [first, HttpResponse(200)])[1] == [URL, f"{URL}?page=2"]


def test_a_url_is_resolved_against_that_of_the_last_hop(front_end: FrontEnd) -> None:
    """And not against the client's base_url, or the URL before a redirect."""
    moved = HttpResponse(302, headers={"Location": "/v2/orders"})
    assert listing(front_end, [moved, *linked("b")])[1] == [URL, f"{API}/v2/orders", f"{API}/v2/b"]


def test_a_listing_over_a_unix_socket_goes_on(front_end: FrontEnd) -> None:
    """Its relative URLs are those of the socket."""
    url = "http+unix://%2Frun%2Fapp.sock/orders"
    assert listing(front_end, linked("?page=2", "/orders?page=3"), url)[1] == [
        url,
        f"{url}?page=2",
        f"{url}?page=3",
    ]


def test_the_spelling_of_a_cursor_is_the_server_s(front_end: FrontEnd) -> None:
    """Escapes and brackets stay: a cursor may be signed. So does a RawUrl of the function's own."""
    assert listing(front_end, linked("?after=a%2f%3D[1]"))[1][1] == f"{URL}?after=a%2f%3D[1]"
    found = iter([RawUrl(f"{URL}?{{x}}"), None])
    assert listing(front_end, HttpResponse(200), next=lambda _: next(found))[1][1] == f"{URL}?{{x}}"


def test_the_keywords_are_those_of_each_page(front_end: FrontEnd) -> None:
    """Headers, credentials and the method; headers that can be read only once, too."""
    transport = ScriptedTransport(linked("?page=2"))
    client = front_end.client(transport=transport, base_url=API)
    headers = iter([("X-Trace", "1")])
    pages = front_end.paginate(
        client, "orders", method="query", json={"a": 1}, auth="token-1", headers=headers
    )
    assert len(list(pages)) == 2
    for sent in transport.sent:
        request = sent.request
        assert (request.method, sent.content) == ("QUERY", b'{"a":1}')
        assert (request.headers["Authorization"], request.headers["X-Trace"]) == ("Bearer token-1", "1")


def test_a_page_is_requested_when_it_is_asked_for(front_end: FrontEnd) -> None:
    """The caller decides how many there are."""
    transport = ScriptedTransport(linked("?page=2", "?page=3"))
    pages = front_end.paginate(front_end.client(transport=transport), URL)
    assert len(transport.sent) == 0
    next(pages)
    assert len(transport.sent) == 1


@each_row(("most", "count"), [(1, 1), (2, 2), (3, 3), (4, 3), (None, 3)])
def test_max_pages_ends_the_iterator(front_end: FrontEnd, most: int | None, count: int) -> None:
    """Quietly, and without a request for one page more."""
    pages, urls = listing(front_end, linked("?page=2", "?page=3"), max_pages=most)
    assert len(pages) == len(urls) == count


def test_a_function_says_what_comes_next(front_end: FrontEnd) -> None:
    """Parameters replace those of the same name and keep the others; None removes one."""
    found: Any = iter(
        [
            {"params": {"page": 2}},
            {"params": {"page": 3, "q x": None}, "headers": {"X-Page": "3"}},
            {"url": "/archive?old=1", "params": {"page": 4}, "method": "HEAD"},
            None,
        ]
    )
    seen: list[HttpResponse] = []

    def following(response: HttpResponse) -> Any:
        seen.append(response)
        return next(found)

    transport = ScriptedTransport(HttpResponse(200))
    client = front_end.client(transport=transport)
    pages = list(front_end.paginate(client, f"{URL}?page=1&size=5", params={"q x": "y"}, next=following))
    assert seen == pages
    assert [(request.method, request.url) for request in transport.requests] == [
        ("GET", f"{URL}?page=1&size=5&q%20x=y"),
        ("GET", f"{URL}?size=5&q%20x=y&page=2"),
        ("GET", f"{URL}?size=5&page=3"),
        ("HEAD", f"{API}/archive?old=1&page=4"),
    ]
    assert [request.headers.get("X-Page") for request in transport.requests] == [None, None, "3", "3"]


def json_page(value: Any) -> HttpResponse:
    return HttpResponse(200, json={"items": [], "paging": {"next": value}})


@each_row("last", [None, "", False])
def test_a_field_may_hold_a_cursor(front_end: FrontEnd, last: Any) -> None:
    """For a parameter of the next page; null, false and "" end the listing."""
    script = [json_page("a b"), json_page(0), json_page(last)]
    following = next_by_field("paging.next", param="cursor")
    _, urls = listing(front_end, script, params={"size": 5}, next=following)
    assert urls == [f"{URL}?size=5", f"{URL}?size=5&cursor=a%20b", f"{URL}?size=5&cursor=0"]


@each_row("last", [HttpResponse(200, json={"paging": [1]}), HttpResponse(200, json=[]), HttpResponse(204)])
def test_a_field_may_hold_the_url(front_end: FrontEnd, last: HttpResponse) -> None:
    """A page without the field is the last one."""
    _, urls = listing(front_end, [json_page("?page=2"), last], next=next_by_field("paging.next"))
    assert urls == [URL, f"{URL}?page=2"]


def test_a_field_of_another_kind_is_an_error(front_end: FrontEnd) -> None:
    """A number is no URL, and a page that is not JSON has no field."""
    with pytest.raises(PaginationError, match="name its parameter"):
        listing(front_end, json_page(7), next=next_by_field("paging.next"))
    with pytest.raises(ResponseValidationError):
        listing(front_end, HttpResponse(200, content="<html>"), next=next_by_field("paging.next"))


@pytest.mark.parametrize("arguments", [("",), (5,), (None,), ("paging.next", 5)])
def test_a_field_is_named_by_text(arguments: Any) -> None:
    """A wrong name would end each listing after its first page."""
    with pytest.raises(ConfigurationError, match="takes the path of a field and the name of a parameter"):
        next_by_field(*arguments)


def test_a_page_that_comes_again_is_an_error(front_end: FrontEnd) -> None:
    """It is named, and not requested: the listing would have no end."""
    transport = ScriptedTransport(linked("?page=2&key=s3cret", "?page=3", "?page=2&key=s3cret"))
    pages = front_end.paginate(front_end.client(transport=transport), URL)
    assert len([next(pages) for _ in range(3)]) == 3
    with pytest.raises(
        PaginationError, match=r"orders\?page=2&key=\*\*\*, which was requested before"
    ) as caught:
        next(pages)
    assert len(transport.sent) == 3
    assert caught.value.response is not None
    with pytest.raises(PaginationError, match="pages are missing"):
        next(pages)


@each_row("part", ["json", "data", "headers"])
def test_the_same_url_with_another_cursor_elsewhere_is_another_page(front_end: FrontEnd, part: str) -> None:
    """In the body or a header; the same cursor again is an error."""
    found = iter([{part: {"after": "1"}}, {part: {"after": "2"}}, {part: {"after": "2"}}])
    transport = ScriptedTransport(HttpResponse(200))
    pages = front_end.paginate(
        front_end.client(transport=transport), URL, method="POST", next=lambda _: next(found)
    )
    with pytest.raises(PaginationError, match="requested before"):
        list(pages)
    expected = {"json": [b"", b'{"after":"1"}', b'{"after":"2"}'], "data": [b"", b"after=1", b"after=2"]}
    assert [sent.content for sent in transport.sent] == expected.get(part, [b""] * 3)
    if part == "headers":
        assert [sent.request.headers.get("after") for sent in transport.sent] == [None, "1", "2"]


@each_row(
    ("before", "params", "after"),
    [
        ("?page=1", {"page": None}, ""),
        ("?page=1&size=5", {"page": None}, "?size=5"),
        ("?q+x=1&size=5", {"q x": "2"}, "?size=5&q%20x=2"),
        ("?1=a&1=b&2", {1: "c"}, "?2&1=c"),
    ],
)
def test_a_parameter_is_replaced_however_it_is_spelt(
    front_end: FrontEnd, before: str, params: Any, after: str
) -> None:
    """All of its name go, and a query without one is none."""
    found = iter([{"params": params}, None])
    _, urls = listing(front_end, HttpResponse(200), URL + before, next=lambda _: next(found))
    assert urls[1] == URL + after


def test_white_space_around_a_url_is_no_part_of_it(front_end: FrontEnd) -> None:
    """A field may be written by hand."""
    found = iter([" ?page=2\n", None])
    assert listing(front_end, HttpResponse(200), next=lambda _: next(found))[1] == [URL, f"{URL}?page=2"]


@each_row(
    "url",
    ["https://evil.example.com/", "//evil.example.com/x", "http://api.example.com/orders", f"{API}:8443/"],
)
def test_no_page_is_requested_from_another_origin(front_end: FrontEnd, url: str) -> None:
    """It would get the call's credentials. The error names the setting that allows it."""
    transport = ScriptedTransport(linked(url))
    with pytest.raises(PaginationError, match=r"is at another origin, .* allowed_origins"):
        list(front_end.paginate(front_end.client(transport=transport), URL, auth="secret-1"))
    assert len(transport.sent) == 1


def test_another_origin_may_be_allowed(front_end: FrontEnd) -> None:
    """By the caller, who vouches for it. The egress policy still holds."""
    url = "https://mirror.example.com/orders?page=2"
    allowed = ["https://MIRROR.example.com:443/"]
    assert listing(front_end, linked(url), allowed_origins=allowed)[1] == [URL, url]
    policy = EgressPolicy(allowed_hosts=["api.example.com"])
    client = front_end.client(transport=ScriptedTransport(linked(url)), egress_policy=policy)
    with pytest.raises(EgressRefusedError):
        list(front_end.paginate(client, URL, allowed_origins=allowed))


@each_row("first", ["/orders", f"{API}/orders", "https://b.example.com/orders"])
@each_row("then", [API, "https://b.example.com", "https://c.example.com"])
def test_a_listing_may_go_on_at_another_base_url(front_end: FrontEnd, first: str, then: str) -> None:
    """Where one host answers for another, its links lead to either."""
    transport = ScriptedTransport(linked(f"{then}/orders?page=2"))
    alternates = ["https://b.example.com", "https://c.example.com"]
    client = front_end.client(transport=transport, base_url=API, alternate_urls=alternates)
    assert len(list(front_end.paginate(client, first))) == 2
    assert transport.requests[1].url == f"{then}/orders?page=2"


@pytest.mark.parametrize("then", [API, "https://b.example.com"])
def test_a_listing_of_a_stranger_leads_to_no_base_url(front_end: FrontEnd, then: str) -> None:
    """It would choose what is requested there, with the keywords of the call."""
    transport = ScriptedTransport(linked(f"{then}/orders"))
    client = front_end.client(transport=transport, base_url=API, alternate_urls=["https://b.example.com"])
    with pytest.raises(PaginationError, match="is at another origin"):
        list(front_end.paginate(client, "https://stranger.example/list"))
    assert len(transport.sent) == 1


@each_row("url", ["javascript:alert(1)", "https://[", "https://u:p@api.example.com/"])
def test_a_url_that_cannot_be_used_is_an_error(front_end: FrontEnd, url: str) -> None:
    """Of this listing, with the page that has it."""
    with pytest.raises(PaginationError, match=r"cannot be used|another origin"):
        listing(front_end, HttpResponse(200), next=lambda _: url)


def test_a_page_with_an_error_is_raised(front_end: FrontEnd) -> None:
    """An end without one would pass for the last page."""
    transport = ScriptedTransport([*linked("?page=2")[:1], HttpResponse(404)])
    pages = front_end.paginate(front_end.client(transport=transport), URL)
    assert next(pages).status_code == 200
    with pytest.raises(HttpStatusError, match="404"):
        next(pages)


def test_a_listing_that_failed_never_ends_as_if_it_were_whole(front_end: FrontEnd) -> None:
    """A loop that goes on after an error gets another one, and not the end."""
    client = front_end.client(transport=ScriptedTransport([*linked("?page=2")[:1], HttpResponse(404)]))
    pages = iter(front_end.paginate(client, URL))
    assert next(pages).status_code == 200
    with pytest.raises(HttpStatusError):
        next(pages)
    with pytest.raises(PaginationError, match="pages are missing"):
        next(pages)


def test_the_total_timeout_is_for_all_pages(front_end: FrontEnd) -> None:
    """Without the time between them, which is the caller's."""
    clock = VirtualClock()
    transport = ScriptedTransport(
        [late(2.0, page) for page in linked("?page=2", "?page=3", "?page=4")], clock=clock
    )
    client = front_end.client(transport=transport, clock=clock, enable_retry_policy=False)
    pages = front_end.paginate(client, URL, total_timeout=5.0)
    assert next(pages).elapsed == 2.0
    clock.elapse(100.0)
    assert next(pages).elapsed == 2.0
    with pytest.raises(DeadlineExceededError):
        next(pages)
    assert [sent.timeout.total for sent in transport.sent] == pytest.approx([5.0, 3.0, 1.0])


def test_a_page_that_has_no_time_left_ends_at_once(front_end: FrontEnd) -> None:
    """By its own deadline, of a billionth of a second."""
    clock = VirtualClock()
    transport = ScriptedTransport([late(2.0, page) for page in linked("?page=2")], clock=clock)
    client = front_end.client(transport=transport, clock=clock, enable_retry_policy=False)
    pages = front_end.paginate(client, URL, total_timeout=2.0 + 1e-10)
    assert next(pages).status_code == 200
    with pytest.raises(DeadlineExceededError):
        next(pages)
    assert transport.sent[-1].timeout.total == pytest.approx(1e-9, rel=0.01)


@each_row(
    ("given", "expected"), [({}, 7.0), ({"total_timeout": None}, 30.0), ({"total_timeout": 20.0}, 20.0)]
)
def test_a_total_timeout_replaces_the_client_s(
    front_end: FrontEnd, given: dict[str, Any], expected: float
) -> None:
    """Which is otherwise that of each page."""
    transport = ScriptedTransport(linked("?page=2"))
    clock = VirtualClock()
    client = front_end.client(transport=transport, clock=clock, total_timeout=7.0)
    list(front_end.paginate(client, URL, **given))
    assert [sent.timeout.total for sent in transport.sent] == pytest.approx([expected] * 2)


WRONG: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"max_pages": 0}, ConfigurationError, "^max_pages must"),
    ({"next": "paging.next"}, ConfigurationError, "next must be a plain function"),
    ({"allowed_origins": "https://a.test"}, ConfigurationError, r"write \['https://a.test'\]"),
    ({"allowed_origins": ["a.test"]}, InvalidRequestError, "not absolute"),
    ({"total_timeout": -1}, ConfigurationError, "^total_timeout must"),
    ({"data": iter([b"x"])}, InvalidRequestError, "^paginate sends .* neither files nor data"),
    ({"files": {"a": b"x"}}, InvalidRequestError, "^paginate sends .* neither files nor data that"),
    ({"method": "G T"}, InvalidRequestError, "method"),
]


@each_row(("options", "kind", "message"), WRONG, ids=[row[2] for row in WRONG])
def test_wrong_arguments_are_refused_at_once(
    front_end: FrontEnd, options: dict[str, Any], kind: type[Exception], message: str
) -> None:
    """And not when the first page is asked for."""
    client = front_end.client(transport=ScriptedTransport(HttpResponse(200)))
    with pytest.raises(kind, match=message):
        front_end.paginate(client, URL, **options)


async def _async_next(response: HttpResponse) -> None:
    pass


FOUND: list[tuple[Any, type[Exception], str]] = [
    (5, TypeError, "must return a URL, a mapping"),
    ({"url": 5}, TypeError, "as text"),
    ({"cursor": "x"}, InvalidRequestError, r"{'params': {'cursor': \.\.\.}}"),
    ({"params": "page=2"}, InvalidRequestError, "no mapping"),
    ({"data": map(str, "x")}, InvalidRequestError, "^paginate sends .* neither files nor data"),
]


@pytest.mark.parametrize(("found", "kind", "message"), FOUND, ids=[row[2] for row in FOUND])
def test_a_wrong_result_of_next_is_refused(
    front_end: FrontEnd, found: Any, kind: type[Exception], message: str
) -> None:
    """With what to write instead."""
    with pytest.raises(kind, match=message):
        listing(front_end, HttpResponse(200), next=lambda _: found)
    with pytest.raises(ConfigurationError, match="plain function"):
        listing(front_end, HttpResponse(200), next=_async_next)


def test_each_page_is_a_call_with_retries(front_end: FrontEnd) -> None:
    """And with the events, circuit and budget of its origin."""
    transport = ScriptedTransport([*linked("?page=2")[:1], HttpResponse(503), HttpResponse(200)])
    client = front_end.client(transport=transport, clock=VirtualClock())
    assert [page.attempts for page in front_end.paginate(client, URL)] == [1, 2]


def test_a_listing_that_has_ended_stays_at_its_end(front_end: FrontEnd) -> None:
    """A further step is no error."""
    client = front_end.client(transport=ScriptedTransport(linked("?page=2")))
    pages = front_end.paginate(client, URL)
    assert len(list(pages)) == 2
    assert next(pages, None) is None


def test_pages_that_are_read_the_other_way_say_how() -> None:
    """As the body of a stream does. So does an attribute of a response, which the pages have one by one."""
    client = HttpServiceClient(transport=ScriptedTransport([HttpResponse(200)]))
    plain: Any = client.paginate(URL)
    apart: Any = client.paginate_async(URL)
    with pytest.raises(TypeError, match=r"or in asyncio 'async for page in client.paginate_async\(…\)'$"):
        aiter(plain)
    with pytest.raises(TypeError, match=r"write 'async for', not 'for'$"):
        iter(apart)
    with pytest.raises(AttributeError, match=r"have no 'json': write 'for page in client.paginate\(…\)'$"):
        plain.json()
    with pytest.raises(
        AttributeError, match=r"have no 'json': write 'async for page in client.paginate_async"
    ):
        apart.json()


def test_pages_show_how_to_read_them() -> None:
    """A notebook shows what a cell returns; nothing is sent."""
    transport = ScriptedTransport(linked())
    with HttpServiceClient(transport=transport) as client:
        assert "'for page in client.paginate(…)'" in repr(client.paginate(URL))
        assert "'async for page in client.paginate_async(…)'" in repr(client.paginate_async(URL))
    assert not transport.requests
