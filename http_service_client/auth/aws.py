"""AWS Signature Version 4, by botocore's signer (the extra `aws`)."""

from __future__ import annotations

import hashlib
from collections.abc import Coroutine
from dataclasses import KW_ONLY, dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote_to_bytes, urlsplit

from ..core.checks import check_flag, check_no_line_break
from ..drivers.locks import ForkSafeLock
from ..drivers.threads import DaemonThreads
from ..errors import ConfigurationError, InvalidRequestError, TokenError

if TYPE_CHECKING:
    from ..http.auth.signing import SignableRequest
    from ..http.context import HttpContext

__all__ = ["AwsSigV4"]

# Their paths are signed as they are, their hash of the body is a header, and bodies may go unsigned.
_S3 = frozenset({"s3", "s3-object-lambda", "s3-outposts"})
_UNSIGNED = "UNSIGNED-PAYLOAD"
_HASH = "X-Amz-Content-SHA256"
# Proxies may change the others on the way.
_SIGNED = frozenset({"host", "content-type", "content-md5"})
# Of their own: those that wait for a metadata service must not hold up the downloads of other calls.
_THREADS = DaemonThreads(8, idle=1.0)


@dataclass(frozen=True)
class AwsSigV4:
    """Signs each request for AWS (Signature Version 4): one of `request_signers`.

    service, region: such as "s3" and "eu-central-1", or "execute-api" for an API Gateway.
    access_key, secret_key, session_token: the credentials. Left out, botocore looks for them as the AWS CLI does, in the
        environment, files, containers and the instance's metadata, and renews those that expire.
    credentials: in their place, an object of botocore or boto3, such as ``boto3.Session(...).get_credentials()``.
    unsigned_payload: True to sign without the body's hash ("UNSIGNED-PAYLOAD", for S3), so that a body which is a stream
        can be sent. Use https then: nothing else protects the body.

    The host, the content type, all X-Amz headers, the URL and the hash of the body are signed, for each attempt again. A file
    is hashed by reading it once more; a stream is refused unless `unsigned_payload` is set. Credentials that have to be
    fetched are fetched in a thread. Raises ConfigurationError where botocore is missing, or a setting is wrong.
    """

    service: str
    region: str
    _: KW_ONLY
    access_key: str | None = None
    secret_key: str | None = None
    session_token: str | None = None
    credentials: Any = field(default=None, hash=False)
    unsigned_payload: bool = False
    _botocore: _Botocore = field(init=False, compare=False)

    def __post_init__(self) -> None:
        for name in ("service", "region"):
            value = getattr(self, name)
            if not isinstance(value, str) or not value:
                raise ConfigurationError(f"{name} must be text that is not empty, not {value!r}")
        given = [self.access_key, self.secret_key]
        is_given = given != [None, None]  # an empty variable is a mistake, and no reason to look elsewhere
        if is_given and not all(isinstance(each, str) and each for each in given):
            raise ConfigurationError(
                "access_key and secret_key must be set together, to text that is not empty"
            )
        if self.session_token is not None and not is_given:
            raise ConfigurationError("session_token belongs to an access_key and a secret_key; set them, too")
        if not (self.session_token is None or isinstance(self.session_token, str)):
            raise ConfigurationError(f"session_token must be text, not {type(self.session_token).__name__}")
        for name in ("service", "region", "access_key", "secret_key", "session_token"):
            check_no_line_break(name, getattr(self, name))
        if is_given and self.credentials is not None:
            raise ConfigurationError("both access_key and credentials are set; set only one of them")
        check_flag("unsigned_payload", self.unsigned_payload)
        object.__setattr__(self, "_botocore", _Botocore(self))

    def sign_request(
        self, request: SignableRequest, context: HttpContext
    ) -> Coroutine[Any, Any, None] | None:
        """Add the headers; later, if credentials have to be fetched."""
        credentials = self._botocore.ready()
        if credentials is None:
            return self._sign_later(request)
        self._sign(request, credentials)
        return None

    async def _sign_later(self, request: SignableRequest) -> None:
        # It imports asyncio: blocking clients whose credentials are at hand do without.
        from ..drivers.aio import in_thread

        self._sign(request, await in_thread(self._botocore.load, _THREADS))

    def _sign(self, request: SignableRequest, credentials: Any) -> None:
        hashed = self._hash(request)
        headers = {
            name: value
            for name, value in request.headers.items()
            if (name.lower() in _SIGNED or name.lower().startswith("x-amz-"))
            and name.lower() != _HASH.lower()
        }
        is_s3 = self.service in _S3
        if hashed == _UNSIGNED or _HASH in request.headers:  # AWS takes it for the body's, whoever set it
            headers[_HASH] = hashed
        parts = urlsplit(request.url)
        path = parts.path
        if is_s3:  # signed as S3 would write it, not as it is written
            path = quote(unquote_to_bytes(path), safe="/-_.~")
        signed = self._botocore.sign(
            is_s3,
            credentials,
            method=request.method,
            url=f"{parts.scheme}://{parts.netloc}{path}?{_escaped_query(parts.query)}",
            headers=headers,
            payload_hash=hashed,
        )
        for name, value in signed.items():
            if name.lower() not in _SIGNED:
                request.headers[name] = value

    def _hash(self, request: SignableRequest) -> str:
        if self.unsigned_payload:
            return _UNSIGNED
        hashed = hashlib.sha256()
        try:
            for chunk in request.chunks():
                hashed.update(chunk)
        except InvalidRequestError as error:
            raise InvalidRequestError(f"{error} (for S3, set unsigned_payload=True)") from None
        return hashed.hexdigest()

    def __reduce__(self) -> tuple[Any, ...]:
        names = ("access_key", "secret_key", "session_token", "credentials", "unsigned_payload")
        return _rebuild, (self.service, self.region, {name: getattr(self, name) for name in names})

    def __repr__(self) -> str:
        return f"AwsSigV4({self.service!r}, {self.region!r})"


