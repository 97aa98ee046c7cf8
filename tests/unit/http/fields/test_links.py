"""The Link header (RFC 8288): the links by relation, leniently parsed."""

from __future__ import annotations

import time

from hypothesis import given
from hypothesis import strategies as st

from http_service_client.http.fields.links import parse_links
from kit.rows import each_row


@each_row(
    ("value", "links"),
    [
        ("", {}),
        ("garbage", {}),
        ("<", {}),
        ('<http://h/2>; rel="next"', {"next": {"url": "http://h/2", "rel": "next"}}),
        (
            '<http://h/?a=1,2;3>; rel=next; title="a, b; \\"c\\"", </1>; REL="prev"',
            {
                "next": {"url": "http://h/?a=1,2;3", "rel": "next", "title": 'a, b; "c"'},
                "prev": {"url": "/1", "rel": "prev"},
            },
        ),
        ("</1>; rel='x'", {"x": {"url": "/1", "rel": "'x'"}}),
        ("</1>; rel=''", {"''": {"url": "/1", "rel": "''"}}),
        ("</1>", {"/1": {"url": "/1"}}),
        ("</1>;; crossorigin ; rel = next ;", {"next": {"url": "/1", "crossorigin": "", "rel": "next"}}),
        (
            '</1>; rel="First last"',
            {"first": {"url": "/1", "rel": "First last"}, "last": {"url": "/1", "rel": "First last"}},
        ),
        ("</1>; rel=next, </2>; rel=next", {"next": {"url": "/1", "rel": "next"}}),
        (
            '</1>; rel="unclosed, </2>; rel=next',
            {"/1": {"url": "/1", "rel": ""}, "next": {"url": "/2", "rel": "next"}},
        ),
    ],
)
def test_links_are_found_by_relation(value: str, links: dict[str, dict[str, str]]) -> None:
    """RFC 8288 3, leniently parsed."""
    assert parse_links(value) == links


@each_row(
    ("target", "url"),
    [
        ("https://other.test/x", "https://other.test/x"),
        ("/v1/orders?page=2", "https://h/v1/orders?page=2"),
        ("?page=2", "https://h/v1/orders?page=2"),
        ("42", "https://h/v1/42"),
        ("//other.test/x", "https://other.test/x"),
        ("http://[::1/x", "http://[::1/x"),
    ],
)
def test_a_target_is_resolved(target: str, url: str) -> None:
    """Against the URL of the response (RFC 8288 3.1); one that cannot be resolved stays as it is."""
    assert parse_links(f"<{target}>; rel=next", "https://h/v1/orders?page=1")["next"]["url"] == url


@each_row(
    ("anchor", "is_ours"),
    [
        ("", True),
        ("?page=1", True),
        ("/v1/orders?page=1", True),
        ("https://h/v1/orders?page=1", True),
        ("#part", False),
        ("?page=7", False),
        ("/v1/customers", False),
        ("https://other.test/v1/orders?page=1", False),
    ],
)
def test_a_link_of_another_resource_has_no_relation_to_ours(anchor: str, is_ours: bool) -> None:
    """RFC 8288 3.2: the anchor is applied. Such a link does not hide the one that is ours, and is found by its URL."""
    value = f'</a>; rel=next; anchor="{anchor}", </b>; rel=next'
    links = parse_links(value, "https://h/v1/orders?page=1")
    assert links["next"]["url"] == ("https://h/a" if is_ours else "https://h/b")
    assert ("https://h/a" in links) is not is_ours


def test_without_a_url_only_an_empty_anchor_is_ours() -> None:
    """The parser cannot know what another one means."""
    assert list(parse_links("</1>; rel=next; anchor=/x, </2>; rel=prev; anchor")) == ["/1", "prev"]


@given(
    st.one_of(st.text(), st.text(st.sampled_from('<>;,="\\ arel:[/?'))), st.sampled_from(["", "https://h/"])
)
def test_links_never_fail(value: str, base_url: str) -> None:
    """Malformed headers of a server raise nothing."""
    assert isinstance(parse_links(value, base_url), dict)


def test_links_are_parsed_in_linear_time() -> None:
    """A header of 100,000 characters takes no noticeable time; in quadratic time it would take minutes."""
    started = time.process_time()
    for value in (
        "<" * 100_000,
        "<>" + ";" * 100_000,
        '<>;a="' * 20_000,
        "<>;" + " " * 100_000,
        ", " * 50_000,
    ):
        parse_links(value)
    assert time.process_time() - started < 5.0
