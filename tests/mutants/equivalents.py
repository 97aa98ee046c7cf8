"""Mutants that behave as the original does, so that no test can notice them; each with the reason.

An entry names the file, the function, and the line before and after, so it still holds when lines move. The tool
reports entries that no longer match. "Not worth a test" is not a reason: such a mutant has survived.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["EQUIVALENTS", "Equivalent"]


class Equivalent(NamedTuple):
    """One mutant, and why it behaves as the original does. See `points.Mutant` for the first four."""

    file: str
    function: str
    before: str
    after: str
    because: str

    @property
    def key(self) -> tuple[str, str, str, str]:
        """As `Mutant.key`."""
        return self[:4]


EQUIVALENTS = [
    Equivalent(
        "client/streams/base.py",
        "Streamed._charset",
        'return parse_content_type(self.headers.get("Content-Type", ""))[1].get("charset")',
        'return parse_content_type(self.headers.get("Content-Type", "XX"))[1].get("charset")',
        "neither default has a parameter, and only the parameters are read",
    ),
    Equivalent(
        "core/timeouts.py",
        "Timeout.within",
        "if remaining is None or (self.total is not None and self.total <= remaining):",
        "if remaining is None or (self.total is not None and self.total < remaining):",
        "of two equal bounds either may be taken: the cut timeout then equals this one",
    ),
    Equivalent(
        "http/content_codings/decoder.py",
        "Decoder.__init__",
        "self._counts = [0] * (min(len(self._names), _MAX_CODINGS) + 1)",
        "self._counts = [0] * (min(len(self._names), _MAX_CODINGS) + 2)",
        "the last counter is never read: one more costs a word of memory",
    ),
    Equivalent(
        "http/proxies/socks5.py",
        "ask_for_connection",
        "if login is not None and method == _WITH_PASSWORD:",
        "if method == _WITH_PASSWORD:",
        "without a login that method was not offered, and a proxy that picks it is refused two lines above",
    ),
    Equivalent(
        "integrations/neuroglia.py",
        "",
        '_CLIENT = "_http_service_client"',
        '_CLIENT = "_http_service_clientXX"',
        "the name of an attribute that only this module sets and reads, always by this constant",
    ),
    Equivalent(
        "transports/network/polling.py",
        "_wait",
        "return any(select.select([sock], [sock] if to_write else [], [], within))",
        "return None",
        "only Windows executes this line",
    ),
    Equivalent(
        "transports/over_aiohttp/open_body.py",
        "AiohttpBodySource._read",
        "return content._read_nowait(-1)",
        "return content._read_nowait(-2)",
        "aiohttp takes every negative number for all that there is",
    ),
    Equivalent(
        "transports/over_aiohttp/session_exchange.py",
        "SessionExchange.send",
        'if sys.version_info < (3, 11) and request.url.startswith("https") and _uses_tls(proxy):',
        'if sys.version_info < (3, 11) and request.url.startswith("https") :',
        "false in both forms since Python 3.11; on 3.10 every https request of the suite would fail",
    ),
    Equivalent(
        "transports/over_aiohttp/session_exchange.py",
        "_uses_tls",
        'return isinstance(proxy, HttpProxy) and proxy.address.scheme == "https"',
        'return isinstance(proxy, HttpProxy) and proxy.address.scheme == "httpsXX"',
        "only called on Python 3.10, whose tests through an https:// proxy notice it",
    ),
    Equivalent(
        "transports/over_requests/connection.py",
        "IoTimeouts.starting",
        "if connect_expires_at is None or (expires_at is not None and expires_at < connect_expires_at):",
        "if connect_expires_at is None or (expires_at is not None and expires_at <= connect_expires_at):",
        "of two equal instants either may be taken",
    ),
    Equivalent(
        "transports/over_requests/adapter.py",
        "PooledAdapter.build_connection_pool_key_attributes",
        'url = split_url(request.url or "")',
        'url = split_url(request.url or "XX")',
        "a prepared request has a URL; the `or` is for the type checker",
    ),
]
