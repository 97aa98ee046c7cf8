"""Checksums: a known algorithm and a digest of its length."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from http_service_client.errors import InvalidRequestError
from http_service_client.http.bodies.checksums import _HEX_DIGITS, Checksum, parse_checksum
from kit.rows import each_row


@given(st.sampled_from(sorted(_HEX_DIGITS)), st.binary())
def test_every_known_algorithm_checks_its_own_digest(algorithm: str, data: bytes) -> None:
    """As hashlib computes it, in any case; a parsed checksum is written the same."""
    digest = hashlib.new(algorithm, data, usedforsecurity=False).hexdigest()
    checksum = parse_checksum(f" {algorithm}:{digest}\n")
    assert checksum == Checksum(algorithm, digest) == parse_checksum(f"{algorithm}:{digest}".upper())
    assert str(checksum) == f"{algorithm}:{digest}"
    computed = checksum.new_hash()
    computed.update(data)
    assert computed.hexdigest() == digest


def test_a_system_that_forbids_md5_for_security_computes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """One in FIPS mode: a checksum against damage is no security."""
    real = hashlib.new

    def new(name: str, *data: bytes, usedforsecurity: bool = True) -> Any:
        if usedforsecurity:
            raise ValueError("disabled for FIPS")
        return real(name, *data, usedforsecurity=usedforsecurity)

    monkeypatch.setattr(hashlib, "new", new)
    assert parse_checksum("md5:" + "0" * 32).new_hash().name == "md5"


@pytest.mark.parametrize(
    ("text", "algorithm"),
    [("SHA-256:" + "A" * 64, "sha256"), ("sha3-512:" + "a" * 128, "sha3_512"), ("sha-1:" + "0" * 40, "sha1")],
)
def test_other_spellings_of_an_algorithm_are_accepted(text: str, algorithm: str) -> None:
    """Those of RFC 9530 and FIPS 202."""
    assert parse_checksum(text).algorithm == algorithm


@each_row(
    ("text", "problem"),
    [
        ("", "known algorithms are md5, sha1,"),
        ("a" * 64, "known algorithms"),
        ("sha256", "known algorithms"),
        ("sha256=" + "a" * 64, "known algorithms"),
        ("crc32:00000000", "known algorithms"),
        ("shake_128:00", "known algorithms"),
        (":" + "a" * 64, "known algorithms"),
        ("sha256:", "64 hexadecimal digits after the colon, not 0"),
        ("sha256:" + "a" * 63, "64 hexadecimal digits after the colon, not 63"),
        ("sha256:" + "a" * 128, "not 128 characters"),
        ("sha256:" + "g" * 64, "64 hexadecimal digits"),
        ("sha256: " + "a" * 63, "64 hexadecimal digits"),
        ("sha256:" + "\u0661" * 64, "64 hexadecimal digits"),
        (None, "must be text such as 'sha256:...', not NoneType"),
        (b"sha256:", "not bytes"),
    ],
)
def test_a_malformed_checksum_is_refused(text: Any, problem: str) -> None:
    """The error names the fault, and the algorithms that there are."""
    with pytest.raises(InvalidRequestError, match=problem):
        parse_checksum(text)


@given(st.text())
def test_no_text_raises_another_exception(text: str) -> None:
    """Any text is a checksum or an InvalidRequestError."""
    for candidate in (text, f"sha256:{text}"):
        try:
            parse_checksum(candidate)
        except InvalidRequestError:
            pass
