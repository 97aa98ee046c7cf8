"""Random responses, cut at random: the same response or the same fault, whatever is tolerated."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from http_service_client.http.http1.errors import NotHttpError
from http_service_client.http.http1.framing import ParserSettings
from http_service_client.http.http1.response_parser import ResponseParser
from http_service_client.http.http1.rules import TOLERABLE
from wire.responses.test_random_responses import RESPONSES, mutated
from wire.responses.test_tolerated_faults import REFUSED, TOLERATED

SOURCES = [*RESPONSES, *(row[1] for row in TOLERATED.values()), *(row[1] for row in REFUSED.values())]


def outcome(pieces: list[bytes], method: str, tolerated: frozenset[str]) -> tuple[object, ...]:
    """What the parser makes of the pieces, after which the connection ends."""
    parser = ResponseParser(ParserSettings(fields=20, size=300, tolerated=tolerated))
    parser.begin(method)
    body = b""
    try:
        for piece in [*filter(None, pieces), b""]:
            if parser.is_complete:
                break
            parser.feed(piece)
            while parser.read_head() is not None and (part := parser.read_body()):
                body += part
    except NotHttpError as error:
        return (error.rule, error.offset, error.excerpt)
    except ConnectionResetError:
        return ("lost",)
    assert parser.head is not None
    assert parser.is_complete
    return (parser.head.status, parser.head.reason, list(parser.head), body)


@given(
    data=mutated(st.sampled_from(SOURCES)),
    cuts=st.lists(st.integers(0, 400), max_size=4),
    method=st.sampled_from(["GET", "GET", "HEAD"]),
    tolerated=st.just(frozenset[str]())
    | st.just(frozenset(TOLERABLE))
    | st.frozensets(st.sampled_from(TOLERABLE)),
)
@settings(max_examples=300)
def test_the_outcome_is_the_same_wherever_the_bytes_are_cut(
    data: bytes, cuts: list[int], method: str, tolerated: frozenset[str]
) -> None:
    """In one piece, in several, and byte by byte."""
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    pieces = [data[start:end] for start, end in pairwise(edges)]
    whole = outcome([data], method, tolerated)
    assert outcome(pieces, method, tolerated) == whole
    assert outcome([data[at : at + 1] for at in range(len(data))], method, tolerated) == whole
