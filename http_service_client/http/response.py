"""The response, complete and as plain data."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Generic, NoReturn

from ..core.checks import remedies
from ..errors import HttpStatusError, ResponseValidationError, SentState
from .bodies.encoding import UNSET
from .bodies.json import decode_json, decode_json_strictly, encode_json, in_utf8
from .cookies.header import parse_set_cookie
from .error_bodies import quote_error
from .fields.links import parse_links
from .fields.retry_after import requested_delay
from .headers import Headers, build_headers
from .media_types import decode_text, parse_content_type
from .printable import printable
from .problems import Problem, parse_problem
from .request import HttpRequest
from .secret_values import hide_secrets, secrets_of
from .urls import redact_url

if TYPE_CHECKING:
    from ..events import Timeline

__all__ = ["HttpResponse"]

_ANSWERED = SentState.ANSWERED  # enum attribute access is slow (50 ns)
_PHRASE_SIZE = 200
_QUOTED = 200  # characters of a body in an error message


if TYPE_CHECKING:  # type variables have no defaults at run time before Python 3.13
    from typing_extensions import TypeVar

    Data = TypeVar("Data", default=Any, covariant=True)
else:
    from typing import TypeVar

    Data = TypeVar("Data", covariant=True)


class HttpResponse(Generic[Data]):
    """A complete response. It is plain data: no connection stays open for it.

    status_code: an int.  reason_phrase: printable, may be empty.  headers: case-insensitive, `get_all` for repeats.
    content: the decoded bytes.  url: of the last exchange, after redirects.  request: as it was sent.
    elapsed: seconds that the last exchange took, body included.  history: the redirects before it.
    http_version: "HTTP/2", or "HTTP/1.1" for all that did not come over HTTP/2.
    attempts: how many attempts the call took.  timeline: what happened in the call.
    data: the validated value when `response_type` was given, or `error_type` for a 4xx or 5xx, else None.

    In a test or an interceptor, make one by hand: content may be text, or pass `json` instead.
    Raises TypeError for a status_code or content of a wrong type.
    """

    data: Data

    __slots__ = (
        "_headers", "_text", "attempts", "content", "data", "elapsed", "history", "http_version",
        "reason_phrase", "request", "status_code", "timeline", "url",
    )  # fmt: skip

    def __init__(
        self,
        status_code: int,
        *,
        headers: Headers | Mapping[str, object] | Iterable[tuple[str, str]] = (),
        content: bytes | str = b"",
        json: object = UNSET,
        reason_phrase: str = "",
        url: str = "",
        request: HttpRequest | None = None,
        elapsed: float = 0.0,
        history: tuple[HttpResponse, ...] = (),
        http_version: str = "HTTP/1.1",
    ) -> None:
        if type(status_code) is not int or type(content) is not bytes or type(reason_phrase) is not str:
            status_code, content = _by_hand(status_code, content, reason_phrase)
        if json is not UNSET:
            if content:
                raise TypeError("pass content or json, not both")
            content, headers = encode_json(json), build_headers(headers)
            headers.setdefault("Content-Type", "application/json")
        self.status_code = status_code
        self._headers = headers
        self.content: bytes = content
        if len(reason_phrase) > _PHRASE_SIZE or not reason_phrase.isprintable():
            # It is shown in errors, stories and logs, and a client may ignore all of it (RFC 9112, 4).
            reason_phrase = printable(reason_phrase, _PHRASE_SIZE)
        self.reason_phrase = reason_phrase
        self.url = url
        self.request = request
        self.elapsed = elapsed
        self.history = history
        self.http_version = http_version
        self.attempts = 1
        self.timeline: Timeline | None = None
        self.data = None  # type: ignore[assignment]  # until it is validated
        self._text: str | None = None

    @property
    def headers(self) -> Headers:
        """The response headers. `headers[name]` joins repeats with ", ", `headers.get_all` lists them."""
        if type(self._headers) is not Headers:
            self._headers = Headers(self._headers)  # type: ignore[arg-type]  # pairs or a mapping
            if self.request is not None and type(self.request.headers) is Headers:
                self._headers.secret_names = self.request.headers.secret_names
        return self._headers

    @property
    def text(self) -> str:
        """The content as text: decoded by the charset of Content-Type, its BOM, the declaration of XML, or as UTF-8."""
        if self._text is None:
            self._text = decode_text(self.content, self.headers.get("Content-Type"))
        return self._text

    def json(self, *, strict: bool = False) -> Any:
        """The content as JSON.

        strict: refuse NaN, Infinity and -Infinity, which are not JSON though many servers written in Python send them.
        Raises ResponseValidationError when the content is empty or not JSON.
        """
        content = self.content
        try:
            try:
                return self._decode_json(content, strict)
            except UnicodeDecodeError:  # not UTF-8, as JSON must be (RFC 8259, 8.1)
                if (text := in_utf8(content, self.headers.get("Content-Type"))) is None:
                    raise
                return self._decode_json(text, strict)
        except (ValueError, RecursionError) as error:
            problem = str(error) if self.content else "the body is empty"
            remedy = "; raise_for_status() raises what this status means" if self.status_code >= 400 else ""
            message = f"{self._described()} is not JSON: {problem}{remedy}"
            raise ResponseValidationError(message, **self._evidence()) from None

    def _decode_json(self, content: bytes, strict: bool) -> Any:
        if strict:
            return decode_json_strictly(content)
        codec = None if self.request is None else self.request._codec
        return decode_json(content) if codec is None else codec.decode(content)

    def _described(self) -> str:
        """What an error says of it: the URL, the status, and the media type unless that is JSON.

        A page of a gateway, in the place of the data, is known by its type.
        """
        media_type = parse_content_type(self.headers.get("Content-Type", ""))[0]
        is_json = media_type.endswith(("/json", "+json"))
        kind = "" if is_json or not media_type else f", {printable(media_type, _PHRASE_SIZE)}"
        return f"the response of {redact_url(self.url)} ({self.status_code}{kind})"

    @property
    def is_success(self) -> bool:
        """Whether the status is 2xx."""
        return 200 <= self.status_code <= 299

    @property
    def from_cache(self) -> bool:
        """Whether it is a stored response, used as it was or confirmed by the server. Its Age says how old it is."""
        used = None if self.timeline is None else self.timeline.cache_used
        return used is not None and used.result != "miss"

    @property
    def is_fallback(self) -> bool:
        """Whether a fallback stands in for the service's response. `timeline.fallback_used` says which, and for what."""
        return self.timeline is not None and self.timeline.fallback_used is not None

    @property
    def sent_state(self) -> SentState:
        """REFUSED when the server says that it did not process the request, else ANSWERED.

        429 (RFC 6585), 425 (RFC 8470, 5.2), and 503 that says when to come back refuse a request before processing
        it. A Retry-After that cannot be read says nothing: some proxies add one to every error.
        """
        status = self.status_code
        if status in (425, 429) or (status == 503 and requested_delay(self.headers, 0.0) is not None):
            return SentState.REFUSED
        return _ANSWERED

    @property
    def cookies(self) -> dict[str, str]:
        """The cookies that this response sets, by name."""
        return parse_set_cookie(self.headers.get_all("Set-Cookie"))

    @property
    def links(self) -> dict[str, dict[str, str]]:
        """The Link header (RFC 8288), by relation; each "url" is absolute."""
        return parse_links(self.headers.get("Link", ""), self.url)

    @property
    def problem(self) -> Problem | None:
        """The problem that an application/problem+json response (RFC 9457) describes; None for any other."""
        return parse_problem(self.headers.get("Content-Type"), self.content)

    def raise_for_status(self) -> HttpResponse[Data]:
        """Return this response; raise HttpStatusError for a 4xx or 5xx.

        The error quotes the `problem`, or else what the body says in another form (the usual shapes of JSON, a SOAP
        fault, plain text, the title of a page): one line of at most 200 characters, without the secrets that the
        request held and what looks like one.
        """
        if self.status_code < 400:
            return self
        method = self.request.method if self.request is not None else "the request to"
        # A response that a test made may have no URL.
        sent = f"{method} {redact_url(self.url)}" if self.url else "the request"
        message = f"{sent} answered {self.status_code} {self.reason_phrase}".rstrip()
        problem = self.problem
        if problem is not None:
            message += _in_one_line(problem, self.reason_phrase)
        else:
            message += self._quotation()
        raise HttpStatusError(
            message, status_code=self.status_code, problem=problem, data=self.data, **self._evidence()
        )

    def observed(self, request: HttpRequest) -> HttpResponse:
        """A copy for a listener of exchanges: independent of this one, and in response to `request`."""
        twin = copy.copy(self)
        if type(self._headers) is Headers:
            twin._headers = self._headers.copy()
        twin.request = request
        return twin

    def redacted(self) -> HttpResponse:
        """A copy without secrets, for a log, a queue or another process.

        Secret values in its headers and URLs are ``***``, in those of its request and its history too. It has neither
        a body nor `data`, and its request has no body: they may hold secrets anywhere.
        """
        twin = HttpResponse(
            self.status_code,
            headers=self.headers.redacted(),
            reason_phrase=self.reason_phrase,
            url=redact_url(self.url),
            request=None if self.request is None else self.request.redacted(),
            elapsed=self.elapsed,
            history=tuple(response.redacted() for response in self.history),
            http_version=self.http_version,
        )
        twin.attempts, twin.timeline = self.attempts, self.timeline
        return twin

    def explain(self, *, why: bool = False) -> str:
        """What happened in the call, in plain words, one line for each event.   why: see `Timeline.explain`."""
        return self.timeline.explain(why=why) if self.timeline is not None else f"{self!r}"

    if not TYPE_CHECKING:  # a type checker must still report unknown attributes

        def __getattr__(self, name: str) -> NoReturn:
            if name.startswith("__"):  # Python itself looks for these, and often: for "__await__", say
                raise AttributeError(name, name=name, obj=self)
            kind = type(self)
            remedy = f"; use {kind._RENAMED[name]}" if name in kind._RENAMED else ""
            message = f"{kind.__name__!r} object has no attribute {name!r}{remedy}"
            raise AttributeError(message, name=name, obj=self)

    _RENAMED: ClassVar[Mapping[str, str]] = remedies(  # names from other clients
        {
            "is_success": "ok is_error",
            "status_code": "status code statusCode is_client_error is_server_error",
            "content, or text": "body",
            "headers": "getheader getheaders header",
            "reason_phrase": "reason",
            "text, or content.decode(...)": "encoding charset apparent_encoding",
            "headers.get('Content-Type')": "content_type",
            "len(content)": "content_length",
            "request.method": "method",
            "status_code, and history for those that were followed": "is_redirect has_redirect_location",
            "content, which is here": "read aread",
            "client.stream(...) to take the body in pieces": (
                "raw iter_content iter_bytes iter_text iter_lines aiter_bytes aiter_lines iter_json "
                "iter_events"
            ),
            "io.BytesIO(content)": "as_file",
        }
    )

    def _quotation(self) -> str:
        """What the body says, for an error message; "" if it says no more than the status does."""
        words = quote_error(self.headers.get("Content-Type"), self.content)
        if not words:
            return ""
        known = () if self.request is None else secrets_of(self.request)
        words = printable(hide_secrets(words, known, self.headers.secret_names), _QUOTED)
        return (
            ""
            if words in ("", self.reason_phrase, f"{self.status_code} {self.reason_phrase}")
            else f": {words}"
        )

    def __copy__(self) -> HttpResponse[Data]:
        twin: HttpResponse[Data] = object.__new__(type(self))
        for name in HttpResponse.__slots__:
            setattr(twin, name, getattr(self, name))
        return twin

    def __deepcopy__(self, memo: dict[int, Any]) -> HttpResponse[Data]:
        twin = copy.copy(self)
        for name in HttpResponse.__slots__:
            setattr(twin, name, copy.deepcopy(getattr(self, name), memo))
        return twin

    def __getstate__(self) -> tuple[None, dict[str, Any]]:
        # Headers and the request leave their secrets out themselves.
        state = {name: getattr(self, name) for name in HttpResponse.__slots__}
        return None, state | {"_headers": self.headers, "url": redact_url(self.url)}

    def _evidence(self) -> dict[str, Any]:
        """The attributes of an error about this response."""
        # The call's own state: the response says what became of the last attempt alone.
        known = None if self.timeline is None else self.timeline.sent_state
        return {
            "response": self,
            "request": self.request,
            "sent_state": known or self.sent_state,
            "timeline": self.timeline,
        }

    def __repr__(self) -> str:
        return f"<HttpResponse [{self.status_code}]>"


def _by_hand(status_code: object, content: object, reason_phrase: object) -> tuple[int, bytes]:
    """A status and content that did not come from the wire, checked."""
    if not isinstance(reason_phrase, str):
        raise TypeError(
            f"reason_phrase must be text such as 'OK', not {reason_phrase!r}; leave it out for none"
        )
    if not isinstance(status_code, int) or isinstance(status_code, bool):
        raise TypeError(f"status_code must be an int such as 200, not {status_code!r}")
    if isinstance(content, str):
        content = content.encode()
    if not isinstance(content, (bytes, bytearray, memoryview)):
        raise TypeError(f"content must be bytes or text, not {type(content).__name__}; pass data as json=")
    return int(status_code), bytes(content)


def _in_one_line(problem: Problem, reason_phrase: str) -> str:
    """A problem's own words for an error message: one line, without what the reason phrase says already."""
    texts = [printable(text) for text in (problem.title, problem.detail) if text is not None]
    words = ": ".join(text for text in texts if text not in ("", reason_phrase))
    return f": {printable(words)}" if words else ""
