"""Certificates that no library makes: older forms, odd names, and what is cut off."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from http_service_client.cli.doctor.certificates import Certificate, read_certificate
from kit.der import (
    ALTERNATIVE_NAMES,
    BMP,
    COMMON_NAME,
    COUNTRY,
    GENERAL_TIME,
    KEY_USAGE,
    ORGANISATION,
    OWN,
    UTC_TIME,
    UTF8,
    certificate,
    element,
    extension,
    name,
)
from kit.rows import each_row

UTC = timezone.utc


def read(der: bytes) -> Certificate:
    found = read_certificate(der)
    assert found is not None
    return found


@each_row(
    ("subject", "shown"),
    [
        (OWN, "h.example"),
        (name((COMMON_NAME, UTF8, "grün".encode())), "grün"),
        (name((COMMON_NAME, BMP, "grün".encode("utf-16-be"))), "grün"),
        (name((COMMON_NAME, UTF8, b"a\xffb")), "a\ufffdb"),
        (name((COUNTRY, UTF8, b"DE"), (ORGANISATION, UTF8, b"Shop"), (COMMON_NAME, UTF8, b"h")), "h"),
        (name((COUNTRY, UTF8, b"DE"), (ORGANISATION, UTF8, b"Shop")), "Shop"),
        (name((COUNTRY, UTF8, b"DE")), "(no name)"),
        (name(), "(no name)"),
    ],
)
def test_a_subject_is_shown_by_its_name_or_its_organisation(subject: bytes, shown: str) -> None:
    """In any of the forms of a text that are in use."""
    assert read(certificate(subject=subject)).subject == shown


@pytest.mark.parametrize(
    ("time", "instant"),
    [
        ((UTC_TIME, b"270102030405Z"), datetime(2027, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ((UTC_TIME, b"491231235959Z"), datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC)),
        ((UTC_TIME, b"500101000000Z"), datetime(1950, 1, 1, tzinfo=UTC)),
        ((GENERAL_TIME, b"20500101000000Z"), datetime(2050, 1, 1, tzinfo=UTC)),
    ],
)
def test_years_have_two_digits_or_four(time: tuple[int, bytes], instant: datetime) -> None:
    """Of two, 50 to 99 are of the last century."""
    found = read(certificate(times=(time, time)))
    assert (found.valid_from, found.valid_until) == (instant, instant)


def test_hosts_are_names_and_addresses() -> None:
    """Other kinds of names, and other extensions, critical ones too, are passed over."""
    usage = extension(KEY_USAGE, b"\x03\x02\x05\xa0", is_critical=True)
    names = [
        element(0x82, b"h.example"), element(0x86, b"https://h.example"), element(0x87, bytes([192, 0, 2, 1])),
        element(0x87, bytes(15) + b"\x01"), element(0x82, b"gr\xfcn.example"),
    ]  # fmt: skip
    hosts = ("h.example", "192.0.2.1", "::1", "gr\ufffdn.example")
    for is_critical in (True, False):
        made = certificate(usage, extension(ALTERNATIVE_NAMES, *names, is_critical=is_critical), usage)
        assert read(made).hosts == hosts


@pytest.mark.parametrize("has_version", [True, False])
def test_an_old_certificate_has_no_extensions(has_version: bool) -> None:
    """Nor a version, which is the first one then."""
    found = read(certificate(has_version=has_version))
    assert (found.subject, found.issuer, found.hosts) == ("h.example", "Authority", ())
    assert not found.is_self_signed
    assert read(certificate(issuer=OWN, has_version=has_version)).is_self_signed


def test_nothing_that_is_cut_off_is_a_certificate() -> None:
    """Wherever that happened."""
    whole = certificate(extension(ALTERNATIVE_NAMES, element(0x82, b"h.example")))
    assert read_certificate(whole) is not None
    assert [size for size in range(len(whole)) if read_certificate(whole[:size]) is not None] == []
