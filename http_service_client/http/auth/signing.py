"""The request as a signer sees it: in the form in which it goes on the wire."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from ...errors import InvalidRequestError
from ..header_validation import check_framing, check_trace, validate_headers
from ..headers import Headers, build_headers
from ..urls import split_url

if TYPE_CHECKING:
    from ..context import HttpContext
    from ..messages import HttpRequest

__all__ = ["RequestSigner", "SignableRequest"]

_FIXED = ("Host", "Content-Length", "Content-Encoding")  # where the message goes, and where its body ends


class RequestSigner(Protocol):
    """An object for `request_signers`; a plain function with these arguments will do as well.

    The method may be plain or `async def`. An attribute ``signs_other_origins = True`` has it called too after a
    redirect led to another origin.
    """

    def sign_request(self, request: SignableRequest, context: HttpContext) -> object:
        """Called for each exchange, with the final request. It adds headers and returns nothing, or the request."""
        ...


class SignableRequest:
    """The request of one exchange, as it goes on the wire: compressed, with its cookies, with Host and Content-Length.

    method, url: as sent.   headers: mutable, and sent as they are here. Beside them there are only Transfer-Encoding, for
    a body of unknown length, and Connection.

    Raises InvalidRequestError when anything but a header is set.
    """

    __slots__ = ("_fixed", "_headers", "_request")
    _fixed: list[str | None]
    _headers: Headers
    _request: HttpRequest

    def __init__(self, request: HttpRequest) -> None:
        signed = request.copy()
        signed.headers.setdefault("Host", split_url(request.url).host_field)
        object.__setattr__(self, "_request", signed)
        object.__setattr__(self, "_headers", signed.headers)
        object.__setattr__(self, "_fixed", [signed.headers.get(name) for name in _FIXED])

    @property
    def method(self) -> str:
        """In upper case."""
        return self._request.method

    @property
    def url(self) -> str:
        """Absolute, with the query as sent."""
        return self._request.url

    @property
    def headers(self) -> Headers:
        """Mutable."""
        return self._headers

    @headers.setter
    def headers(self, value: Mapping[str, object] | Iterable[tuple[str, object]]) -> None:
        object.__setattr__(self, "_headers", build_headers(value))

    @property
    def content(self) -> bytes:
        """The bytes of the body; b"" without one.

        Raises InvalidRequestError when they are not in memory.
        """
        body = self._request.body
        if body.content is not None:
            return body.content
        if body.is_async or not body.is_replayable:
            raise InvalidRequestError(
                f"the body is {_kind(body)}, whose bytes are known only while they are sent; "
                "pass bytes or a file, or sign without the body's hash"
            )
        raise InvalidRequestError(
            "the body is read from a file or an iterable and is not in memory; hash it in pieces by request.chunks()"
        )

    def chunks(self) -> Iterator[bytes]:
        """The body from its start, in pieces: bytes, a file, or an iterable that starts over each time.

        Raises InvalidRequestError for a body that can be read only once, or only asynchronously.
        """
        body = self._request.body
        if body.is_async or not body.is_replayable:
            return iter((self.content,))  # which raises
        return body.chunks()

    if not TYPE_CHECKING:  # a type checker would accept an assignment of any name

        def __setattr__(self, name: str, value: object) -> None:
            if name != "headers":
                raise InvalidRequestError(
                    f"a signer may set headers, not {name}: the request is in its final form; change it in an interceptor"
                )
            object.__setattr__(self, name, value)

    def final(self) -> HttpRequest:
        """The signed request. Raises InvalidRequestError for a header that may not be sent."""
        request, headers = self._request, self._headers
        for name, value in zip(_FIXED, self._fixed, strict=True):
            if headers.get(name) != value:
                raise InvalidRequestError(
                    f"a signer may not change the header {name}, which describes the message"
                )
        check_framing(headers, request.body.length, has_body=True)
        if request.method == "TRACE":
            check_trace(headers, request.headers.secret_names)
        validate_headers(headers)
        headers.secret_names = request.headers.secret_names
        request.headers = headers
        return request

    def __repr__(self) -> str:
        return f"<SignableRequest {self._request!r}>"


def _kind(body: Any) -> str:
    return "an async iterable" if body.is_async else "a stream that can be read once"
