"""A response that breaks a rule: which one, at which byte, and what the error shows."""

from __future__ import annotations

import pickle
from collections.abc import Callable

import pytest

from http_service_client import ProtocolError
from http_service_client.core.timeouts import Timeout
from http_service_client.errors import Failure
from http_service_client.http.http1.errors import NotHttpError
from http_service_client.http.http1.faults import (
    Fault,
    equal_lengths,
    excerpt,
    fault_in_chunk_line,
    fault_in_field,
    fault_in_status_line,
    may_frame,
)
from http_service_client.http.http1.framing import ParserSettings
from http_service_client.http.http1.response_parser import ResponseParser
from http_service_client.http.http1.rules import RULES, TOLERABLE
from http_service_client.http.request import HttpRequest
from http_service_client.transports.failures import Phase, failure_of
from kit.rows import each_row
from wire.responses import table_bodies, table_connections, table_heads
from wire.responses.rows import Rejected, Row

TABLES = [
    *(table_heads.STATUS_LINES, table_heads.FIELDS, table_bodies.LENGTHS, table_bodies.CHUNKS),
    *(table_bodies.BODILESS, table_bodies.TRUNCATIONS, table_connections.INTERIM, table_connections.SURPLUS),
]
BROKEN = [row for table in TABLES for row in table if isinstance(row.outcome, Rejected) and row.outcome.rule]
BROKEN = [row for row in BROKEN if len(b"".join(row.pieces)) < 1000]


def test_what_may_be_tolerated_has_one_way_to_go_on() -> None:
    """Never what ends the response or makes header fields in two readings."""
    assert TOLERABLE == (
        "unknown-version",
        "missing-colon",
        "space-before-colon",
        "invalid-header-name",
        "space-before-first-header",
        "nul-in-value",
        "repeated-content-length",
        "bare-lf-in-chunks",
    )


def fault_of(pieces: list[bytes], method: str, closes: bool) -> tuple[object, ...]:
    """The rule, the offset and the excerpt."""
    parser = ResponseParser()
    parser.begin(method)
    try:
        for piece in [*filter(None, pieces), *([b""] if closes else [])]:
            parser.feed(piece)
            if parser.read_head() is not None:
                while parser.read_body():
                    pass
    except NotHttpError as error:
        return (error.rule and error.rule.name, error.offset, error.excerpt)
    raise AssertionError("the response is accepted, or the parser waits")


@each_row("row", BROKEN, ids=repr)
def test_the_fault_is_the_same_wherever_the_bytes_are_cut(row: Row) -> None:
    """At every byte, and at all bytes at once; an unfinished line is refused without its end."""
    data = b"".join(row.pieces)
    whole = fault_of([data], row.method, row.closes)
    assert isinstance(row.outcome, Rejected)
    assert whole[:2] == (row.outcome.rule, row.outcome.at)
    for cut in range(1, len(data)):
        assert fault_of([data[:cut], data[cut:]], row.method, row.closes) == whole, cut
    assert fault_of([data[at : at + 1] for at in range(len(data))], row.method, row.closes) == whole


@each_row(
    ("find", "line", "shown"),
    [
        (fault_in_status_line, b"HTTP/1.1 20 OK\r\n", "'HTTP/1.1 20 '"),
        (fault_in_field, b"X(: a\r\n", "'X('"),
        (fault_in_field, b"X-Token: secret\0more\r\n", "'X-Token:...\\x00'"),
        (fault_in_field, b"Set-Cookie: secret\rmore\r\n", "'Set-Cookie:...\\r'"),
        (fault_in_field, b"X" * 99 + b" : secret\r\n", f"'...{'X' * 58} :'"),
        (fault_in_field, b"Transfer-Encoding: rot13\r\n", "'Transfer-Encoding: rot13'"),
        (fault_in_field, b"Content-Length: 2, 2\r\n", "'Content-Length: 2,'"),
        (fault_in_chunk_line, b"\x1b[2J\r\n", r"'\x1b'"),
        (fault_in_field, b"dGhpcyBpcyBhIHNlY3JldA==\r\n", "'...='"),
        (fault_in_field, b"hunter2\r\n", "'...'"),
        (fault_in_field, b"garbage\r\n", "'garbage'"),
        (fault_in_field, b"hunter2\rX\r\n", "'...\\r'"),
        (fault_in_field, b"Xgarbage\rmore\r\n", "'Xgarbage\\r'"),
        (fault_in_field, b" a\r\n", "' '"),
    ],
)
def test_the_excerpt_shows_the_fault_and_no_secret(
    find: Callable[..., object], line: bytes, shown: str
) -> None:
    """The bytes up to the fault: escaped, short, and without the value of any header that does not frame the body."""
    fault = find(line, [], False) if find is fault_in_field else find(line)
    assert excerpt(line, fault) == shown  # type: ignore[arg-type]  # it has a fault


