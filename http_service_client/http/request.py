"""The request, as the caller gave it and as the interceptors change it."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Any

from ..errors import InvalidRequestError
from .bodies.encoding import UNSET, RequestBody, encode_body
from .bodies.json_codecs import JsonCodec
from .bodies.progress import Progress, report_progress
from .headers import Headers, build_headers, with_secret_names
from .urls import redact_url

__all__ = ["HttpRequest"]

_new = object.__new__
_IDEMPOTENCY_HEADERS = ("Idempotency-Key", "X-Idempotency-Key")
_NO_KEYS = ("", "None")
# RFC 9110, 9.2.2, and RFC 10008.
_IDEMPOTENT_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "QUERY", "TRACE", "PUT", "DELETE"})


class HttpRequest:
    """One request, on its way through the interceptors to the wire.

    method: upper case.  url: absolute, query merged.  headers: mutable, case-insensitive.
    json, data, files: the body as it was given; setting one re-encodes the body.
    content: the encoded bytes of the body, before they are compressed; None for a streamed body.
    idempotent: True when the caller vouches that sending it twice does no harm; None: by its method or key.
    progress: None, or a callable that is called while the body is sent, with the bytes so far and the total
        (None if unknown).
    decompress: whether the response's content codings are decoded; None: as the client's
        `enable_response_decompression` says.
    pickles_secrets: True to have its credentials in its pickle; False leaves ``***`` in their place, in headers and URL.
    left_origin: a redirect led it to another origin, where the client's credentials must not go.
    url_template: the path of the URL with the placeholders of the call's `path_params`, or None.
    withheld: names of headers that it had before it was pickled without their values (see `HttpServiceClient.send`).
    follows_redirects: a redirect in response to it is followed, so that nobody reads the redirect's body.

    Raises InvalidRequestError for a body that cannot be encoded.
    """

    __slots__ = (
        "_body",
        "_codec",
        "_data",
        "_files",
        "_json",
        "_own_data",
        "_own_json",
        "decompress",
        "follows_redirects",
        "headers",
        "idempotent",
        "left_origin",
        "method",
        "pickles_secrets",
        "progress",
        "url",
        "url_template",
        "withheld",
    )

    def __init__(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, object] | Iterable[tuple[str, object]] | None = None,
        json: object = None,
        data: object = None,
        files: object = None,
        content: bytes | None = None,
        idempotent: bool | None = None,
    ) -> None:
        self.method = method
        self.url = url
        self.headers = headers if type(headers) is Headers else build_headers(headers)
        self.idempotent = idempotent
        self.progress: Progress | None = None
        self.decompress: bool | None = None
        self.follows_redirects = self.pickles_secrets = self.left_origin = False
        self.withheld: tuple[str, ...] = ()
        self.url_template: str | None = None
        self._json = json
        self._data = data
        self._files = files
        self._own_json = self._own_data = True
        self._codec: JsonCodec | None = None
        self._body: RequestBody | None = self._encoded(content)

    def _use_codec(self, codec: JsonCodec, json: object) -> None:
        """Encode this JSON body, and what replaces it, by a codec, which decodes the response, too."""
        self._codec = codec
        if json is not None:
            self.json = json
            self._body = self._encoded()

    @property
    def json(self) -> Any:
        """The JSON body as it was given. Change it freely: a copied request copies it on first access."""
        if not self._own_json:
            self._json, self._own_json = copy.deepcopy(self._json), True
        if not isinstance(self._json, (str, int, float, type(None))):
            self._body = None  # the caller may change it in place from now on
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
        """The encoded bytes: b"" without a body, None for a streamed body."""
        return self.body.content

    @content.setter
    def content(self, value: bytes) -> None:
        self._json = self._data = self._files = None
        self._body = encode_body(UNSET, None, None, value)

    @property
    def body(self) -> RequestBody:
        """The body, encoded from the present json, data and files."""
        if self._body is None:
            self._body = self._encoded()
        return self._body

    @body.setter
    def body(self, value: RequestBody) -> None:
        if not isinstance(value, RequestBody):  # other clients have a writable body
            raise InvalidRequestError(
                f"request.body is encoded by the client and cannot be of type {type(value).__name__}; "
                "set request.content, data, json or files"
            )
        self._body = value

    def _encoded(self, content: bytes | None = None) -> RequestBody:
        body = encode_body(self._json, self._data, self._files, content, self._codec)
        if body.charset is None or "Content-Type" not in self.headers:
            return body
        # Now, since an interceptor may sign the bytes.
        return body.in_charset_of(self.headers["Content-Type"])

    @property
    def outgoing_body(self) -> RequestBody:
        """The body for a transport to send, with its progress reported. Read it once for each sending."""
        body = self.body
        return body if self.progress is None or body.length == 0 else report_progress(body, self.progress)

    @property
    def is_safe_to_repeat(self) -> bool:
        """Whether processing it twice has the same effect as once: by `idempotent`, its method, or its key.

        A key that is empty or "None", as text makes of a variable that was never set, does not count: it
        tells no request from another.
        """
        if self.idempotent is not None:
            return self.idempotent
        return self.method in _IDEMPOTENT_METHODS or self.has_idempotency_key

    @property
    def has_idempotency_key(self) -> bool:
        """Whether it has an Idempotency-Key or X-Idempotency-Key that tells it from other requests."""
        return any(self.headers.get(name, "").strip() not in _NO_KEYS for name in _IDEMPOTENCY_HEADERS)

    def has_body_of(self, other: HttpRequest) -> bool:
        """Whether a copy of `other` has the same body still. Reading json or data of a copy does not change it."""
        body = self._body
        if (
            body is not None
            and body is not other._body
            and (body.content is None or body.content != other.content)
        ):
            return False
        return self._json == other._json and self._data == other._data and self._files is other._files

    def copy(self) -> HttpRequest:
        """A copy for one attempt, with its own headers; json and data are copied on first access."""
        twin = _new(HttpRequest)
        twin.method = self.method
        twin.url = self.url
        twin.headers = self.headers.copy()
        twin.idempotent = self.idempotent
        twin.progress = self.progress
        twin.decompress = self.decompress
        twin.follows_redirects = self.follows_redirects
        twin.pickles_secrets = self.pickles_secrets
        twin.left_origin = self.left_origin
        twin.withheld = self.withheld
        twin.url_template = self.url_template
        twin._json, twin._data, twin._files = self._json, self._data, self._files
        twin._own_json = twin._own_data = False
        twin._body, twin._codec = self._body, self._codec
        return twin

    def redacted(self) -> HttpRequest:
        """A copy without secrets, to be logged or pickled: with ``***`` in headers and URL, and without a body."""
        twin = HttpRequest(
            self.method,
            redact_url(self.url),
            headers=self.headers.redacted(),
            idempotent=self.idempotent,
        )
        twin.left_origin = self.left_origin
        twin.url_template = self.url_template
        return twin

    def __repr__(self) -> str:
        return f"<HttpRequest {self.method} {redact_url(str(self.url))}>"

    def __copy__(self) -> HttpRequest:
        return self.copy()

    def __deepcopy__(self, memo: object) -> HttpRequest:
        return self.copy()

    def __getstate__(self) -> dict[str, Any]:
        # A streamed body or an open file cannot cross a process boundary; the rest of the request can.
        keeps = self.pickles_secrets
        headers = build_headers(self.headers)  # an interceptor may have assigned a mapping
        if not keeps:
            headers = headers.redacted()
        return {
            "method": self.method,
            "url": self.url if keeps else redact_url(self.url),
            "headers": (headers.multi_items(), headers.secret_names),
            "idempotent": self.idempotent,
            "decompress": self.decompress,
            "pickles_secrets": keeps,
            "left_origin": self.left_origin,
            "url_template": self.url_template,
            "content": self.body.content,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(  # type: ignore[misc]  # the one constructor
            state["method"],
            state["url"],
            headers=with_secret_names(*state["headers"]),
            content=state["content"],
            idempotent=state["idempotent"],
        )
        for name in ("decompress", "pickles_secrets", "left_origin", "url_template"):
            setattr(self, name, state[name])
        if state["content"] is None:
            self._body = RequestBody(is_replayable=False)
            # It stayed behind; to send nothing in its place would be another request.
            self._body.has_started = True
