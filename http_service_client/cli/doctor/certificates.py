"""Reads what people want to know of a certificate: whose it is, who vouches for it, and until when.

`ssl` shows the fields of a certificate only if it could be verified; the ones that could not are those that people ask
about. So this reads the few fields of its DER encoding (RFC 5280, 4.1; X.690) itself. It verifies nothing.

    Certificate    ::= SEQUENCE { tbsCertificate, signatureAlgorithm, signatureValue }
    TBSCertificate ::= SEQUENCE { [0] version, serialNumber, signature, issuer, validity, subject,
                                  subjectPublicKeyInfo, …, [3] extensions }
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from ipaddress import ip_address

__all__ = ["Certificate", "read_certificate"]

_SEQUENCE, _OCTETS, _OID, _UTC_TIME, _EXTENSIONS, _VERSION = 0x30, 0x04, 0x06, 0x17, 0xA3, 0xA0
_DNS_NAME, _IP_ADDRESS = 0x82, 0x87
_NAMES = {b"\x55\x04\x03": "CN", b"\x55\x04\x0a": "O"}  # 2.5.4.3, 2.5.4.10
_ALTERNATIVE_NAMES = b"\x55\x1d\x11"  # 2.5.29.17


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate. subject, issuer: their common name, else their organisation.  hosts: names and addresses."""

    subject: str
    issuer: str
    valid_from: datetime
    valid_until: datetime
    hosts: tuple[str, ...]
    is_self_signed: bool


def read_certificate(der: bytes) -> Certificate | None:
    """The certificate; None for bytes that are not one."""
    try:
        return _read(der)
    except (ValueError, IndexError, StopIteration):
        return None


def _read(der: bytes) -> Certificate:
    _, outer = next(_elements(der))
    _, body = next(_elements(outer))
    fields = [each for each in _elements(body) if each[0] != _VERSION]
    (_, issuer), (_, validity), (_, subject) = fields[2:5]
    since, until = (_instant(tag, value) for tag, value in _elements(validity))
    extensions = next((value for tag, value in fields[6:] if tag == _EXTENSIONS), b"")
    return Certificate(
        _name(subject),
        _name(issuer),
        since,
        until,
        tuple(_hosts(extensions)),
        is_self_signed=subject == issuer,
    )


def _elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The tags and contents of the elements one after the other."""
    at = 0
    while at < len(data):
        tag, size = data[at], data[at + 1]
        at += 2
        if size & 0x80:
            count = size & 0x7F
            size = int.from_bytes(data[at : at + count], "big")
            at += count
        if at + size > len(data):
            raise ValueError("cut short")
        yield tag, data[at : at + size]
        at += size


def _name(data: bytes) -> str:
    found: dict[str, str] = {}
    for _, group in _elements(data):
        for _, pair in _elements(group):
            (_, kind), (tag, value) = _elements(pair)
            if kind in _NAMES:
                found[_NAMES[kind]] = value.decode("utf-16-be" if tag == 0x1E else "utf-8", "replace")
    return found.get("CN") or found.get("O") or "(no name)"


def _instant(tag: int, value: bytes) -> datetime:
    text = value.decode("ascii")
    if tag == _UTC_TIME:  # two digits of the year: 50 to 99 are of the last century (RFC 5280, 4.1.2.5.1)
        text = f"{'19' if text[:2] >= '50' else '20'}{text}"
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=timezone.utc)


def _hosts(extensions: bytes) -> Iterator[str]:
    if not extensions:
        return
    _, listed = next(_elements(extensions))
    for _, extension in _elements(listed):
        parts = list(_elements(extension))
        if parts[0] != (_OID, _ALTERNATIVE_NAMES):
            continue
        _, names = next(_elements(parts[-1][1]))
        for tag, value in _elements(names):
            if tag == _DNS_NAME:
                yield value.decode("ascii", "replace")
            elif tag == _IP_ADDRESS:
                yield str(ip_address(value))
