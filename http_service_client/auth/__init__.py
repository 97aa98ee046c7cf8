"""Credentials for `auth=`, per client and per call.

`Basic` and `Bearer` are headers, `Digest` answers challenges. `AuthFlow` is the shape of a flow of one's own: a plain generator that yields requests
and is sent their responses, run by blocking and asyncio calls alike. A `RequestSigner`, for
`HttpClientConfig(request_signers=[…])`, signs each request in its final form, a `SignableRequest`.
"""

from typing import TYPE_CHECKING

from ..lazy import lazy_names as _lazy_names

if TYPE_CHECKING:
    from ..http.auth.api_key import ApiKey as ApiKey
    from ..http.auth.basic import Basic as Basic
    from ..http.auth.bearer import Bearer as Bearer
    from ..http.auth.digest import Digest as Digest
    from ..http.auth.flow import AuthFlow as AuthFlow
    from ..http.auth.signing import RequestSigner as RequestSigner
    from ..http.auth.signing import SignableRequest as SignableRequest
    from .aws import AwsSigV4 as AwsSigV4
    from .hmac_signature import HmacSignature as HmacSignature
    from .message_signature import MessageSignature as MessageSignature
    from .oauth2 import OAuth2ClientCredentials as OAuth2ClientCredentials
    from .oauth2 import OAuth2Grant as OAuth2Grant
    from .oauth2 import OAuth2RefreshToken as OAuth2RefreshToken
    from .tokens import BearerToken as BearerToken

if not TYPE_CHECKING:  # a type checker would take `from … import *` for an import of nothing
    __all__ = _lazy_names(
        globals(),
        {
            "..http.auth.api_key": "ApiKey",
            "..http.auth.basic": "Basic",
            "..http.auth.bearer": "Bearer",
            "..http.auth.digest": "Digest",
            "..http.auth.flow": "AuthFlow",
            "..http.auth.signing": "RequestSigner SignableRequest",
            ".aws": "AwsSigV4",
            ".hmac_signature": "HmacSignature",
            ".message_signature": "MessageSignature",
            ".oauth2": "OAuth2ClientCredentials OAuth2Grant OAuth2RefreshToken",
            ".tokens": "BearerToken",
        },
    )
