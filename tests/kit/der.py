"""Certificates in DER (X.690), byte by byte: those that no library would make."""

from __future__ import annotations

__all__ = [
    "ALTERNATIVE_NAMES",
    "AUTHORITY",
    "BMP",
    "COMMON_NAME",
    "COUNTRY",
    "GENERAL_TIME",
    "KEY_USAGE",
    "ORGANISATION",
    "OWN",
    "UTC_TIME",
    "UTF8",
    "certificate",
    "element",
    "extension",
    "name",
]

COMMON_NAME, ORGANISATION, COUNTRY = b"\x55\x04\x03", b"\x55\x04\x0a", b"\x55\x04\x06"
ALTERNATIVE_NAMES, KEY_USAGE = b"\x55\x1d\x11", b"\x55\x1d\x0f"
UTF8, BMP, UTC_TIME, GENERAL_TIME = 0x0C, 0x1E, 0x17, 0x18
SINCE, UNTIL = (UTC_TIME, b"260101000000Z"), (UTC_TIME, b"270102030405Z")


def element(tag: int, *contents: bytes) -> bytes:
    """An element of DER."""
    body = b"".join(contents)
    if len(body) < 0x80:
        return bytes([tag, len(body)]) + body
    size = len(body).to_bytes((len(body).bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(size)]) + size + body


def sequence(*contents: bytes) -> bytes:
    return element(0x30, *contents)


def name(*pairs: tuple[bytes, int, bytes]) -> bytes:
    """A name of these attributes: kind, form and text."""
    return sequence(
        *(element(0x31, sequence(element(6, kind), element(tag, text))) for kind, tag, text in pairs)
    )


def extension(kind: bytes, *contents: bytes, is_critical: bool = False) -> bytes:
    critical = [element(1, b"\xff")] if is_critical else []
    return sequence(element(6, kind), *critical, element(4, sequence(*contents)))


OWN, AUTHORITY = name((COMMON_NAME, UTF8, b"h.example")), name((COMMON_NAME, UTF8, b"Authority"))


def certificate(
    *extensions: bytes,
    subject: bytes = OWN,
    issuer: bytes = AUTHORITY,
    times: tuple[tuple[int, bytes], tuple[int, bytes]] = (SINCE, UNTIL),
    has_version: bool = True,
) -> bytes:
    """An unsigned one."""
    algorithm = sequence(element(6, b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b"))
    fields = [
        *([element(0xA0, element(2, b"\x02"))] if has_version else []),
        element(2, b"\x01"),
        algorithm,
        issuer,
        sequence(*(element(tag, text) for tag, text in times)),
        subject,
        sequence(algorithm, element(3, b"\0" * 300)),
        *([element(0xA3, sequence(*extensions))] if extensions else []),
    ]
    return sequence(sequence(*fields), algorithm, element(3, b"\0" * 80))