@each_row(
    ("line", "rule", "at"),
    [
        (b"SSH-2.0\r\n", "not-http", 0),
        (b"HTTPS/1.1 200 OK\r\n", "not-http", 4),
        (b"http/1.1 200 OK\r\n", "unknown-version", 0),
        (b"HTTP/3.0 200 OK\r\n", "unknown-version", 5),
        (b"HTTP/1.2 200 OK\r\n", "unknown-version", 7),
        (b"HTTP/1.1X200 OK\r\n", "unknown-version", 8),
        (b"HTTP/1.1 099 OK\r\n", "invalid-status", 9),
        (b"HTTP/1.1 2x0 OK\r\n", "invalid-status", 10),
        (b"HTTP/1.1 20x OK\r\n", "invalid-status", 11),
        (b"HTTP/1.1 200X\r\n", "invalid-status", 12),
        (b"HTTP/1.1 200\rX\r\n", "bare-cr", 12),
        (b"HTTP/1.1 200 \rX\r\n", "bare-cr", 13),
        (b"HTTP/1.1 200 OK\rX\r\n", "bare-cr", 15),
    ],
)
def test_a_status_line_is_judged_by_the_part_that_its_fault_is_in(line: bytes, rule: str, at: int) -> None:
    """The name, the version, the status or the end, up to its first and last byte."""
    fault = fault_in_status_line(line)
    assert fault is not None
    assert (fault.rule.name, fault.start if rule == "bare-cr" else fault.end - 1) == (rule, at)


@pytest.mark.parametrize("line", [b"Content-Length: 2\r\n", b"transfer-encoding: chunked\r\n"])
def test_no_trailer_frames_the_body(line: bytes) -> None:
    """The name alone is the fault."""
    fault = fault_in_field(line, [], True)
    assert fault == Fault(RULES["framing-in-trailers"], 0, line.index(b":") + 1)


@each_row(
    ("find", "line", "rule", "start", "end"),
    [
        (fault_in_field, b"X\rY: a\r\n", "bare-cr", 1, 2),
        (fault_in_field, b"X\x0eY: a\r\n", "invalid-header-name", 1, 2),
        (fault_in_field, b"X\x0cY: a\r\n", "invalid-header-name", 1, 2),
        (fault_in_field, b"garbage\n", "missing-colon", 0, 7),
        (fault_in_field, b" a\r\n", "space-before-first-header", 0, 1),
        (fault_in_field, b"X:\0a\r\n", "nul-in-value", 2, 3),
        (fault_in_field, b"Content-Length: 2\rX\r\n", "bare-cr", 17, 18),
        (fault_in_field, b"Content-Length: ,2\r\n", "invalid-content-length", 16, 17),
        (fault_in_field, b"Content-Length: 2,2\r\n", "repeated-content-length", 17, 18),
        (fault_in_field, b"Transfer-Encoding: chunkedX\r\n", "unknown-transfer-encoding", 18, 27),
        (fault_in_chunk_line, b"\x1b\r\n", "invalid-chunk-size", 0, 1),
        (fault_in_chunk_line, b"2\rX", "bare-cr", 1, 2),
        (fault_in_chunk_line, b"2\n", "bare-lf-in-chunks", 1, 2),
        (fault_in_chunk_line, b"2x\r\n", "invalid-chunk-size", 1, 2),
        (fault_in_chunk_line, b"2;a=\x01\r\n", "invalid-chunk-extension", 4, 5),
    ],
)
def test_a_fault_begins_and_ends_at_its_bytes(
    find: Callable[..., object], line: bytes, rule: str, start: int, end: int
) -> None:
    """In a header line, and in the line of a chunk."""
    fault = find(line, [], False) if find is fault_in_field else find(line)
    assert fault == Fault(RULES[rule], start, end)


@pytest.mark.parametrize(
    ("find", "lines"),
    [
        (fault_in_field, [b"\r", b"\r\n", b"\n", b"X", b"X:", b"X: a\r", b"X: a:b\t\r\n", b"X: a\n"]),
        (fault_in_chunk_line, [b"2", b"2\r", b"2\r\n", b"2;a=b\r\n", b'2;a="', b"0\r\n"]),
    ],
)
def test_a_line_that_is_valid_so_far_has_no_fault(find: Callable[..., object], lines: list[bytes]) -> None:
    """Complete or not; an empty one ends the head."""
    for line in lines:
        assert (find(line, [], False) if find is fault_in_field else find(line)) is None


