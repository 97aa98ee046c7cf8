"""Resumed downloads: never half of one file and half of another."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from http_service_client.http.bodies.ranges import (
    IDENTITY,
    Complete,
    ContentRange,
    Continue,
    Refuse,
    Restart,
    Validators,
    is_part,
    judge_response,
    parse_content_range,
    resume_headers,
)
from http_service_client.http.headers import Headers
from kit.rows import each_row

TAG = '"v1"'
OLD = "Sun, 06 Nov 1994 08:49:37 GMT"
DATE = "Sun, 06 Nov 1994 08:50:37 GMT"  # 60 seconds later


@each_row(
    ("etag", "last_modified", "date", "validator"),
    [
        (TAG, None, None, TAG),
        (TAG, OLD, DATE, TAG),
        ('""', None, None, '""'),
        ('"\xe9"', None, None, '"\xe9"'),
        ('W/"v1"', None, None, None),
        ('W/"v1"', OLD, DATE, OLD),
        ("v1", None, None, None),
        ('"v 1"', None, None, None),
        ('"a", "b"', None, None, None),
        ("", None, None, None),
        (None, None, None, None),
        (None, OLD, DATE, OLD),
        (None, OLD, None, None),
        (None, None, DATE, None),
        (None, OLD, OLD, None),
        (None, OLD, "Sun, 06 Nov 1994 08:50:36 GMT", None),
        (None, OLD, "Sun, 06 Nov 1994 08:49:38 GMT", None),
        (None, DATE, OLD, None),
        (None, OLD, "Mon, 07 Nov 1994 00:00:00 GMT", OLD),
        (None, OLD, "Sunday, 06-Nov-94 08:50:37 GMT", None),
        (None, "Sun, 31 Feb 1994 08:49:37 GMT", DATE, None),
        (None, "Sun, 06 Növ 1994 08:49:37 GMT", DATE, None),
        (None, "Sun, 06 Xxx 1994 08:49:37 GMT", DATE, None),
        (None, "Sun, 06 Nov 0000 08:49:37 GMT", DATE, None),
        (None, "yesterday", "today", None),
    ],
)
def test_only_a_strong_validator_resumes(
    etag: str | None, last_modified: str | None, date: str | None, validator: str | None
) -> None:
    """RFC 9110 8.8.2.2, 8.8.3, 13.1.5."""
    expected = {"Accept-Encoding": "identity", "Range": "bytes=100-", "If-Range": validator}
    assert resume_headers(100, etag, last_modified, date) == (expected if validator else None)


def test_nothing_received_is_nothing_to_resume() -> None:
    """The first request asks for identity and has no range."""
    assert resume_headers(0, TAG, None, None) is None
    assert resume_headers(-1, TAG, None, None) is None
    assert resume_headers(1, TAG, None, None) == {**IDENTITY, "Range": "bytes=1-", "If-Range": TAG}


@each_row(
    ("value", "found"),
    [
        ("bytes 0-9/10", ContentRange(0, 9, 10)),
        ("bytes 5-9/*", ContentRange(5, 9, None)),
        ("bytes */10", ContentRange(None, None, 10)),
        ("Bytes  5-9/10 ", ContentRange(5, 9, 10)),
        ("bytes 9-9/10", ContentRange(9, 9, 10)),
        (None, None),
        ("", None),
        ("bytes */*", None),
        ("bytes 9-8/10", None),
        ("bytes 0-10/10", None),
        ("bytes 0-9/0", None),
        ("bytes=0-9/10", None),
        ("bytes 0-9", None),
        ("bytes -9/10", None),
        ("bytes 0-/10", None),
        ("bytes 0 - 9/10", None),
        ("bytes 0-9/10, bytes 0-9/10", None),
        ("bytes 0-9/10X", None),
        ("items 0-9/10", None),
        ("bytes \u0661-\u0669/*", None),  # Arabic digits, which int() would read
        (f"bytes 0-{'9' * 5000}/*", None),
    ],
)
def test_a_content_range_is_parsed(value: str | None, found: ContentRange | None) -> None:
    """RFC 9110 14.4; an invalid one is None."""
    assert parse_content_range(value) == found


@given(st.one_of(st.text(), st.from_regex(r"bytes [0-9]{0,20}-?[0-9]{0,20}/?[0-9*]{0,20}")))
def test_a_content_range_never_fails(value: str) -> None:
    """A parsed range is a valid one."""
    found = parse_content_range(value)
    if found is not None and found.first is not None:
        assert found.last is not None
        assert 0 <= found.first <= found.last
        assert found.total is None or found.last < found.total


PART = {"Content-Range": "bytes 100-299/300"}


@each_row(
    ("status", "headers", "judgement"),
    [
        (206, PART, Continue(100, 300, 200)),
        (206, {**PART, "Content-Length": "200"}, Continue(100, 300, 200)),
        (206, {**PART, "ETag": TAG}, Continue(100, 300, 200)),
        (206, {**PART, "ETag": 'W/"v1"'}, Continue(100, 300, 200)),
        (206, {**PART, "ETag": TAG, "Last-Modified": DATE}, Continue(100, 300, 200)),
        (206, {**PART, "Last-Modified": OLD}, Continue(100, 300, 200)),
        (206, {**PART, "Content-Encoding": "identity"}, Continue(100, 300, 200)),
        (206, {"Content-Range": "bytes 100-199/300"}, Continue(100, 300, 100)),
        (206, {"Content-Range": "bytes 100-299/*"}, Continue(100, 300, 200)),
        (206, {"Content-Range": "bytes 0-299/300"}, Continue(0, 300, 300)),
        (206, {"Content-Range": "bytes 99-100/300"}, Continue(99, 300, 2)),
        # Another version: a new request gets the whole file.
        (206, {**PART, "ETag": '"v2"'}, Restart(False)),
        (206, {**PART, "ETag": 'W/"v2"'}, Restart(False)),
        (206, {**PART, "Last-Modified": DATE}, Restart(False)),
        (206, {"Content-Range": "bytes 100-300/301"}, Restart(False)),
        (206, {"Content-Range": "bytes 100-199/200"}, Restart(False)),
        # The body of a 200 is the whole file, of any version.
        (200, {}, Restart(True)),
        (200, {"ETag": TAG}, Restart(True)),
        (200, {"ETag": '"v2"', "Content-Encoding": "gzip"}, Restart(True)),
        (416, {}, Restart(False)),
        (416, {"Content-Range": "bytes */50"}, Restart(False)),
        (416, {"Content-Range": "bytes */300"}, Restart(False)),
        (416, {"Content-Range": "bytes */100"}, Restart(False)),
        (416, {"Content-Range": "nonsense"}, Restart(False)),
    ],
)
def test_a_response_is_judged(
    status: int, headers: dict[str, str], judgement: Continue | Restart | Complete
) -> None:
    """After 100 of 300 bytes."""
    validators = Validators(TAG, OLD, DATE, 300)
    assert judge_response(status, Headers(headers), 100, validators) == judgement


@each_row(
    ("status", "headers", "reason"),
    [
        (206, {}, "without a valid Content-Range"),
        (206, {"Content-Range": "items 100-299/300"}, "without a valid Content-Range"),
        (206, {"Content-Range": "bytes */300"}, "without a valid Content-Range"),
        (206, {"Content-Range": "bytes 101-299/300"}, "after a gap"),
        (206, {"Content-Range": "bytes 0-99/300"}, "ends at byte 99, but byte 100"),
        (206, {**PART, "Content-Length": "201"}, "does not match its Content-Range"),
        (206, {**PART, "Content-Encoding": "gzip"}, "Content-Encoding"),
        (206, {**PART, "Content-Type": "Multipart/Byteranges; boundary=x"}, "several parts"),
        (204, {}, "status 204"),
        (304, {}, "status 304"),
        (412, {}, "status 412"),
        (503, PART, "status 503"),
    ],
)
def test_a_response_that_cannot_be_used_is_refused(status: int, headers: dict[str, str], reason: str) -> None:
    """The judgement has the reason."""
    judgement = judge_response(status, Headers(headers), 100, Validators(TAG, total=300))
    assert isinstance(judgement, Refuse)
    assert reason in judgement.reason


def test_a_file_of_the_whole_length_is_complete() -> None:
    """A 416 shows it where the length was unknown, unless it is of another version."""
    response = Headers({"Content-Range": "bytes */100", "ETag": TAG})
    assert judge_response(416, response, 100, Validators(TAG)) == Complete(100)
    assert judge_response(416, response, 100, Validators(TAG, total=100)) == Complete(100)
    assert judge_response(416, response, 100, Validators('"v0"')) == Restart(False)
    assert judge_response(416, response, 99, Validators(TAG)) == Restart(False)
    assert judge_response(416, Headers({"Content-Range": "bytes */0"}), 0, Validators(TAG)) == Restart(False)
    assert judge_response(416, Headers({"Content-Range": "bytes */1"}), 1, Validators(TAG)) == Complete(1)
    part = Headers({"Content-Range": "bytes 0-99/100"})  # of an unsatisfied range there is none
    assert judge_response(416, part, 100, Validators(TAG)) == Restart(False)


@pytest.mark.parametrize("old", [TAG, f"W/{TAG}"])
@pytest.mark.parametrize("new", [TAG, f"W/{TAG}"])
def test_a_tag_that_a_proxy_made_weak_is_the_same(old: str, new: str) -> None:
    """In either response."""
    response = Headers({**PART, "ETag": new})
    assert judge_response(206, response, 100, Validators(old)) == Continue(100, 300, 200)


def test_validators_are_those_of_a_response() -> None:
    """An encoded response has none: its bytes are not those of the file."""
    response = Headers({"ETag": TAG, "Last-Modified": OLD, "Date": DATE})
    assert Validators.of(response, 300) == Validators(TAG, OLD, DATE, 300)
    response["Content-Encoding"] = "gzip"
    assert Validators.of(response, 300) == Validators()
    assert resume_headers(100, *Validators()[:3]) is None


@given(
    st.integers(0, 999),
    st.dictionaries(
        st.sampled_from(["Content-Range", "Content-Length", "Content-Type", "ETag", "Last-Modified"]),
        st.one_of(st.text(), st.sampled_from(["bytes 1-9/10", "bytes */10", TAG, OLD])),
    ),
    st.integers(0, 20),
    st.builds(
        Validators, st.none() | st.text(), st.none() | st.text(), st.none(), st.none() | st.integers(0, 20)
    ),
)
@example(206, {"Content-Range": "bytes 1-9/10"}, 1, Validators())
def test_no_response_leaves_a_gap(
    status: int, headers: dict[str, str], received: int, validators: Validators
) -> None:
    """Whatever the server sends: a continued part joins the received bytes and adds to them; nothing raises."""
    judgement = judge_response(status, Headers(headers), received, validators)
    if isinstance(judgement, Continue):
        assert status == 206
        assert 0 <= judgement.offset <= received < judgement.offset + judgement.length
    if isinstance(judgement, Complete):
        assert judgement.total == received > 0


@each_row(
    ("content_range", "expected"),
    [
        ("bytes 0-9/10", False),
        ("bytes 1-9/10", True),
        ("bytes 0-8/10", True),
        ("bytes 0-9/*", True),
        ("bytes */10", True),
        ("", True),  # several parts
    ],
)
def test_a_part_is_told_from_the_whole(content_range: str, expected: bool) -> None:
    """By what the response says of itself; what it does not say may be missing."""
    assert is_part(Headers({"Content-Range": content_range} if content_range else {})) is expected
