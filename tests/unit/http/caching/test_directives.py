"""Cache-Control as senders write it, errors included: a lifetime is rather too short than too long."""

from __future__ import annotations

import math

from http_service_client.http.caching.directives import parse_directives, seconds
from kit.rows import each_row


@each_row(
    ("value", "directives"),
    [
        ("max-age=60", {"max-age": "60"}),
        ("No-Store , PRIVATE", {"no-store": None, "private": None}),
        ('private="a, b", x="c\\"d"', {"private": "a, b", "x": 'c"d'}),
        ('ext="max-age=60", max-age=1', {"ext": "max-age=60", "max-age": "1"}),
        (", ,,", {}),
        ("", {}),
        ('x=1, a="b, c"', {"x": "1", "a": "b, c"}),
        ("=60, max-age", {"max-age": None}),
        ('max-age="60', {"max-age": '"60'}),
        ('a="b, c", d="e, no-store', {"a": "b, c", "d": '"e', "no-store": None}),
        ('a="b\\", private', {"a": "b\\", "private": None}),
        ("a=b=c", {"a": "b=c"}),
        ("a =b, c= d, e=\tf", {"a": "", "c": "", "e": ""}),
        # Of several, the one that gives the fewest seconds; of equal ones the first.
        ("a=0, a=x", {"a": "0"}),
        ("a=x, a=0", {"a": "x"}),
        ("a=0, a=1", {"a": "0"}),
        ("a=1, a=0", {"a": "0"}),
        ("a=2, a=1, a=3", {"a": "1"}),
        ("a=1, a", {"a": None}),
        ('a="', {"a": '"'}),
        ('a=""', {"a": ""}),
    ],
)
def test_directives_are_read(value: str, directives: dict[str, str | None]) -> None:
    """Names in lower case, arguments without their quotes."""
    assert parse_directives([value]) == directives


@each_row(
    ("values", "expected"),
    [
        (["max-age=60"], 60.0),
        (["max-age=0060"], 60.0),
        (["max-age=2000000000"], 2e9),
        (["max-age=2147483649"], 2.0**31),
        (['max-age="60"'], 60.0),
        (["max-age=99999999999999999999"], 2.0**31),
        (["max-age=60", "max-age=30"], 30.0),
        (["max-age=30, max-age=60"], 30.0),
        (["max-age=60, max-age=x"], 0.0),
        *(
            (["max-age" + wrong], 0.0)
            for wrong in ("", "=", "=-1", "=1.5", "=x", " =60", "= 60", "=6 0", "=٣", '="60')
        ),
        (["s-maxage=60"], None),
    ],
)
def test_seconds_of_a_lifetime(values: list[str], expected: float | None) -> None:
    """The shorter of two; none at all if it is malformed; at most what RFC 9111, 1.2.2 asks for."""
    assert seconds(parse_directives(values), "max-age") == expected


def test_an_allowance_may_have_no_limit() -> None:
    """max-stale without an argument (RFC 9111, 5.2.1.2)."""
    assert seconds(parse_directives(["max-stale"]), "max-stale", unlimited=True) == math.inf
    assert seconds(parse_directives(["max-stale=5"]), "max-stale", unlimited=True) == 5.0
