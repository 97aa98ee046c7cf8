"""What responses say is left of a quota, in all the ways in which services say it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from http_service_client.http.fields.rate_limits import ReportedQuota, read_quotas
from http_service_client.http.headers import Headers
from kit.rows import each_row

NOW = 1_704_067_200.0  # 2024-01-01 00:00 UTC
DATE = {"Date": "Mon, 01 Jan 2024 00:00:30 GMT"}


def x(remaining: str, reset: str, limit: str | None = None, **more: str) -> dict[str, str]:
    found = {"X-RateLimit-Remaining": remaining, "X-RateLimit-Reset": reset}
    return {**found, **({} if limit is None else {"X-RateLimit-Limit": limit}), **more}


@each_row(
    ("headers", "expected"),
    [
        ({"RateLimit": '"default";r=50;t=30'}, [("default", 50, 30.0, None)]),
        (
            {"RateLimit": '"default";r=50;t=30', "RateLimit-Policy": '"default";q=100;w=60'},
            [("default", 50, 30.0, 100)],
        ),
        ({"RateLimit": '"a";r=50', "RateLimit-Policy": '"a";q=100;w=60'}, [("a", 50, 60.0, 100)]),
        (
            {"RateLimit": '"burst";r=5;t=1, "daily";r=900;t=80000'},
            [("burst", 5, 1.0, None), ("daily", 900, 3600.0, None)],
        ),
        (
            {"RateLimit": '"a";r=5;t=1, "b";r=9;t=2', "RateLimit-Policy": '"a";q=9;qu="content-bytes", "b";q=10'},
            [("b", 9, 2.0, 10)],
        ),
        ({"RateLimit": 'a;r=5;t=1, "b";r=9;t=2, 7;r=1;t=1, "c";r=3;t=4'}, [("b", 9, 2.0, None), ("c", 3, 4.0, None)]),
        ({"RateLimit": '"a";r=5;t=1;pk=:cHM=:;x-own'}, [("a 7073", 5, 1.0, None)]),
        (x("7", "3", **{"X-RateLimit-Resource": "search"}), [("x-ratelimit-remaining search", 7, 3.0, None)]),
        ({"RateLimit": "limit=100, remaining=50, reset=30"}, [("default", 50, 30.0, 100)]),
        ({"RateLimit-Remaining": "7", "RateLimit-Reset": "3"}, [("ratelimit-remaining", 7, 3.0, None)]),
        (x("7", "3", "10, 10;w=1"), [("x-ratelimit-remaining", 7, 3.0, 10)]),
        (x("7", "3", "X10"), [("x-ratelimit-remaining", 7, 3.0, None)]),
        (x("0", "1704067210"), [("x-ratelimit-remaining", 0, 10.0, None)]),
        (x("0", "1704067210", Date=f"X{DATE['Date']}"), [("x-ratelimit-remaining", 0, 10.0, None)]),
        (x("0", "1704067210", **DATE), [("x-ratelimit-remaining", 0, 0.0, None)]),
        (x("0", "1704067240", **DATE), [("x-ratelimit-remaining", 0, 10.0, None)]),
        (x("0", "1704067210500"), [("x-ratelimit-remaining", 0, 10.5, None)]),
        (x("0", "0.25"), [("x-ratelimit-remaining", 0, 0.25, None)]),
        (x("0", "1700000000"), [("x-ratelimit-remaining", 0, 0.0, None)]),
        (x("0", "6m0s"), [("x-ratelimit-remaining", 0, 360.0, None)]),
        (x("0", "1h2m3.5s"), [("x-ratelimit-remaining", 0, 3600.0, None)]),
        (x("0", "20ms"), [("x-ratelimit-remaining", 0, 0.02, None)]),
        (
            {"x-ratelimit-remaining-requests": "59", "x-ratelimit-reset-requests": "1s", "x-ratelimit-limit-requests": "60"},
            [("x-ratelimit-remaining-requests", 59, 1.0, 60)],
        ),
        ({"X-Rate-Limit-Remaining": "3", "X-Rate-Limit-Reset": "2"}, [("x-rate-limit-remaining", 3, 2.0, None)]),
        ({"RateLimit": '"a";r=1;t=5', **x("9", "9")}, [("a", 1, 5.0, None)]),
        ({"RateLimit": '"a";r=0;t=0', "Age": " 0"}, [("a", 0, 0.0, None)]),
        ({"RateLimit": '"a";r=5;t=1;pk="ps"'}, [("a", 5, 1.0, None)]),
        ({"RateLimit": '"a";r=5;t=1', "RateLimit-Policy": 'a;q=9, "a";q=8;qu="requests", 7;q=1'}, [("a", 5, 1.0, 8)]),
        ({"RateLimit": '"a";r=5;t=1', "RateLimit-Policy": "a;q=9"}, [("a", 5, 1.0, None)]),
        ({"RateLimit": '"a";r=5;t=1', "RateLimit-Policy": '"a";q=9,'}, [("a", 5, 1.0, None)]),  # half of a list
        ({"RateLimit-Reset": "1", **x("7", "3")}, [("x-ratelimit-remaining", 7, 3.0, None)]),
        ({"RateLimit-Remaining": "1", **x("7", "3")}, [("x-ratelimit-remaining", 7, 3.0, None)]),
        (x("0", "1h"), [("x-ratelimit-remaining", 0, 3600.0, None)]),
        (x("0", "1s500ms"), [("x-ratelimit-remaining", 0, 1.5, None)]),
        (x("0", "99999999"), [("x-ratelimit-remaining", 0, 3600.0, None)]),
        (x("0", "100000000"), [("x-ratelimit-remaining", 0, 0.0, None)]),
        (x("0", "100000000000"), [("x-ratelimit-remaining", 0, 3600.0, None)]),
        (x("0", "150000000000"), [("x-ratelimit-remaining", 0, 0.0, None)]),
    ],
)  # fmt: skip
def test_what_is_left_and_until_when(
    headers: dict[str, str], expected: list[tuple[str, int, float, int | None]]
) -> None:
    """Of each quota of requests."""
    assert read_quotas(Headers(headers), NOW) == [ReportedQuota(*each) for each in expected]


@pytest.mark.parametrize(
    "form", ["RateLimit-{}", "X-RateLimit-{}", "X-Rate-Limit-{}", "x-ratelimit-{}-requests"]
)
def test_each_custom_has_three_fields(form: str) -> None:
    """Those of one custom belong together."""
    fields = {form.format("Remaining"): "7", form.format("Reset"): "3", form.format("Limit"): "9"}
    name = form.format("remaining").lower()
    assert read_quotas(Headers(fields), NOW) == [ReportedQuota(name, 7, 3.0, 9)]


def test_a_name_has_200_characters_at_most() -> None:
    """It is kept with its numbers, and a service chose it."""
    named = {"RateLimit": f'"{"n" * 201}";r=1;t=1'}
    of_resource = x("1", "1", **{"X-RateLimit-Resource": "n" * 200})
    assert [read_quotas(Headers(each), NOW)[0].name for each in (named, of_resource)] == [
        "n" * 200,
        "x-ratelimit-remaining " + "n" * 178,
    ]


@each_row(
    "headers",
    [
        {},
        {"X-RateLimit-Reset": "3"},
        {"X-RateLimit-Remaining": "3"},
        {"RateLimit": '"a";r=50;t=30', "Retry-After": "5"},
        {"RateLimit": '"a";r=50;t=30', "retry-after-ms": "500"},
        {"RateLimit": '"a";r=50;t=30', "Age": "3"},
        {"RateLimit": '"a";r=50'},
        {"RateLimit": '"a";t=50'},
        {"RateLimit": '"a";r=-1;t=5'},
        {"RateLimit": '"a";r=1.5;t=5'},
        {"RateLimit": '"a";r="1";t=5'},
        {"RateLimit": '"a";r;t=5'},
        {"RateLimit": "a;r=1;t=5"},
        {"RateLimit": '("a");r=1;t=5'},
        {"RateLimit": '"a";r=1;t=5,'},
        {"RateLimit": '"a";r=1;t=5', "RateLimit-Policy": '"a";q=5;qu="concurrent-requests"'},
        x("many", "5"),
        x("X5", "5"),
        x("5", "X5"),
        {"RateLimit": "Xlimit=100, remaining=50, reset=30"},
        {"RateLimit": '"a";r=50;t=30', "Age": "X0"},
        x("-1", "5"),
        x("1", "soon"),
        x("1", ""),
        x("1", "-5"),
        x("1", "nan"),
        {"X-RateLimit-Remaining": "5"},
        {"X-RateLimit-Reset": "5"},
    ],
)
def test_what_is_malformed_or_does_not_count_is_ignored(headers: dict[str, str]) -> None:
    """Retry-After takes precedence, and a response from a cache has old numbers."""
    assert read_quotas(Headers(headers), NOW) == []


def test_several_lines_of_one_field_are_one_list() -> None:
    """RFC 9651, 3.1. The last item of a repeated name counts, and no more than 16 do."""
    headers = Headers([("RateLimit", '"a";r=1;t=2'), ("RateLimit", '"b";r=3;t=4, "a";r=5;t=6')])
    assert [quota[:3] for quota in read_quotas(headers, NOW)] == [("a", 5, 6.0), ("b", 3, 4.0)]
    many = ", ".join(f'"{number}";r=1;t=1' for number in range(40))
    assert len(read_quotas(Headers({"RateLimit": many}), NOW)) == 16


TEXT = st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126), max_size=30)


@given(
    st.dictionaries(st.sampled_from(["RateLimit", "RateLimit-Policy", *x("", "", ""), "Date", "Age"]), TEXT)
)
def test_nothing_is_raised_and_no_number_is_wild(headers: dict[str, str]) -> None:
    """Whatever a service sends."""
    for quota in read_quotas(Headers(headers), NOW):
        assert 0 <= quota.remaining < 10**15
        assert 0 <= quota.reset <= 3600