def _escaped_query(query: str) -> str:
    """The query with the escapes that AWS signs, byte by byte: it may hold other encodings than UTF-8."""
    pairs = (pair.replace("+", "%20").partition("=") for pair in query.split("&") if pair)
    escaped = (
        [quote(unquote_to_bytes(part), safe="-_.~") for part in (name, value)] for name, _, value in pairs
    )
    return "&".join(map("=".join, escaped))


def _rebuild(service: str, region: str, settings: dict[str, Any]) -> AwsSigV4:
    return AwsSigV4(service, region, **settings)


class _Botocore:
    """What is used of botocore, and the credentials that it found."""

    def __init__(self, settings: AwsSigV4) -> None:
        try:
            from botocore import auth, awsrequest, credentials, session
        except ImportError as error:
            raise ConfigurationError(
                "AwsSigV4 needs botocore: pip install 'http-service-client[aws]'"
            ) from error

        class Signer(auth.SigV4Auth):  # type: ignore[misc]  # botocore has no types
            def payload(self, request: Any) -> str:
                return str(request.context["payload_hash"])

        class S3Signer(Signer, auth.S3SigV4Auth):  # type: ignore[misc]
            pass

        self._signers = (Signer, S3Signer)
        self._request = awsrequest.AWSRequest
        self._new_session = session.Session
        self._scope = (settings.service, settings.region)
        self._lock = ForkSafeLock()
        self._credentials = settings.credentials
        if settings.access_key is not None:
            self._credentials = credentials.Credentials(
                settings.access_key, settings.secret_key, settings.session_token
            )

    def ready(self) -> Any:
        """The credentials of the moment; None if getting them takes time."""
        found = self._credentials
        if found is None:
            return None
        needs_refresh = getattr(found, "refresh_needed", None)
        return None if needs_refresh is not None and needs_refresh() else found.get_frozen_credentials()

    def load(self) -> Any:
        """Find the credentials, or renew them, in a thread of our own. It may wait for files and for the network."""
        try:
            with self._lock:
                if self._credentials is None:
                    self._credentials = self._new_session().get_credentials()
            if self._credentials is not None:
                return self._credentials.get_frozen_credentials()
        except Exception as error:
            message = f"there are no credentials from botocore: {type(error).__name__}"
            raise TokenError(message, source="botocore") from error
        raise TokenError(
            "there are no credentials from botocore: it found none; set access_key and secret_key, or credentials",
            source="botocore",
        )

    def sign(
        self,
        is_s3: bool,
        credentials: Any,
        *,
        method: str,
        url: str,
        headers: dict[str, str],
        payload_hash: str,
    ) -> dict[str, str]:
        """The headers, with those of the signature."""
        request = self._request(method=method, url=url, headers=headers)
        request.context["payload_hash"] = payload_hash
        self._signers[is_s3](credentials, *self._scope).add_auth(request)
        return dict(request.headers.items())
