"""HTTP message signatures (RFC 9421) with digests of the content (RFC 9530), by http-message-signatures (the extra `signatures`)."""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass, field, fields
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from ..core.checks import check_duration, check_flag, check_function
from ..core.signals import raise_if_of_signal_handler
from ..errors import ConfigurationError, InvalidRequestError

if TYPE_CHECKING:
    from ..http.auth.signing import SignableRequest
    from ..http.context import HttpContext
    from ..http.headers import Headers

__all__ = ["MessageSignature"]

_DIGESTS = {"sha-256": hashlib.sha256, "sha-512": hashlib.sha512}
_DIGEST_HEADER = "content-digest"
# RFC 8941: the key of a dictionary's member (3.1.2), and a string (3.3.3).
_LABEL = re.compile(r"[a-z*][a-z0-9_.*-]*").fullmatch
_STRING = re.compile(r"[ -~]*").fullmatch


@dataclass(frozen=True)
class MessageSignature:
    """Signs each request by RFC 9421: one of `request_signers`. It sets `Signature-Input` and `Signature`.

    key: bytes: the shared secret of "hmac-sha256", or a private key in PEM format; or a key object of `cryptography`.
    key_id: the name by which the verifier knows the key.
    algorithm: "hmac-sha256", "ed25519", "ecdsa-p256-sha256", "ecdsa-p384-sha384", "rsa-pss-sha512" or "rsa-v1_5-sha256".
    components: what is signed: names of headers in lower case, and derived components. Those that have parameters are written
        as in RFC 9421: ``'"@query-param";name="id"'``.
    digest: "sha-256" or "sha-512" to sign the body, too, by a Content-Digest (RFC 9530); None to leave it unsigned. A request
        without a body has none.
    label: of this signature.   tag: of the application, or None.
    lifetime: seconds until the signature expires, or None.   nonce: True to send a random number with each.
    include_alg: False where the verifier knows the algorithm by the key, and wants no `alg`.
    clock: seconds since the epoch.

    Each attempt is signed again. Raises ConfigurationError where the library is missing, or a setting is wrong.
    """

    key: Any
    _: KW_ONLY
    key_id: str
    algorithm: str = "hmac-sha256"
    components: Sequence[str] = field(default=("@method", "@target-uri", "@authority"), hash=False)
    digest: str | None = "sha-256"
    label: str = "sig1"
    tag: str | None = None
    lifetime: float | None = None
    nonce: bool = False
    include_alg: bool = True
    clock: Callable[[], float] = field(default=time.time, compare=False)
    _signer: Any = field(init=False, compare=False)

    def __post_init__(self) -> None:
        if not isinstance(self.key_id, str) or not self.key_id or not _STRING(self.key_id):
            raise ConfigurationError(f"key_id must be ASCII text that is not empty, not {self.key_id!r}")
        if not self.key or isinstance(self.key, str):
            raise ConfigurationError("key must be bytes, or a key object; write text as b'...'")
        if self.digest not in (*_DIGESTS, None):
            raise ConfigurationError(f"digest must be 'sha-256', 'sha-512' or None, not {self.digest!r}")
        names = self.components
        if isinstance(names, str) or not (
            isinstance(names, Sequence) and all(isinstance(each, str) for each in names)
        ):
            raise ConfigurationError(
                "components must be a list of names, such as ['@method', 'content-type']"
            )
        for each in names:
            if each != each.lower() and not each.startswith('"'):
                raise ConfigurationError(
                    f"components must be in lower case; write {each.lower()!r}, not {each!r}"
                )
            if each == "@query-param":
                raise ConfigurationError(
                    "components has '@query-param' without its name; write '\"@query-param\";name=\"id\"'"
                )
        if not isinstance(self.label, str) or not _LABEL(self.label):
            raise ConfigurationError(
                f"label must be lower-case letters, digits and _-.*, such as 'sig1', not {self.label!r}"
            )
        if self.tag is not None and not (isinstance(self.tag, str) and _STRING(self.tag)):
            raise ConfigurationError(f"tag must be ASCII text, or None, not {self.tag!r}")
        check_duration("lifetime", self.lifetime)
        check_flag("nonce", self.nonce)
        check_flag("include_alg", self.include_alg)
        check_function("clock", self.clock)
        object.__setattr__(self, "components", tuple(names))
        object.__setattr__(self, "_signer", _new_signer(self.key, self.key_id, self.algorithm))

    def sign_request(self, request: SignableRequest, context: HttpContext) -> None:
        """Add the headers."""
        covered = list(self.components)
        content_digest = self._content_digest(request)
        if content_digest is not None:
            request.headers["Content-Digest"] = content_digest
            if _DIGEST_HEADER not in covered:
                covered.append(_DIGEST_HEADER)
        created = datetime.fromtimestamp(int(self.clock()), timezone.utc)
        try:
            self._signer.sign(
                _Message(request),
                key_id=self.key_id,
                created=created,
                expires=None if self.lifetime is None else created + timedelta(seconds=self.lifetime),
                nonce=secrets.token_urlsafe(18) if self.nonce else None,
                label=self.label,
                tag=self.tag,
                include_alg=self.include_alg,
                covered_component_ids=covered,
                use_existing_digest=_DIGEST_HEADER in request.headers,
                append_if_signature_exists="Signature" in request.headers,
            )
        except Exception as error:
            raise_if_of_signal_handler()
            raise InvalidRequestError(f"the request cannot be signed: {error}") from None

    def _content_digest(self, request: SignableRequest) -> str | None:
        """The Content-Digest of the bytes as they are sent; None without a body."""
        if self.digest is None:
            return None
        hashed, has_content = _DIGESTS[self.digest](), False
        for chunk in request.chunks():
            hashed.update(chunk)
            has_content = has_content or bool(chunk)
        if not has_content:
            return None
        return f"{self.digest}=:{base64.b64encode(hashed.digest()).decode()}:"

    def __reduce__(self) -> tuple[Any, ...]:
        names = [item.name for item in fields(self) if item.init and item.name != "key"]
        return _rebuild, (self.key, {name: getattr(self, name) for name in names})

    def __repr__(self) -> str:
        return f"MessageSignature('***', key_id={self.key_id!r}, algorithm={self.algorithm!r})"


