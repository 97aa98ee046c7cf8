"""Credentials for `auth=`, per client and per call.

`Basic` and `Bearer` are headers, `Digest` answers challenges. `AuthFlow` is the shape of a flow of one's own: a plain generator that yields requests
and is sent their responses, run by blocking and asyncio calls alike. A `RequestSigner`, for
`HttpClientConfig(request_signers=[…])`, signs each request in its final form, a `SignableRequest`.
"""

from ..http.auth.api_key import ApiKey
from ..http.auth.basic import Basic
from ..http.auth.bearer import Bearer
from ..http.auth.digest import Digest
from ..http.auth.flow import AuthFlow
from ..http.auth.signing import RequestSigner, SignableRequest
from .aws import AwsSigV4
from .hmac_signature import HmacSignature
from .message_signature import MessageSignature
from .oauth2 import OAuth2ClientCredentials, OAuth2Grant, OAuth2RefreshToken
from .tokens import BearerToken

__all__ = [
    "ApiKey",
    "AuthFlow",
    "AwsSigV4",
    "Basic",
    "Bearer",
    "BearerToken",
    "Digest",
    "HmacSignature",
    "MessageSignature",
    "OAuth2ClientCredentials",
    "OAuth2Grant",
    "OAuth2RefreshToken",
    "RequestSigner",
    "SignableRequest",
]
