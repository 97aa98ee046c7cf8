"""The checksum that a download must have: ``sha256:`` and the digest in hexadecimal.

Release pages and lock files write it so. md5 and sha1 are accepted because many pages offer nothing else;
they reveal a damaged file, but not a forged one.
"""

from __future__ import annotations

import hashlib
import re
from typing import NamedTuple

from ...errors import InvalidRequestError

__all__ = ["Checksum", "parse_checksum"]

_HEX_DIGITS = {
    "md5": 32,
    "sha1": 40,
    "sha224": 56,
    "sha256": 64,
    "sha384": 96,
    "sha512": 128,
    "sha3_256": 64,
    "sha3_384": 96,
    "sha3_512": 128,
    "blake2b": 128,
    "blake2s": 64,
}
_HEX = re.compile(r"[0-9a-f]+").fullmatch


class Checksum(NamedTuple):
    """An algorithm, by its name in `hashlib`, and the digest as lower-case hexadecimal digits."""

    algorithm: str
    digest: str

    def new_hash(self) -> hashlib._Hash:
        """A new hash object for the bytes; the file is correct when its `hexdigest()` equals `digest`."""
        return hashlib.new(self.algorithm, usedforsecurity=False)

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.digest}"


def parse_checksum(text: str) -> Checksum:
    """Parse ``algorithm:digest``, ignoring case; ``SHA-256`` is sha256. Raises InvalidRequestError.

    >>> parse_checksum("MD5:D41D8CD98F00B204E9800998ECF8427E")
    Checksum(algorithm='md5', digest='d41d8cd98f00b204e9800998ecf8427e')
    """
    if not isinstance(text, str):
        raise InvalidRequestError(f"checksum must be text such as 'sha256:...', not {type(text).__name__}")
    name, colon, digest = text.strip().lower().partition(":")
    algorithm = name.replace("sha-", "sha").replace("sha3-", "sha3_")
    if not colon or algorithm not in _HEX_DIGITS:
        raise InvalidRequestError(
            f"checksum {text[:80]!r} must be an algorithm, a colon and a digest; "
            f"known algorithms are {', '.join(_HEX_DIGITS)}"
        )
    digits = _HEX_DIGITS[algorithm]
    if _HEX(digest) is None or len(digest) != digits:
        raise InvalidRequestError(
            f"checksum {text[:160]!r} must have {digits} hexadecimal digits after the colon, "
            f"not {len(digest)} characters"
        )
    return Checksum(algorithm, digest)
