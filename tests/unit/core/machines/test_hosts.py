"""Which of several base URLs comes next, and a URL under another of them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from http_service_client.core.machines.hosts import Hosts, choose_host
from http_service_client.http.urls import normalise_url
from kit.rows import each_row

COUNTS = st.integers(1, 4)


@each_row(
    ("tried", "able", "refused", "chosen"),
    [
        ([], "abc", "", "a"),
        ([], "bc", "", "b"),
        (["a"], "abc", "", "b"),
        (["b"], "abc", "", "a"),
        (["a", "b"], "abc", "", "c"),
        (["a", "b", "c"], "abc", "", "a"),
        (["a", "b", "c", "a"], "abc", "", "b"),
        (["a"], "a", "", "a"),
        (["a", "b"], "b", "", "b"),
        (["a", "b"], "", "", "a"),
        ([], "", "a", "b"),
        ([], "", "abc", None),
        (["a"], "abc", "bc", "a"),
    ],
)
def test_the_order_of_preference(tried: list[str], able: str, refused: str, chosen: str | None) -> None:
    """Untried hosts first, those that take requests before the others, and in their order."""
    found = choose_host(
        3, ["abc".index(name) for name in tried], lambda number: "abc"[number] in able, {*map("abc".index, refused)}
    )  # fmt: skip
    assert (None if found is None else "abc"[found]) == chosen


@given(st.data())
def test_whatever_happens_a_host_is_chosen_that_has_not_refused(data: st.DataObject) -> None:
    """An able one if there is any; an untried one if there is an able and untried one; never a third chance before a second."""
    count = data.draw(COUNTS)
    numbers = st.integers(0, count - 1)
    tried, refused = data.draw(st.lists(numbers, max_size=6)), data.draw(st.sets(numbers))
    able = data.draw(st.sets(numbers))
    found = choose_host(count, tried, able.__contains__, refused)
    left = set(range(count)) - refused
    if not left:
        assert found is None
        return
    assert found in left
    if able & left:
        assert found in able
    if able & left - set(tried):
        assert found == min(able & left - set(tried))


BASES = st.sampled_from(
    [
        "https://a.test",
        "https://a.test/",
        "https://a.test/v1",
        "https://a.test/v1/",
        "https://a.test:8443/v1/x",
    ]
)
RELATIVE = st.sampled_from(
    ["", "items", "/items", "?x=1", "items?x=1", "items/1/", "a%20b", "é/ü", "x/../y", "/"]
)


def test_a_query_needs_no_slash_before_it() -> None:
    """Neither base URL has one there."""
    hosts = Hosts(["https://a.test/v1/", "https://b.test/v2"])
    assert hosts.url_at("https://a.test/v1/?x=1", 1) == "https://b.test/v2?x=1"


@given(BASES, BASES, RELATIVE)
def test_a_url_at_another_host_is_that_of_the_other_base_url(first: str, other: str, relative: str) -> None:
    """As if the client had this base URL; but for a slash at the end, which no base URL of its own may add."""
    other = other.replace("a.test", "b.test")
    found = Hosts([first, other]).url_at(normalise_url(relative, None, first), 1)
    expected = normalise_url(relative, None, other)
    assert found.replace("/?", "?").rstrip("/") == expected.replace("/?", "?").rstrip("/")
    assert normalise_url(found) == found
    assert Hosts([first, other]).url_at(normalise_url(relative, None, first), 0) == normalise_url(
        relative, None, first
    )
