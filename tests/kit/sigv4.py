"""A verifier of AWS Signature Version 4, written from its specification: it shares no code with botocore."""

from __future__ import annotations

import hashlib
import hmac
from urllib.parse import quote, unquote_to_bytes

from http_service_client import HttpRequest

__all__ = ["is_signed"]


def is_signed(request: HttpRequest, body: bytes, secret_key: str) -> bool:
    """Whether AWS would accept a request that was received."""
    scheme, _, rest = request.headers["Authorization"].partition(" ")
    assert scheme == "AWS4-HMAC-SHA256"
    fields = dict(part.strip().split("=", 1) for part in rest.split(","))
    _, date, region, service, _ = fields["Credential"].split("/")
    target = request.url[request.url.index("/", 8) :]
    path, _, query = target.partition("?")
    is_s3 = service in ("s3", "s3-object-lambda", "s3-outposts")
    path = quote(unquote_to_bytes(path) if is_s3 else path, safe="/-_.~")
    pairs = [pair.partition("=")[::2] for pair in query.split("&") if pair]
    canonical_query = "&".join(
        f"{name}={value}"
        for name, value in sorted(
            (quote(unquote_to_bytes(n), safe="-_.~"), quote(unquote_to_bytes(v), safe="-_.~"))
            for n, v in pairs
        )
    )
    names = fields["SignedHeaders"].split(";")
    if not {name.lower() for name in request.headers if name.lower().startswith("x-amz-")} <= {*names}:
        return False
    hashed = request.headers.get("X-Amz-Content-SHA256", hashlib.sha256(body).hexdigest())
    if hashed not in (hashlib.sha256(body).hexdigest(), "UNSIGNED-PAYLOAD"):
        return False
    lines = [f"{name}:{' '.join(request.headers[name].split())}\n" for name in names]
    canonical = "\n".join(
        [request.method, path, canonical_query, "".join(lines), fields["SignedHeaders"], hashed]
    )
    scope = f"{date}/{region}/{service}/aws4_request"
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    text = f"AWS4-HMAC-SHA256\n{request.headers['X-Amz-Date']}\n{scope}\n{digest}"
    key = f"AWS4{secret_key}".encode()
    for part in (date, region, service, "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return hmac.compare_digest(hmac.new(key, text.encode(), hashlib.sha256).hexdigest(), fields["Signature"])
