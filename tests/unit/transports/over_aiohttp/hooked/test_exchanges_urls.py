"""The URLs that aiohttp is given: as they are, since it would change some."""

from __future__ import annotations

from http_service_client.transports.over_aiohttp.hooked.exchanges import yarl_url
from kit.rows import each_row


@each_row(
    ("url", "expected", "query"),
    [
        ("http://a.test/x", "http://a.test/x", ""),
        ("http://a.test/x?y=%41", "http://a.test/x?y=%41", "y=%41"),
        ("http://a.test/x?", "http://a.test/x?", ""),
        ("http://a.test/http://b?", "http://a.test/http://b?", ""),
        ("http://a.test/x?a?", "http://a.test/x?a?", "a?"),
        ("http://a.test/x??", "http://a.test/x??", "?"),
        ("http+unix://%2Frun%2Fa.sock/x", "http://%2Frun%2Fa.sock/x", ""),
        ("http+unix://%2Frun%2Fa.sock/http+unix://?", "http://%2Frun%2Fa.sock/http+unix://?", ""),
    ],
)
def test_a_url_goes_to_aiohttp_as_it_is(url: str, expected: str, query: str) -> None:
    """Also with the mark of an empty query. What hooks into aiohttp sees the query of others."""
    found = yarl_url(url)
    assert f"{found.scheme}://{found.raw_authority}{found.raw_path_qs}" == expected
    assert found.raw_query_string == query