def _rebuild(key: Any, settings: dict[str, Any]) -> MessageSignature:
    return MessageSignature(key, **settings)


class _Message:
    """The request as the library reads it: its URL with the authority that the server sees, which is that of Host."""

    def __init__(self, request: SignableRequest) -> None:
        self.method = request.method
        scheme, _, rest = request.url.partition("://")
        self.url = f"{scheme}://{request.headers['Host']}{rest[rest.index('/') :]}"
        self.headers: Headers = request.headers


def _new_signer(key: Any, key_id: str, algorithm: str) -> Any:
    try:
        from http_message_signatures import algorithms, resolvers, signatures
    except ImportError as error:
        raise ConfigurationError(
            "MessageSignature needs http-message-signatures: pip install 'http-service-client[signatures]'"
        ) from error
    names = vars(algorithms).values()
    known = {
        each.algorithm_id: each for each in names if isinstance(getattr(each, "algorithm_id", None), str)
    }
    if algorithm not in list(known):  # it may be of any type
        raise ConfigurationError(
            f"algorithm must be one of {', '.join(sorted(map(repr, known)))}, not {algorithm!r}"
        )
    try:
        known[algorithm](private_key=key)
    except Exception as error:
        raise ConfigurationError(f"key is not usable for {algorithm}: {type(error).__name__}") from None

    keys = resolvers.MappingKeyResolver(public_keys={}, private_keys={key_id: key})
    return signatures.HTTPMessageSigner(signature_algorithm=known[algorithm], key_resolver=keys)
