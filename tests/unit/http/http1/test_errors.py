"""What the errors of received bytes say."""

from __future__ import annotations

from http_service_client.http.http1.errors import CutShortError, NotHttpError
from http_service_client.http.http1.rules import RULES
from kit.rows import each_row

CR = RULES["bare-cr"]


@each_row(
    ("error", "says"),
    [
        (NotHttpError(), "it breaks the rules of HTTP"),
        (NotHttpError(detail="a bad line"), "a bad line"),
        (NotHttpError(CR), "a CR is not followed by LF (bare-cr; RFC 9112, 2.2)"),
        (NotHttpError(CR, 0), "a CR is not followed by LF (bare-cr; RFC 9112, 2.2) at byte 0"),
        (NotHttpError(CR, None, "'A:...'"), "a CR is not followed by LF (bare-cr; RFC 9112, 2.2): 'A:...'"),
        (
            NotHttpError(CR, 17, "'A:...'"),
            "a CR is not followed by LF (bare-cr; RFC 9112, 2.2) at byte 17: 'A:...'",
        ),
        (
            CutShortError(5),
            "the connection ended before the response was complete (cut-short; RFC 9112, 8) at byte 5",
        ),
    ],
)
def test_an_error_says_which_rule_where_and_by_which_bytes(error: NotHttpError, says: str) -> None:
    """As far as each is known, as part of a sentence."""
    assert str(error) == says
