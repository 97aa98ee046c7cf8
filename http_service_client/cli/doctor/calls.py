"""One GET by each front end, through all that a call goes through: redirects, proxies, content codings, limits."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from time import monotonic
from typing import Any

from ... import HttpClientConfig, HttpClientError, HttpResponse, HttpServiceClient, SentState
from ...errors import Failure
from ...events import PROXY_REMEDY
from ...http.fields.meshes import ATTEMPT_COUNT, proxy_attempts, proxy_headers
from ...http.headers import Headers
from ...http.messages import HttpRequest
from ...http.printable import printable
from ...http.redirects import leads_on
from ...http.urls import origin_of, redact_url
from .findings import Finding, fail, ok, skip, warn
from .network import milliseconds

__all__ = ["Reply", "examine_response", "get", "get_async"]

_ENOUGH = 65536  # bytes of the body that are read
_WORTH_COMPRESSING = 1400  # bytes: less than a packet gains nothing
_PERMANENT = (301, 308)
_LIMITS = ("ratelimit", "x-ratelimit-", "x-rate-limit-")


class Reply:
    """What became of a GET.

    hops: status and target of each redirect.  size: bytes of the body that were read.  is_whole: that was all of it.
    error: of the call, or of the reading of its body.
    status: None where no head came; then phrase, headers, version and seconds are not set.
    """

    phrase: str
    headers: Headers
    version: str | None
    seconds: float

    def __init__(self, front_end: str) -> None:
        self.front_end = front_end
        self.hops: list[tuple[int, str]] = []
        self.status: int | None = None
        self.size = 0
        self.is_whole = False
        self.error: HttpClientError | None = None
        self.requests = 0

    def observe(self, request: HttpRequest, outcome: HttpResponse | Failure, _: object) -> None:
        """For the client's `on_exchange`."""
        self.requests += outcome.sent_state is not SentState.NEVER_SENT
        if isinstance(outcome, HttpResponse):
            location = outcome.headers.get("Location") or ""
            if leads_on(request, outcome.status_code, location):
                self.hops.append((outcome.status_code, location))

    def take_head(self, response: Any, began_at: float) -> None:
        """Note the head of the response."""
        self.seconds = monotonic() - began_at
        self.status, self.phrase = response.status_code, response.reason_phrase
        self.headers, self.version = response.headers, response.http_version

    def take(self, piece: bytes) -> bool:
        """Note a piece of the body. Returns whether that is enough."""
        self.size += len(piece)
        return self.size >= _ENOUGH

    def finding(self) -> Finding:
        """How the call went."""
        check = f"GET, {self.front_end}"
        if self.status is None:
            return fail(check, printable(str(self.error)), "", error=type(self.error).__name__)
        size = f"{self.size:,} bytes" if self.is_whole else f"at least {self.size:,} bytes"
        version = ", by HTTP/2" if self.version == "HTTP/2" else ""
        words = f"{self.status} {self.phrase}".rstrip()
        message = f"{words} in {milliseconds(self.seconds)}{version}, {size}"
        details: dict[str, Any] = {
            "status": self.status, "seconds": self.seconds, "is_http2": self.version == "HTTP/2", "bytes_read": self.size,
            "is_whole": self.is_whole, "error": None if self.error is None else type(self.error).__name__,
        }  # fmt: skip
        if self.error is not None:
            message = f"{message}, and then {printable(str(self.error))}"
            return fail(
                check, message, "the headers arrive, and the body does not: look at the service", **details
            )
        if self.status >= 500:
            return fail(check, message, "the service fails: look at its log", **details)
        if self.status in (401, 403):
            return warn(
                check, message, "give the credentials of the service: --auth, --bearer or --header", **details
            )
        if self.status == 429:
            return warn(check, message, "the service asks for fewer calls", **details)
        if self.status >= 400:
            return warn(check, message, "is it the right URL for a GET?", **details)
        return ok(check, message, **details)


def _client(config: HttpClientConfig, reply: Reply) -> HttpServiceClient:
    return HttpServiceClient(config, on_exchange=reply.observe)


def get(url: str, config: HttpClientConfig, keywords: Mapping[str, Any]) -> Reply:
    """GET by a blocking call. The body is read up to a limit."""
    reply = Reply("blocking")
    with _client(config, reply) as client:
        began_at = monotonic()
        try:
            with client.stream("GET", url, **keywords) as response:
                reply.take_head(response, began_at)
                reply.is_whole = not any(map(reply.take, response.iter_bytes()))
        except HttpClientError as error:
            reply.error = error
    return reply


async def _get_async(url: str, config: HttpClientConfig, keywords: Mapping[str, Any], reply: Reply) -> None:
    async with _client(config, reply) as client:
        began_at = monotonic()
        try:
            async with client.stream_async("GET", url, **keywords) as response:
                reply.take_head(response, began_at)
                async for piece in response.iter_bytes():
                    if reply.take(piece):
                        return
                reply.is_whole = True
        except HttpClientError as error:
            reply.error = error