@pytest.mark.parametrize(
    ("before", "rule"),
    [
        ([(b"X", b"a"), (b"Content-Length", b"2")], "folded-framing-header"),
        ([(b"X", b"a"), (b"Transfer-encoding", b"chunked")], "folded-framing-header"),
        ([(b"Content-Length", b"2"), (b"X", b"a")], None),
    ],
)
def test_a_folded_line_goes_on_with_the_last_field(
    before: list[tuple[bytes, bytes]], rule: str | None
) -> None:
    """Which must not frame the body."""
    fault = fault_in_field(b" a\r\n", before, False)
    assert fault == (None if rule is None else Fault(RULES[rule], 0, 1))


@pytest.mark.parametrize(
    ("line", "is_risky"),
    [
        (b"Con tent-Length 5: 2\r\n", True),
        (b"Transfer-Encoding\r\n", True),
        (b"Con: tent-length\r\n", False),
        (b"X-Content-Length: 2\r\n", False),
    ],
)
def test_a_malformed_line_that_may_frame_is_known_by_the_letters_of_its_name(
    line: bytes, is_risky: bool
) -> None:
    """What stands behind the colon does not count."""
    assert may_frame(line) is is_risky


@each_row(
    ("value", "before", "length"),
    [
        (b"2, 2", [], b"2"),
        (b"2 \t, 02", [], b"2"),
        (b"2", [(b"X", b"3"), (b"content-length", b"2")], b"2"),
        (b"2", [(b"Content-Length", b"3")], None),
        (b"2, 3", [], None),
        (b"2X", [], None),
        (b"", [], None),
    ],
)
def test_equal_lengths_are_one(value: bytes, before: list[tuple[bytes, bytes]], length: bytes | None) -> None:
    """As numbers, in one line and in those before it."""
    assert equal_lengths(b"Content-Length: " + value + b"\r\n", before) == length


def test_the_excerpt_of_a_folded_line_shows_no_value() -> None:
    """The line is part of a value, also where a colon is in it."""
    for line in (b" secret\0more\r\n", b" secret:more\0\r\n", b"\tuser:secret:\0\r\n"):
        fault = fault_in_field(line, [(b"Set-Cookie", b"a=b")], False)
        assert fault is not None
        assert excerpt(line, fault) == r"'...\x00'"


def test_names_of_rules_are_unique_and_say_where_they_are_stated() -> None:
    """They are part of the interface."""
    assert all(name == rule.name and rule.section.startswith("RFC 9") for name, rule in RULES.items())


def failure(error: NotHttpError) -> Failure:
    return failure_of(Phase.RECEIVE, error, HttpRequest("GET", "http://h/"), Timeout(), timed_out=False)


def test_a_protocol_error_with_its_rule_can_be_pickled() -> None:
    """All of its attributes arrive."""
    failed = failure(NotHttpError(RULES["bare-cr"], 20, "'X:...\\r'"))
    error = ProtocolError(failed.message, sent_state=failed.sent_state, **failed.details)
    copy = pickle.loads(pickle.dumps(error))
    assert (copy.rule, copy.section, copy.offset, copy.excerpt) == (
        "bare-cr",
        "RFC 9112, 2.2",
        20,
        "'X:...\\r'",
    )
    assert str(copy) == (
        "the response from http://h/ is not valid HTTP: a CR is not followed by LF "
        "(bare-cr; RFC 9112, 2.2) at byte 20: 'X:...\\r'"
    )


def test_a_fault_that_a_library_found_has_no_rule() -> None:
    """The message has the library's words."""
    failed = failure(NotHttpError(detail="Bad status line"))
    assert failed.message == "the response from http://h/ is not valid HTTP: Bad status line"
    assert ProtocolError(failed.message, **failed.details).rule is None


def test_a_fault_in_the_trailers_of_a_refused_tunnel_is_named() -> None:
    """A proxy's refusal has a body like any other response."""
    parser = ResponseParser()
    parser.begin("CONNECT")
    parser.feed(b"HTTP/1.1 407 No\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n(a): " + b"x" * 100_000)
    assert parser.read_head() is not None
    with pytest.raises(NotHttpError) as caught:
        parser.read_body()
    assert caught.value.rule is RULES["invalid-header-name"]


@pytest.mark.parametrize("name", [b"X(a)", b"(a)"])
def test_a_line_behind_one_that_was_skipped_is_judged(name: bytes) -> None:
    """Only white space would make it a part of that one."""
    parser = ResponseParser(ParserSettings(tolerated=frozenset({"missing-colon"})))
    parser.begin("GET")
    parser.feed(b"HTTP/1.1 200 OK\r\nno colon\r\n" + name + b": " + b"x" * 100_000)
    with pytest.raises(NotHttpError) as caught:
        parser.read_head()
    assert caught.value.rule is RULES["invalid-header-name"]
