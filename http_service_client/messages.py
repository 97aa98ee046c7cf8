"""What goes out and what comes back, as interceptors and callers see it.

`HttpRequest` and `HttpResponse` are plain data: they open no connection and know no library.
`HttpContext` is what the layers and the interceptors know of one call.
"""

from __future__ import annotations

import copy
import json as _json
import textwrap
import uuid
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from .errors import HttpStatusError, ResponseValidationError, SentState
from .protocol.bodies import UNSET, Body, encode_body, encode_json
from .protocol.cookies import parse_set_cookie
from .protocol.decoding import decode_text
from .protocol.headers import Headers, build_headers
from .protocol.links import parse_links
from .protocol.problems import Problem, parse_problem
from .protocol.progress import Progress, told_body
from .protocol.urls import redact_url

if TYPE_CHECKING:
    from .events import Timeline

__all__ = ["Headers", "HttpContext", "HttpRequest", "HttpResponse"]

_ANSWERED = SentState.ANSWERED  # a member of an enumeration takes long to be looked up
_decode_json = _json.JSONDecoder().decode

IDEMPOTENCY_HEADERS = ("Idempotency-Key", "X-Idempotency-Key")
_MOST_WORDS = 300  # characters of a problem in an error message; all of it is in `problem`
IDEMPOTENT_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})  # RFC 9110, 9.2.2