def get_async(url: str, config: HttpClientConfig, keywords: Mapping[str, Any]) -> Reply:
    """As `get`, by a call in an event loop of its own."""
    reply = Reply("asyncio")
    asyncio.run(_get_async(url, config, keywords, reply))
    return reply


def examine_response(url: str, reply: Reply, accepts_codings: bool) -> Iterator[Finding]:
    """What the headers of the response say. Nothing, if there was none."""
    if reply.status is None:
        return
    yield _redirects(url, reply)
    yield _compression(reply, accepts_codings)
    yield _limits(reply)
    yield from _mesh(reply)
    yield _transport_security(url, reply)


def _redirects(url: str, reply: Reply) -> Finding:
    if not reply.hops:
        return ok("redirects", "none", hops=[])
    hops = [{"status": status, "location": redact_url(location)} for status, location in reply.hops]
    message = ", ".join(f"{hop['status']} to {printable(str(hop['location']))}" for hop in hops)
    targets = [location for _, location in reply.hops if "://" in location]
    if url.startswith("https:") and any(target.lower().startswith("http:") for target in targets):
        advice = "the redirect leaves TLS: anyone on the way can read it; correct the service"
        return fail("redirects", message, advice, hops=hops)
    if url.startswith("http:") and any(target.lower().startswith("https:") for target in targets):
        advice = "write https:// in the URL: the first request of each call is sent in the clear"
        return warn("redirects", message, advice, hops=hops)
    if any(_origin(target) != origin_of(url) for target in targets):
        advice = "credentials are not sent along to another origin; write its URL if they should be"
        return warn("redirects", message, advice, hops=hops)
    if any(status in _PERMANENT for status, _ in reply.hops):
        advice = "it is permanent: write its target in the URL, and save a round trip a call"
        return warn("redirects", message, advice, hops=hops)
    return ok("redirects", message, hops=hops)


def _origin(url: str) -> str | None:
    try:
        return origin_of(url)
    except ValueError:
        return None


def _compression(reply: Reply, accepts_codings: bool) -> Finding:
    coding = reply.headers.get("Content-Encoding")
    if not accepts_codings:
        return skip("compression", "the configuration does not ask for it (enable_compression=False)")
    if coding is not None:
        return ok("compression", f"the response is compressed: {printable(coding)}", coding=coding)
    kind = (reply.headers.get("Content-Type") or "").lower()
    is_text = kind.startswith("text/") or any(word in kind for word in ("json", "xml", "javascript"))
    if is_text and reply.size >= _WORTH_COMPRESSING:
        advice = "gzip, br or zstd at the service, or at the proxy before it, would make text several times smaller"
        return warn(
            "compression",
            f"{reply.size:,} bytes of {printable(kind, 60)} came uncompressed",
            advice,
            coding=None,
        )
    return ok("compression", "none; there is little to gain", coding=None)


def _limits(reply: Reply) -> Finding:
    found = {
        name: printable(value, 100)
        for name, value in reply.headers.items()
        if name.lower() == "retry-after" or name.lower().startswith(_LIMITS)
    }
    if not found:
        return ok("rate limit", "the response names none", headers={})
    message = ", ".join(f"{name}: {value}" for name, value in found.items())
    if any(name.lower() == "retry-after" for name in found) and reply.status in (429, 503):
        return warn(
            "rate limit",
            message,
            "the client waits as long as Retry-After asks; call less often",
            headers=found,
        )
    advice = "keep below it: a RateLimit of the policies, or fewer calls at once"
    return ok("rate limit", message, advice, headers=found)


def _mesh(reply: Reply) -> Iterator[Finding]:
    """Nothing, where no proxy of a mesh shows itself."""
    found = {name: printable(value, 100) for name, value in proxy_headers(reply.headers).items()}
    if not found:
        return
    attempts = proxy_attempts(reply.headers)
    if attempts > 1:
        message = f"a proxy made {attempts} attempts of the request ({ATTEMPT_COUNT})"
        yield warn("service mesh", message, PROXY_REMEDY, headers=found, attempts=attempts)
        return
    message = ", ".join(f"{name}: {value}" for name, value in found.items())
    advice = "a proxy is on the way: see whether it retries, too; only one side should"
    yield ok("service mesh", message, advice, headers=found, attempts=attempts)


def _transport_security(url: str, reply: Reply) -> Finding:
    if url.startswith("http:"):
        return warn(
            "encryption", "the URL is http://: anyone on the way can read and change it", "use https://"
        )
    value = reply.headers.get("Strict-Transport-Security")
    if value is None:
        return ok(
            "encryption", "https; no Strict-Transport-Security, which matters to browsers only", hsts=None
        )
    return ok("encryption", f"https; Strict-Transport-Security: {printable(value, 100)}", hsts=value)
