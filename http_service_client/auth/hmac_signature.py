"""HMAC signatures of webhooks and APIs: one signer for the many shapes that services have given them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from string import Formatter
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ..core.checks import check_duration, check_function, check_no_line_break
from ..errors import ConfigurationError, InvalidRequestError
from ..http.header_validation import is_token
from ..http.headers import Headers, build_headers

if TYPE_CHECKING:
    from ..http.auth.signing import SignableRequest
    from ..http.context import HttpContext

__all__ = ["HmacSignature"]

Key = str | bytes

_FIELDS = ("body", "header", "host", "method", "path", "query", "target", "timestamp", "url")
_IN_HEADERS = ("signature", "timestamp")
_ALGORITHMS = ("sha1", "sha224", "sha256", "sha384", "sha512")


@dataclass(frozen=True)
class HmacSignature:
    """Signs each request with a shared key: one of `request_signers`, and the check for the receiver.

    key: text (its UTF-8 bytes), bytes, or a sequence of them: the first one signs, and `verify` accepts all, so that a key
        can be replaced. Text has no line break: that of a file's end is in no service's key.
    headers: templates of the headers to set. ``{signature}`` and ``{timestamp}`` stand for the values.
    payload: the template of what is signed. Fields: ``{body}``, the bytes as they are sent; ``{timestamp}``, in whole seconds
        since the epoch; ``{method}``, ``{url}``, ``{target}`` (path and query), ``{path}``, ``{query}``, ``{host}``, and
        ``{header:Name}``, a header of the request. ``{{`` stands for a brace.
    algorithm: "sha256" or another SHA of `hashlib`.   encoding: of the signature, "hex" or "base64".
    clock: seconds since the epoch.

    Each attempt is signed again, with a timestamp of its own. Raises ConfigurationError for a wrong setting.

        >>> github = HmacSignature("key", headers={"X-Hub-Signature-256": "sha256={signature}"})
        >>> slack = HmacSignature(
        ...     "key",
        ...     headers={"X-Slack-Signature": "v0={signature}", "X-Slack-Request-Timestamp": "{timestamp}"},
        ...     payload="v0:{timestamp}:{body}",
        ... )
    """

    key: Key | Sequence[Key]
    _: KW_ONLY
    headers: Mapping[str, str] = field(default_factory=lambda: {"X-Signature": "{signature}"}, hash=False)
    payload: str = "{body}"
    algorithm: str = "sha256"
    encoding: str = "hex"
    clock: Callable[[], float] = field(default=time.time, compare=False)
    _keys: tuple[bytes, ...] = field(init=False, compare=False)
    _parts: tuple[_Part, ...] = field(init=False, compare=False)

    def __post_init__(self) -> None:
        given: Sequence[Any] = ()
        if isinstance(self.key, (str, bytes)):
            given = (self.key,)
        elif isinstance(self.key, Sequence):  # a copy: the list may change later
            given = tuple(self.key)
            object.__setattr__(self, "key", given)
        keys = tuple(each.encode() if isinstance(each, str) else each for each in given)
        if not keys or not all(isinstance(each, bytes) and each for each in keys):
            raise ConfigurationError("key must be text or bytes, not empty, or a sequence of such keys")
        for each in given:
            check_no_line_break("a key that is text", each)
        if self.algorithm not in _ALGORITHMS:
            raise ConfigurationError(
                f"algorithm must be one of {', '.join(_ALGORITHMS)}, not {self.algorithm!r}"
            )
        if self.encoding not in ("hex", "base64"):
            raise ConfigurationError(f"encoding must be 'hex' or 'base64', not {self.encoding!r}")
        check_function("clock", self.clock)
        object.__setattr__(self, "_keys", keys)
        object.__setattr__(self, "_parts", _parsed("payload", self.payload, _FIELDS))
        if not isinstance(self.headers, Mapping) or not all(map(is_token, self.headers)):
            raise ConfigurationError(
                "headers must map the names of headers to templates, such as "
                f"{{'X-Signature': '{{signature}}'}}, not {self.headers!r}"
            )
        object.__setattr__(self, "headers", dict(self.headers))
        found = {
            name
            for header, template in self.headers.items()
            for _, name, _ in _parsed(f"headers[{header!r}]", template, _IN_HEADERS)
        }
        if "signature" not in found:
            raise ConfigurationError("headers must have {signature} in one of them")
        if "timestamp" in {name for _, name, _ in self._parts} and "timestamp" not in found:
            raise ConfigurationError(
                "payload has {timestamp}, and headers do not: the receiver could not check it"
            )

    def sign_request(self, request: SignableRequest, context: HttpContext) -> None:
        """Add the headers."""
        timestamp = str(int(self.clock()))
        signature = self._signature(self._keys[0], request, request.headers, request.chunks, timestamp)
        for name, template in self.headers.items():
            request.headers[name] = template.format(signature=signature, timestamp=timestamp)

    def verify(
        self,
        headers: Mapping[str, str],
        body: bytes,
        *,
        method: str = "POST",
        url: str = "",
        tolerance: float = 300.0,
    ) -> bool:
        """Whether a request that was received is signed with one of the keys.

        headers, body: of the request, the body as it arrived.   method, url: needed if the payload has them.
        tolerance: seconds by which a timestamp may differ from the clock.

        A replay within this time is not noticed: remember the requests that were processed. A timestamp that the payload
        does not have is not signed: an attacker that replays a request can write another one.
        """
        check_duration("tolerance", tolerance, optional=False)
        if not isinstance(body, (bytes, bytearray, memoryview)):
            raise TypeError(f"body must be bytes, as they arrived, not {type(body).__name__}")
        received = build_headers(dict(headers))
        signatures, timestamp = self._found(received)
        if timestamp is not None and abs(self.clock() - int(timestamp)) > tolerance:
            return False
        message = _Received(method, url)
        try:
            expected = [
                self._signature(key, message, received, lambda: (body,), timestamp or "")
                for key in self._keys
            ]
        except ValueError:  # a header that was signed is missing or not text, or the URL is invalid
            return False
        # Each is compared, so that the time reveals nothing.
        matches = [hmac.compare_digest(mine, theirs) for mine in expected for theirs in signatures]
        return any(matches)

    def _signature(
        self,
        key: bytes,
        message: Any,
        headers: Headers,
        chunks: Callable[[], Iterable[bytes]],
        timestamp: str,
    ) -> str:
        mac = hmac.new(key, digestmod=getattr(hashlib, self.algorithm))
        for literal, name, argument in self._parts:
            mac.update(literal.encode())
            if name == "body":
                for chunk in chunks():
                    mac.update(chunk)
            elif name == "timestamp":
                mac.update(timestamp.encode())
            elif name is not None:
                mac.update(_value(name, argument, message, headers).encode())
        return mac.hexdigest() if self.encoding == "hex" else base64.b64encode(mac.digest()).decode()

    def _found(self, headers: Headers) -> tuple[list[str], str | None]:
        """All that may be a signature, and the timestamp; None if the headers have none, by the templates."""
        size = hashlib.new(self.algorithm).digest_size
        pattern = rf"(?<![0-9a-f])[0-9a-f]{{{2 * size}}}(?![0-9a-f])"
        if self.encoding == "base64":
            length = 4 * -(-size // 3)
            pattern = rf"(?<![A-Za-z0-9+/])[A-Za-z0-9+/=]{{{length}}}(?![A-Za-z0-9+/=])"
        signatures: list[str] = []
        timestamp: str | None = None
        for name, template in self.headers.items():
            value = headers.get(name, "")[:10_000]
            for literal, part, _ in _parsed(name, template, _IN_HEADERS):
                if part == "signature":
                    signatures += re.findall(pattern, value)
                elif part == "timestamp":
                    # A wrong or a missing one is not within any tolerance.
                    found = re.search(rf"{re.escape(literal)}([0-9]{{1,15}})(?![0-9])", value)
                    timestamp = "0" if found is None else found[1]
        return signatures, timestamp

    def __reduce__(self) -> tuple[Any, ...]:
        settings = {
            name: getattr(self, name) for name in ("headers", "payload", "algorithm", "encoding", "clock")
        }
        return _rebuild, (self.key, settings)

    def __repr__(self) -> str:
        return f"HmacSignature('***', headers={self.headers!r}, payload={self.payload!r}, algorithm={self.algorithm!r})"


_Part = tuple[str, "str | None", str]  # a literal, the field after it, and the field's argument


class _Received:
    """A request that was received, with what is signed of it besides headers and body."""

    def __init__(self, method: str, url: str) -> None:
        self.method = method.upper()
        self.url = url


def _rebuild(key: Any, settings: dict[str, Any]) -> HmacSignature:
    return HmacSignature(key, **settings)


def _parsed(setting: str, template: object, fields: Sequence[str]) -> tuple[_Part, ...]:
    if not isinstance(template, str):
        raise ConfigurationError(f"{setting} must be a template, not {type(template).__name__}")
    try:
        found = list(Formatter().parse(template))
    except ValueError as error:
        raise ConfigurationError(f"{setting} is not a template: {error}") from None
    for _, name, _, conversion in found:
        if conversion:
            raise ConfigurationError(f"{setting} has {{{name}!{conversion}}}; leave out its '!{conversion}'")
    parts = tuple((literal, name, spec or "") for literal, name, spec, _ in found)
    for _, name, argument in parts:
        if name is not None and (name not in fields or bool(argument) != (name == "header")):
            shown = f"{{{name}:{argument}}}" if argument else f"{{{name}}}"
            known = ", ".join(f"{{{each}:Name}}" if each == "header" else f"{{{each}}}" for each in fields)
            raise ConfigurationError(f"{setting} has {shown}, which is not a field; it may have {known}")
    return parts


def _value(name: str, argument: str, message: Any, headers: Headers) -> str:
    if name == "header":
        if argument not in headers:
            raise InvalidRequestError(
                f"the header {argument}, which is to be signed, is missing; set it in the call"
            )
        return headers[argument]
    if name == "host":
        return headers.get("Host", "")
    if name in ("method", "url"):
        return str(getattr(message, name))
    parts = urlsplit(message.url)
    path = parts.path or "/"
    if name == "target":  # a "?" without a query is sent, too
        return f"{path}?{parts.query}" if "?" in message.url.partition("#")[0] else path
    return path if name == "path" else parts.query