class HttpRequest:
    """One request, on its way through the interceptors to the wire.

    method: upper case.  url: absolute, query merged.  headers: mutable, case-insensitive.
    json, data, files: the body as it was given; setting one re-encodes the body.
    content: the encoded bytes of the body (None for a streamed one), for signing.
    idempotent: True when the caller vouches that sending it twice does no harm; None: by its method.
    progress: called while the body is sent, with the bytes so far and the total (None if unknown); or None.

    Raises InvalidRequestError for a body that cannot be encoded.
    """

    __slots__ = (
        "_body",
        "_data",
        "_files",
        "_json",
        "_own_data",
        "_own_json",
        "headers",
        "idempotent",
        "method",
        "progress",
        "url",
    )

    def __init__(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, object] | Iterable[tuple[str, object]] | None = None,
        json: Any = None,
        data: Any = None,
        files: Any = None,
        content: bytes | None = None,
        idempotent: bool | None = None,
    ) -> None:
        self.method = method
        self.url = url
        self.headers = headers if type(headers) is Headers else build_headers(headers)
        self.idempotent = idempotent
        self.progress: Progress | None = None
        self._json = json
        self._data = data
        self._files = files
        self._own_json = self._own_data = True
        self._body: Body | None = encode_body(json, data, files, content)

    @property
    def json(self) -> Any:
        """The JSON body as it was given. A copy's is copied on first touch: change it freely."""
        if not self._own_json:
            self._json, self._own_json = copy.deepcopy(self._json), True
        if not isinstance(self._json, (str, int, float, type(None))):
            self._body = None  # it may be changed in place from here on
        return self._json

    @json.setter
    def json(self, value: Any) -> None:
        self._json, self._own_json, self._body = value, True, None

    @property
    def data(self) -> Any:
        """The form, bytes or stream as it was given."""
        if isinstance(self._data, (dict, list)):
            if not self._own_data:
                self._data, self._own_data = copy.deepcopy(self._data), True
            self._body = None
        return self._data

    @data.setter
    def data(self, value: Any) -> None:
        self._data, self._own_data, self._body = value, True, None

    @property
    def files(self) -> Any:
        """The multipart files as they were given."""
        return self._files

    @files.setter
    def files(self, value: Any) -> None:
        self._files, self._body = value, None

    @property
    def content(self) -> bytes | None:
        """The encoded bytes; b"" without a body, None when the body is streamed."""
        return self.body.content

    @content.setter
    def content(self, value: bytes) -> None:
        self._json = self._data = self._files = None
        self._body = encode_body(UNSET, None, None, value)

    @property
    def body(self) -> Body:
        """The body, encoded from what json, data and files say now."""
        if self._body is None:
            self._body = encode_body(self._json, self._data, self._files)
        return self._body

    @body.setter
    def body(self, value: Body) -> None:
        self._body = value

    @property
    def outgoing_body(self) -> Body:
        """The body as a transport is to draw it: once for each sending, and its progress is told."""
        body = self.body
        return body if self.progress is None or body.length == 0 else told_body(body, self.progress)

    @property
    def is_safe_to_repeat(self) -> bool:
        """Whether processing it twice does no more than once: by method, key, or the caller's word."""
        if self.idempotent is not None:
            return self.idempotent
        return self.method in IDEMPOTENT_METHODS or any(name in self.headers for name in IDEMPOTENCY_HEADERS)

    def copy(self) -> HttpRequest:
        """A copy for one attempt: headers of its own, and json and data copied when touched."""
        twin = HttpRequest.__new__(HttpRequest)
        twin.method = self.method
        twin.url = self.url
        twin.headers = self.headers.copy()
        twin.idempotent = self.idempotent
        twin.progress = self.progress
        twin._json, twin._data, twin._files = self._json, self._data, self._files
        twin._own_json = twin._own_data = False
        twin._body = self._body
        return twin

    def __repr__(self) -> str:
        return f"<HttpRequest {self.method} {redact_url(str(self.url))}>"

    def __getstate__(self) -> dict[str, Any]:
        # A streamed body or an open file cannot cross a process boundary; what was asked can.
        content = self.body.content
        return {
            "method": self.method,
            "url": self.url,
            "headers": self.headers,
            "idempotent": self.idempotent,
            "content": content,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        content = state.pop("content")
        self.__init__(**state, content=content or None)  # type: ignore[misc]  # the one constructor


class HttpResponse:
    """A complete response. Everything is plain data; nothing is left open.

    status_code: an int.  reason_phrase: may be empty.  headers: case-insensitive, `get_all` for repeats.
    content: the decoded bytes.  url: of the last exchange, after redirects.  request: what was sent.
    elapsed: seconds that the last exchange took, body included.  history: the redirects before it.
    attempts: how many attempts the call took.  timeline: what happened in the call.
    data: the validated value when `response_type` was given, else None.

    Made by hand, in a test or an interceptor: content may be text, or `json` takes its place.
    TypeError for a status or a content that is none.
    """

    __slots__ = (
        "_headers", "_text", "attempts", "content", "data", "elapsed", "history", "reason_phrase", "request",
        "status_code", "timeline", "url",
    )  # fmt: skip

    def __init__(
        self,
        status_code: int,
        *,
        headers: Headers | Mapping[str, object] | Iterable[tuple[str, str]] = (),
        content: bytes | str = b"",
        json: Any = UNSET,
        reason_phrase: str = "",
        url: str = "",
        request: HttpRequest | None = None,
        elapsed: float = 0.0,
        history: tuple[HttpResponse, ...] = (),
    ) -> None:
        if type(status_code) is not int or type(content) is not bytes:
            status_code, content = _by_hand(status_code, content)
        if json is not UNSET:
            if content:
                raise TypeError("pass content or json, not both")
            content, headers = encode_json(json), build_headers(headers)
            headers.setdefault("Content-Type", "application/json")
        self.status_code = status_code
        self._headers = headers
        self.content: bytes = content
        self.reason_phrase = reason_phrase
        self.url = url
        self.request = request
        self.elapsed = elapsed
        self.history = history
        self.attempts = 1
        self.timeline: Timeline | None = None
        self.data: Any = None
        self._text: str | None = None

    @property
    def headers(self) -> Headers:
        """The response headers. `headers[name]` joins repeats with ", ", `headers.get_all` lists them."""
        if type(self._headers) is not Headers:
            self._headers = Headers(self._headers)  # type: ignore[arg-type]  # pairs or a mapping
        return self._headers

    @property
    def text(self) -> str:
        """The content as text: by the charset of Content-Type, else the BOM, else UTF-8."""
        if self._text is None:
            self._text = decode_text(self.content, self.headers.get("Content-Type"))
        return self._text

    def json(self) -> Any:
        """The content as JSON.

        Raises ResponseValidationError when it is not JSON, or empty.
        """
        content = self.content
        try:
            if (
                type(content) is bytes and content[:4].isascii() and 0 not in content[:4]
            ):  # UTF-8 (RFC 8259, 8.1)
                return _decode_json(content.decode("utf-8", "surrogatepass"))
            return _json.loads(content)
        except (ValueError, RecursionError) as error:
            problem = str(error) if self.content else "the body is empty"
            message = f"the response of {redact_url(self.url)} ({self.status_code}) is not JSON: {problem}"
            raise ResponseValidationError(message, **self._evidence()) from None

    @property
    def is_success(self) -> bool:
        """Whether the status is 2xx."""
        return 200 <= self.status_code <= 299

    @property
    def sent_state(self) -> SentState:
        """REFUSED when the server says that it did not process the request, else ANSWERED.

        429 (RFC 6585), 425 (RFC 8470, 5.2), and 503 with a Retry-After refuse before processing.
        """
        status = self.status_code
        if status in (425, 429) or (status == 503 and "Retry-After" in self.headers):
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
        """What an application/problem+json response (RFC 9457) says is wrong; None for any other."""
        return parse_problem(self.headers.get("Content-Type"), self.content)

    def raise_for_status(self) -> HttpResponse:
        """This response; HttpStatusError when the status is 4xx or 5xx, with what its `problem` says."""
        if self.status_code < 400:
            return self
        method = self.request.method if self.request is not None else "the request to"
        message = f"{method} {redact_url(self.url)} answered {self.status_code} {self.reason_phrase}".rstrip()
        problem = self.problem
        if problem is not None:
            message += _told(problem, self.reason_phrase)
        raise HttpStatusError(message, status_code=self.status_code, problem=problem, **self._evidence())

    def explain(self) -> str:
        """The story of the call as a person would tell it, one line an event."""
        return self.timeline.explain() if self.timeline is not None else f"{self!r}"

    if not TYPE_CHECKING:  # a type checker knows what there is

        def __getattr__(self, name: str) -> NoReturn:
            if name.startswith("__"):  # asked by the machinery, and often: for "__await__", say
                raise AttributeError(name, name=name, obj=self)
            kind = type(self)
            remedy = f"; use {kind._ELSEWHERE[name]}" if name in kind._ELSEWHERE else ""
            message = f"{kind.__name__!r} object has no attribute {name!r}{remedy}"
            raise AttributeError(message, name=name, obj=self)

    _ELSEWHERE: ClassVar[Mapping[str, str]] = {  # what other clients call it
        "ok": "is_success",
        "is_error": "is_success",
        "status": "status_code",
        "reason": "reason_phrase",
        **dict.fromkeys(("encoding", "charset"), "text, or content.decode(...)"),
        **dict.fromkeys(("read", "aread"), "content, which is here"),
        **dict.fromkeys(
            ("raw", "iter_content", "iter_bytes", "iter_text", "iter_lines", "aiter_bytes", "aiter_lines"),
            "client.stream(...) to take the body in pieces",
        ),
    }

    def _evidence(self) -> dict[str, Any]:
        return {
            "response": self,
            "request": self.request,
            "sent_state": self.sent_state,
            "timeline": self.timeline,
        }

    def __repr__(self) -> str:
        return f"<HttpResponse [{self.status_code}]>"


def _by_hand(status_code: object, content: object) -> tuple[int, bytes]:
    """A status and a content that did not come from the wire."""
    if not isinstance(status_code, int) or isinstance(status_code, bool):
        raise TypeError(f"status_code must be an int such as 200, not {status_code!r}")
    if isinstance(content, str):
        content = content.encode()
    if not isinstance(content, (bytes, bytearray, memoryview)):
        raise TypeError(f"content must be bytes or text, not {type(content).__name__}; pass data as json=")
    return int(status_code), bytes(content)


def _told(problem: Problem, reason_phrase: str) -> str:
    """A problem's own words for an error message: one line, and not what the status says already."""
    texts = [_on_one_line(text) for text in (problem.title, problem.detail) if text is not None]
    words = ": ".join(text for text in texts if text not in ("", reason_phrase))
    return textwrap.shorten(f": {words}", _MOST_WORDS, placeholder=" ...") if words else ""


def _on_one_line(text: str) -> str:
    return " ".join("".join(each if each.isprintable() else " " for each in text).split())


class HttpContext:
    """What the layers and the interceptors know of one call. Lives as long as the call.

    correlation_id: a fresh id, made when first asked for; set it to use your own.
    request: the request of the running attempt, as the interceptors left it.
    attempt: the 1-based number of the running attempt.
    key: what circuit and budget are kept per, such as ``https://api.example.com``.
    deadline_at: the instant on the client's clock by which the call must be over, or None.

    Interceptors may set any further attribute.
    """

    __slots__ = ("__dict__", "_correlation_id", "attempt", "deadline_at", "key", "request")

    def __init__(self, request: HttpRequest, key: str = "") -> None:
        self.request = request
        self.key = key
        self.attempt = 0
        self.deadline_at: float | None = None
        self._correlation_id: str | None = None

    @property
    def correlation_id(self) -> str:
        """An id for this call, the same over its attempts."""
        if self._correlation_id is None:
            self._correlation_id = str(uuid.uuid4())
        return self._correlation_id

    @correlation_id.setter
    def correlation_id(self, value: str) -> None:
        self._correlation_id = value

    def __repr__(self) -> str:
        return f"<HttpContext attempt {self.attempt} of {self.request!r}>"
