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
    Equivalent(
        "http/auth/challenges.py",
        "parse_parameters",
        "at = _after(_SEPARATORS, text, 0)",
        "at = _after(_SEPARATORS, text, -1)",
        "a pattern matches from a negative position as from 0",
    ),
    Equivalent(
        "http/auth/challenges.py",
        "_parse",
        "at = _after(_SEPARATORS, text, 0)",
        "at = _after(_SEPARATORS, text, -1)",
        "a pattern matches from a negative position as from 0",
    ),
    Equivalent(
        "http/cookies/jar.py",
        "_domain",
        'domain = normalise_host(domain).strip("[]")',
        'domain = normalise_host(domain).strip("[]XX")',
        "the host is in lower case by then, and has no X",
    ),
    Equivalent(
        "http/cookies/jar.py",
        "_is_registry",
        'labels = domain.rstrip(".").split(".")',
        'labels = domain.rstrip(".XX").split(".")',
        "the host is in lower case by then, and has no X",
    ),
    Equivalent(
        "http/auth/netrc.py",
        "_host_key",
        'return host.lower().rstrip(".")',
        'return host.lower().rstrip(".XX")',
        "the host is in lower case by then, and has no X",
    ),
    Equivalent(
        "http/urls.py",
        "split_url",
        'return Url(scheme, host.strip("[]"), int(port) if port else DEFAULT_PORTS[scheme], target)',
        'return Url(scheme, host.strip("[]XX"), int(port) if port else DEFAULT_PORTS[scheme], target)',
        "the host is in lower case by then, and has no X",
    ),
    Equivalent(
        "http/egress.py",
        "_plain_name",
        'return normalise_host(f"[{host}]" if ":" in host and host[0] != "[" else host).strip("[]").rstrip(".")',
        'return normalise_host(f"[{host}]" if ":" in host and host[0] != "[" else host).strip("[]XX").rstrip(".")',
        "the host is in lower case by then, and has no X",
    ),
    Equivalent(
        "http/egress.py",
        "_plain_name",
        'return normalise_host(f"[{host}]" if ":" in host and host[0] != "[" else host).strip("[]").rstrip(".")',
        'return normalise_host(f"[{host}]" if ":" in host and host[0] != "[" else host).strip("[]").rstrip(".XX")',
        "the host is in lower case by then, and has no X",
    ),
    Equivalent(
        "http/proxies/settings.py",
        "ProxySettings.proxy_for",
        'host = url.host.rstrip(".")',
        'host = url.host.rstrip(".XX")',
        "the host is in lower case by then, and has no X",
    ),
    Equivalent(
        "http/proxies/urls.py",
        "read_proxy",
        'host = normalise_host(f"[{host}]" if ":" in host else host).strip("[]")',
        'host = normalise_host(f"[{host}]" if ":" in host else host).strip("[]XX")',
        "the host is in lower case by then, and has no X",
    ),
    Equivalent(
        "transports/over_requests/connector.py",
        "_start_tls",
        'name = url.host.rstrip(".")',
        'name = url.host.rstrip(".XX")',
        "the host is in lower case by then, and has no X",
    ),
    Equivalent(
        "simulation/faults.py",
        "Bursts.begin",
        "spans = Random(random.getrandbits(64))",
        "spans = Random(random.getrandbits(65))",
        "one bit more or less of a seed makes other spans, which are as random",
    ),
    Equivalent(
        "simulation/faults.py",
        "Bursts.begin",
        "spans = Random(random.getrandbits(64))",
        "spans = Random(random.getrandbits(63))",
        "one bit more or less of a seed makes other spans, which are as random",
    ),
    Equivalent(
        "transports/over_requests/connection.py",
        "Connection.__init__",
        "self.idle_since = 0.0",
        "pass",
        "it is read of an idle connection only, and each exchange sets it at its end",
    ),
    Equivalent(
        "transports/over_requests/connection.py",
        "Connection.__init__",
        "self.idle_since = 0.0",
        "self.idle_since = 1.0",
        "it is read of an idle connection only, and each exchange sets it at its end",
    ),
    Equivalent(
        "transports/over_aiohttp/public_connector.py",
        "WatchingProtocol.__init__",
        "self._idle_since = 0.0",
        "pass",
        "it is read after an exchange only, whose end sets it",
    ),
    Equivalent(
        "transports/over_aiohttp/public_connector.py",
        "WatchingProtocol.__init__",
        "self._idle_since = 0.0",
        "self._idle_since = 1.0",
        "it is read after an exchange only, whose end sets it",
    ),
    Equivalent(
        "transports/seams.py",
        "SeamNotice.__init__",
        "self._is_due = False",
        "pass",
        "`add` sets it in the next line",
    ),
    Equivalent(
        "transports/seams.py",
        "SeamNotice.__init__",
        "self._is_due = False",
        "self._is_due = True",
        "`add` sets it in the next line",
    ),
    Equivalent(
        "core/machines/recovery.py",
        "Trials.begin",
        "self._step_ends_at = self._credit = 0.0",
        "pass",
        "both are read during the ramp only, and each of its steps sets them",
    ),
    Equivalent(
        "core/machines/recovery.py",
        "Trials.begin",
        "self._step_ends_at = self._credit = 0.0",
        "self._step_ends_at = self._credit = 1.0",
        "both are read during the ramp only, and each of its steps sets them",
    ),
    Equivalent(
        "testing/mocks.py",
        "_endless_stream",
        "return aiohttp.StreamReader(BaseProtocol(loop), 2**62, loop=loop)",
        "return aiohttp.StreamReader(BaseProtocol(loop), 3**62, loop=loop)",
        "no body comes near any of these limits",
    ),
    Equivalent(
        "testing/mocks.py",
        "_endless_stream",
        "return aiohttp.StreamReader(BaseProtocol(loop), 2**62, loop=loop)",
        "return aiohttp.StreamReader(BaseProtocol(loop), 2**63, loop=loop)",
        "no body comes near any of these limits",
    ),
    Equivalent(
        "testing/mocks.py",
        "_endless_stream",
        "return aiohttp.StreamReader(BaseProtocol(loop), 2**62, loop=loop)",
        "return aiohttp.StreamReader(BaseProtocol(loop), 2**61, loop=loop)",
        "no body comes near any of these limits",
    ),
    Equivalent(
        "testing/server_connection.py",
        "Connection.wait",
        "if seconds > 0 and self._ending.wait(seconds):",
        "if self._ending.wait(seconds):",
        "without seconds it looks whether the server ends, as the next use of the socket does",
    ),
    Equivalent(
        "testing/server_connection.py",
        "Connection.wait",
        "if seconds > 0 and self._ending.wait(seconds):",
        "if seconds >= 0 and self._ending.wait(seconds):",
        "without seconds it looks whether the server ends, as the next use of the socket does",
    ),
    Equivalent(
        "testing/server_connection.py",
        "Connection.wait",
        "if seconds > 0 and self._ending.wait(seconds):",
        "if seconds > -1 and self._ending.wait(seconds):",
        "without seconds it looks whether the server ends, as the next use of the socket does",
    ),
    Equivalent(
        "client/streams/iterators.py",
        "DecodedIterator.__next__",
        "idle = None if self._idle is None or self._ready else self._idle()",
        "idle = None if self._idle is None else self._idle()",
        "a limit that nobody waits for is not read",
    ),
    Equivalent(
        "client/streams/iterators.py",
        "AsyncDecodedIterator.__anext__",
        "idle = None if self._idle is None or self._ready else self._idle()",
        "idle = None if self._idle is None else self._idle()",
        "a limit that nobody waits for is not read",
    ),
    Equivalent(
        "simulation/report.py",
        "_is_metastable",
        "if before is None or relief + _SETTLED > seconds:",
        "if before is None or relief + _SETTLED >= seconds:",
        "at that instant the time has no moment that could be judged, so there is no verdict either way",
    ),
    Equivalent(
        "transports/over_requests/connection.py",
        "IoTimeouts.for_head",
        "if self.expires_at is not None and self.expires_at < expires_at:",
        "if self.expires_at is not None and self.expires_at <= expires_at:",
        "of two equal instants either may be taken",
    ),
    Equivalent(
        "transports/over_requests/connection.py",
        "seconds_left",
        "return left if within is None or left < within else within",
        "return left if within is None or left <= within else within",
        "of two equal durations either may be taken",
    ),
    Equivalent(
        "transports/over_requests/adapter.py",
        "",
        "_NO_RETRIES = Retry(0, read=False)",
        "_NO_RETRIES = Retry(-1, read=False)",
        "neither leaves a retry",
    ),
    Equivalent(
        "client/call_builder.py",
        "_idempotency_key",
        'content = content.replace(boundary.encode(), b"")',
        'content = content.replace(boundary.encode(), b"XX")',
        "any text in place of the boundary makes equal bodies of equal forms",
    ),
    Equivalent(
        "http/auth/oauth2.py",
        "parse_token_response",
        'advice = "; set token_url to where it leads" if 300 <= response.status_code < 400 else ""',
        'advice = "; set token_url to where it leads" if 300 <= response.status_code < 401 else ""',
        "`raise_for_status` has raised for 400 and above",
    ),
    Equivalent(
        "http/auth/oauth2.py",
        "parse_token_response",
        'advice = "; set token_url to where it leads" if 300 <= response.status_code < 400 else ""',
        'advice = "; set token_url to where it leads" if 300 <= response.status_code <= 400 else ""',
        "`raise_for_status` has raised for 400 and above",
    ),
    Equivalent(
        "auth/oauth2.py",
        "_OAuth2._signed_request",
        'url, headers, text = client_auth(self, "POST", self.token_url, headers, (body or b"").decode())',
        'url, headers, text = client_auth(self, "POST", self.token_url, headers, (body ).decode())',
        "a form is in memory; the `or` is for the type checker",
    ),
    Equivalent(
        "transports/over_aiohttp/sessions.py",
        "LoopSessions.close_async",
        "self.is_closed = True",
        "self.is_closed = False",
        "`close` sets it three lines below; before that, only the lock is taken",
    ),
    Equivalent(
        "transports/over_aiohttp/sessions.py",
        "LoopSessions.close_async",
        "self.is_closed = True",
        "pass",
        "`close` sets it three lines below; before that, only the lock is taken",
    ),
    Equivalent(
        "transports/network/happy_eyeballs.py",
        "_race",
        "error, next_at = OSError(code, os.strerror(code)), 0.0",
        "error, next_at = OSError(code, os.strerror(code)), 1.0",
        "either instant is past: a machine has been up for longer when a program connects",
    ),
    Equivalent(
        "transports/failures.py",
        "Phase",
        'PROXY = "proxy"',
        'PROXY = "proxyXX"',
        "members are compared by identity, and a value is only shown in a repr",
    ),
    Equivalent(
        "transports/failures.py",
        "Phase",
        'CONNECT = "connect"',
        'CONNECT = "connectXX"',
        "members are compared by identity, and a value is only shown in a repr",
    ),
    Equivalent(
        "transports/failures.py",
        "Phase",
        'SEND = "send"',
        'SEND = "sendXX"',
        "members are compared by identity, and a value is only shown in a repr",
    ),
    Equivalent(
        "transports/failures.py",
        "Phase",
        'RECEIVE = "receive"',
        'RECEIVE = "receiveXX"',
        "members are compared by identity, and a value is only shown in a repr",
    ),
    Equivalent(
        "auth/oauth2.py",
        "OAuth2RefreshToken._grant",
        'return {"grant_type": "refresh_token", "refresh_token": self._current[0]}',
        'return {"grant_type": "refresh_token", "refresh_token": self._current[-1]}',
        "the list has one element",
    ),
    Equivalent(
        "auth/oauth2.py",
        "OAuth2RefreshToken._keep",
        "if new is None or new == self._current[0]:",
        "if new is None or new == self._current[-1]:",
        "the list has one element",
    ),
    Equivalent(
        "auth/oauth2.py",
        "OAuth2RefreshToken._keep",
        "self._current[0] = new",
        "self._current[-1] = new",
        "the list has one element",
    ),
    Equivalent(
        "auth/oauth2.py",
        "OAuth2RefreshToken._settings",
        'return {**super()._settings(), "refresh_token": self._current[0]}',
        'return {**super()._settings(), "refresh_token": self._current[-1]}',
        "the list has one element",
    ),
    Equivalent(
        "http/caching/rules.py",
        "_date",
        'if len(values) != 1 or values[0].endswith(("UTC", "+0000")):',
        'if len(values) != 1 or values[-1].endswith(("UTC", "+0000")):',
        "there is exactly one value by then",
    ),
    Equivalent(
        "http/http1/faults.py",
        "fault_in_field",
        'if line[at] in b" \\t":',
        'if line[at] in b" \\tXX":',
        "the name ended before this byte, and X would be part of it",
    ),
]
