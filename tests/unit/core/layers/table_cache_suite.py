"""Cases of the public cache test suite that need two GETs of one URL, in a notation of our own.

The ids are those of https://cache-tests.fyi (github.com/http-tests/cache-tests), where each case is explained. Each law
is a section of RFC 9111. A row is

    id                 of the case
    first              fields of the first response, after a status if it is not 200; a date is seconds from then
    expected           of the second GET, three seconds later: HIT, SENT, or ASKED with the stored validator
    asks               fields of the first and the second request
    is_shared          the case is about a shared cache
    differs            why this cache does something else than the suite prefers, which is no requirement; "" if it does not
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["ASKED", "HIT", "SENT", "TABLE", "Row"]

HIT, SENT, ASKED = "hit", "sent", "asked"


class Row(NamedTuple):
    """One case."""

    id: str
    first: str
    expected: str
    asks: tuple[str, str] = ("", "")
    is_shared: bool = False
    differs: str = ""


# fmt: off
TABLE: dict[str, list[Row]] = {
    "4.2.1 max-age, s-maxage": [
        Row("freshness-none", "", SENT),
        Row("freshness-max-age", "Cache-Control: max-age=3600", HIT),
        Row("freshness-max-age-stale", "Cache-Control: max-age=2 | Date: +0 | Template-A: 1", SENT),
        Row("freshness-max-age-0", "Cache-Control: max-age=0", SENT),
        Row("freshness-max-age-max-minus-1", "Cache-Control: max-age=2147483647", HIT),
        Row("freshness-max-age-max", "Cache-Control: max-age=2147483648", HIT),
        Row("freshness-max-age-max-plus-1", "Cache-Control: max-age=2147483649", HIT),
        Row("freshness-max-age-max-plus", "Cache-Control: max-age=99999999999", HIT),
        Row("freshness-max-age-age", "Date: +0 | Cache-Control: max-age=3600 | Age: 7200", SENT),
        Row("freshness-max-age-date", "Date: -7200 | Cache-Control: max-age=3600", SENT),
        Row("freshness-max-age-expires", "Cache-Control: max-age=3600 | Expires: -7200 | Date: +0", HIT),
        Row("freshness-max-age-expires-invalid", "Cache-Control: max-age=3600 | Expires: 0 | Date: +0", HIT),
        Row("freshness-max-age-0-expires", "Expires: +3600 | Cache-Control: max-age=0 | Date: +0", SENT),
        Row("freshness-max-age-extension", "Cache-Control: foobar, max-age=3600", HIT),
        Row("freshness-max-age-case-insenstive", "Cache-Control: MaX-aGe=3600", HIT),
        Row("freshness-max-age-negative", "Cache-Control: max-age=-3600", SENT),
        Row("freshness-max-age-s-maxage-private", "Cache-Control: s-maxage=3600, max-age=1", SENT),
        Row("freshness-max-age-s-maxage-private-multiple", "Cache-Control: s-maxage=3600 | Cache-Control: max-age=1", SENT),
        Row("freshness-s-maxage-shared", "Cache-Control: s-maxage=3600", HIT, is_shared=True),
        Row("freshness-max-age-s-maxage-shared-longer", "Cache-Control: max-age=3600, s-maxage=1", SENT, is_shared=True),
        Row("freshness-max-age-s-maxage-shared-longer-reversed", "Cache-Control: s-maxage=1, max-age=3600", SENT, is_shared=True),
        Row("freshness-max-age-s-maxage-shared-longer-multiple", "Cache-Control: max-age=3600 | Cache-Control: s-maxage=1", SENT, is_shared=True),
        Row("freshness-max-age-s-maxage-shared-shorter", "Cache-Control: max-age=1, s-maxage=3600", HIT, is_shared=True),
        Row("freshness-max-age-s-maxage-shared-shorter-expires", "Expires: -10 | Cache-Control: max-age=0, s-maxage=3600", HIT, is_shared=True),
    ],
    "4.2.1 malformed and repeated max-age": [
        Row("freshness-max-age-two-fresh-stale-sameline", "Cache-Control: max-age=1800, max-age=1", SENT, differs="repeated: the shorter one counts"),
        Row("freshness-max-age-two-fresh-stale-sepline", "Cache-Control: max-age=1800 | Cache-Control: max-age=1", SENT, differs="repeated: the shorter one counts"),
        Row("freshness-max-age-two-stale-fresh-sameline", "Cache-Control: max-age=1, max-age=1800", SENT, differs="repeated: the shorter one counts"),
        Row("freshness-max-age-two-stale-fresh-sepline", "Cache-Control: max-age=1 | Cache-Control: max-age=1800", SENT, differs="repeated: the shorter one counts"),
        Row("freshness-max-age-quoted", 'Cache-Control: max-age="3600"', HIT),
        Row("freshness-max-age-ignore-quoted", 'Cache-Control: extension="max-age=3600", max-age=1', SENT),
        Row("freshness-max-age-ignore-quoted-rev", 'Cache-Control: max-age=1, extension="max-age=3600"', SENT),
        Row("freshness-max-age-space-before-equals", "Cache-Control: max-age =3600", SENT),
        Row("freshness-max-age-space-after-equals", "Cache-Control: max-age= 3600", SENT),
        Row("freshness-max-age-leading-zero", "Cache-Control: max-age=003600", HIT),
        Row("freshness-max-age-single-quoted", "Cache-Control: max-age='3600'", SENT),
        Row("freshness-max-age-decimal-zero", "Cache-Control: max-age=3600.0", SENT, differs="malformed, so stale"),
        Row("freshness-max-age-decimal-five", "Cache-Control: max-age=3600.5", SENT, differs="malformed, so stale"),
        Row("freshness-max-age-a100", "Cache-Control: max-age=a3600", SENT, differs="malformed, so stale"),
        Row("freshness-max-age-100a", "Cache-Control: max-age=3600a", SENT, differs="malformed, so stale"),
    ],
    "5.1 Age": [
        Row("age-parse-nonnumeric", "Date: +0 | Cache-Control: max-age=3600 | Age: abc", HIT),
        Row("age-parse-negative", "Date: +0 | Cache-Control: max-age=3600 | Age: -7200", HIT),
        Row("age-parse-float", "Date: +0 | Cache-Control: max-age=3600 | Age: 7200.0", HIT),
        Row("age-parse-large-minus-one", "Date: +0 | Cache-Control: max-age=3600 | Age: 2147483647", SENT),
        Row("age-parse-large", "Date: +0 | Cache-Control: max-age=3600 | Age: 2147483648", SENT),
        Row("age-parse-larger", "Date: +0 | Cache-Control: max-age=3600 | Age: 2147483649", SENT),
        Row("age-parse-suffix", "Date: +0 | Cache-Control: max-age=3600 | Age: 7200, 0", SENT),
        Row("age-parse-prefix", "Date: +0 | Cache-Control: max-age=3600 | Age: 0, 7200", HIT),
        Row("age-parse-suffix-twoline", "Date: +0 | Cache-Control: max-age=3600 | Age: 7200 | Age: 0", SENT),
        Row("age-parse-prefix-twoline", "Date: +0 | Cache-Control: max-age=3600 | Age: 0 | Age: 7200", HIT),
        Row("age-parse-dup-0", "Date: +0 | Cache-Control: max-age=3600 | Age: 0, 0", HIT),
        Row("age-parse-dup-0-twoline", "Date: +0 | Cache-Control: max-age=3600 | Age: 0 | Age: 0", HIT),
        Row("age-parse-dup-old", "Date: +0 | Cache-Control: max-age=10000 | Age: 3600 | Age: 3600", HIT),
        Row("age-parse-parameter", "Date: +0 | Cache-Control: max-age=3600 | Age: 7200;foo=bar", SENT),
        Row("age-parse-numeric-parameter", "Date: +0 | Cache-Control: max-age=3600 | Age: 7200;foo=111", SENT),
    ],
    "5.3 Expires": [
        Row("freshness-expires-future", "Expires: +2592000 | Date: +0", HIT),
        Row("freshness-expires-past", "Expires: -2592000 | Date: +0", SENT),
        Row("freshness-expires-present", "Expires: +0 | Date: +0", SENT),
        Row("freshness-expires-old-date", "Expires: +300 | Date: +400", SENT),
        Row("freshness-expires-invalid", "Expires: 0 | Date: +0", SENT),
        Row("freshness-expires-invalid-date", "Date: foo | Expires: +10", HIT),
        Row("freshness-expires-age-slow-date", "Date: -10 | Expires: +10 | Age: 25", SENT),
        Row("freshness-expires-age-fast-date", "Date: +10 | Expires: +20 | Age: 15", SENT),
    ],
    "4.2 dates": [
        Row("freshness-expires-32bit", "Expires: Tue, 19 Jan 2038 14:14:08 GMT | Date: +0", HIT),
        Row("freshness-expires-far-future", "Expires: Sun, 21 Nov 2286 04:46:39 GMT | Date: +0", HIT),
        Row("freshness-expires-rfc850", "Expires: Thursday, 18-Aug-50 02:01:18 GMT | Date: +0", HIT),
        Row("freshness-expires-ansi-c", "Expires: Thu Aug  8 02:01:18 2050 | Date: +0", HIT),
        Row("freshness-expires-wrong-case-weekday", "Expires: THU, 18 Aug 2050 02:01:18 GMT | Date: +0", SENT, differs="case matters in a date (RFC 9110, 5.6.7)"),
        Row("freshness-expires-wrong-case-month", "Expires: Thu, 18 AUG 2050 02:01:18 GMT | Date: +0", SENT, differs="case matters in a date (RFC 9110, 5.6.7)"),
        Row("freshness-expires-wrong-case-tz", "Expires: Thu, 18 Aug 2050 02:01:18 gMT | Date: +0", SENT, differs="case matters in a date (RFC 9110, 5.6.7)"),
        Row("freshness-expires-invalid-utc", "Expires: Thu, 18 Aug 2050 02:01:18 UTC | Date: +0", SENT),
        Row("freshness-expires-invalid-aest", "Expires: Thu, 18 Aug 2050 02:01:18 AEST | Date: +0", SENT),
        Row("freshness-expires-invalid-2-digit-year", "Expires: Thu, 18 Aug 50 02:01:18 GMT | Date: +0", SENT),
        Row("freshness-expires-invalid-no-comma", "Expires: Thu 18 Aug 2050 02:01:18 GMT | Date: +0", SENT),
        Row("freshness-expires-invalid-multiple-spaces", "Expires: Thu, 18  Aug  2050 02:01:18 GMT | Date: +0", SENT),
        Row("freshness-expires-invalid-date-dashes", "Expires: Thu, 18-Aug-2050 02:01:18 GMT | Date: +0", SENT),
        Row("freshness-expires-invalid-time-periods", "Expires: Thu, 18 Aug 2050 02.01.18 GMT | Date: +0", SENT),
        Row("freshness-expires-invalid-1-digit-hour", "Expires: Thu, 18 Aug 2050 2:01:18 GMT | Date: +0", SENT),
        Row("freshness-expires-invalid-multiple-lines", "Expires: Thu, 18 Aug 2050 2:01:18 GMT | Expires: Thu, 18 Aug 2050 2:01:19 GMT | Date: +0", SENT),
    ],
    "5.2.2 Cache-Control in responses": [
        Row("cc-resp-private-shared", "Cache-Control: private, max-age=3600", SENT, is_shared=True),
        Row("cc-resp-private-private", "Cache-Control: private, max-age=3600", HIT),
        Row("cc-resp-no-store", "Cache-Control: no-store", SENT),
        Row("cc-resp-no-store-case-insensitive", "Cache-Control: No-StOrE", SENT),
        Row("cc-resp-no-store-fresh", "Cache-Control: max-age=10000, no-store | Expires: +10000 | Date: +0", SENT),
        Row("cc-resp-no-cache", "Cache-Control: max-age=10000, no-cache | Expires: +10000 | Date: +0", SENT),
        Row("cc-resp-no-cache-case-insensitive", "Cache-Control: max-age=10000, No-CaChE | Expires: +10000 | Date: +0", SENT),
        Row("cc-resp-no-cache-revalidate", 'Cache-Control: no-cache | ETag: "abcd"', ASKED),
        Row("cc-resp-no-cache-revalidate-fresh", 'Cache-Control: max-age=10000, no-cache | Expires: +10000 | Date: +0 | ETag: "abcd"', ASKED),
        Row("headers-omit-headers-listed-in-Cache-Control-no-cache-single", 'Cache-Control: no-cache="a" | a: 1 | b: 2 | Cache-Control: max-age=3600 | Date: +0', SENT, differs="no-cache with names is read as no-cache: it is revalidated"),
        Row("headers-omit-headers-listed-in-Cache-Control-no-cache", 'Cache-Control: no-cache="a, b" | a: 1 | b: 2 | c: 3 | Cache-Control: max-age=3600 | Date: +0', SENT, differs="no-cache with names is read as no-cache: it is revalidated"),
        Row("cc-resp-must-revalidate-fresh", 'Cache-Control: max-age=10000, must-revalidate | ETag: "abcd"', HIT),
        Row("cc-resp-immutable-fresh", 'Cache-Control: max-age=10000, immutable | ETag: "abcd"', HIT),
        Row("cc-resp-immutable-stale", 'Cache-Control: max-age=2, immutable | ETag: "abcd"', ASKED),
    ],
    "4.2.2 heuristic freshness": [
        Row("heuristic-200-cached", "Last-Modified: -86400 | Date: +0", HIT),
        Row("heuristic-201-not_cached", "201 | Last-Modified: -86400 | Date: +0", SENT),
        Row("heuristic-202-not_cached", "202 | Last-Modified: -86400 | Date: +0", SENT),
        Row("heuristic-203-cached", "203 | Last-Modified: -86400 | Date: +0", HIT),
        Row("heuristic-204-cached", "204 | Last-Modified: -86400 | Date: +0", HIT),
        Row("heuristic-403-not_cached", "403 | Last-Modified: -86400 | Date: +0", SENT),
        Row("heuristic-404-cached", "404 | Last-Modified: -86400 | Date: +0", HIT),
        Row("heuristic-405-cached", "405 | Last-Modified: -86400 | Date: +0", HIT),
        Row("heuristic-410-cached", "410 | Last-Modified: -86400 | Date: +0", HIT),
        Row("heuristic-414-cached", "414 | Last-Modified: -86400 | Date: +0", HIT),
        Row("heuristic-501-cached", "501 | Last-Modified: -86400 | Date: +0", HIT),
        Row("heuristic-502-not_cached", "502 | Last-Modified: -86400 | Date: +0", SENT),
        Row("heuristic-503-not_cached", "503 | Last-Modified: -86400 | Date: +0", SENT),
        Row("heuristic-504-not_cached", "504 | Last-Modified: -86400 | Date: +0", SENT),
        Row("heuristic-599-not_cached", "599 | Last-Modified: -86400 | Date: +0", SENT),
        Row("heuristic-599-cached", "599 | Last-Modified: -86400 | Date: +0 | Cache-Control: public", HIT),
        Row("heuristic-delta-5", "Last-Modified: -5 | Date: +0", SENT, differs="a tenth of so short a time is over"),
        Row("heuristic-delta-10", "Last-Modified: -10 | Date: +0", SENT, differs="a tenth of so short a time is over"),
        Row("heuristic-delta-30", "Last-Modified: -30 | Date: +0", SENT, differs="a tenth of so short a time is over"),
        Row("heuristic-delta-60", "Last-Modified: -60 | Date: +0", HIT),
        Row("heuristic-delta-300", "Last-Modified: -300 | Date: +0", HIT),
        Row("heuristic-delta-600", "Last-Modified: -600 | Date: +0", HIT),
        Row("heuristic-delta-1200", "Last-Modified: -1200 | Date: +0", HIT),
        Row("heuristic-delta-1800", "Last-Modified: -1800 | Date: +0", HIT),
        Row("heuristic-delta-3600", "Last-Modified: -3600 | Date: +0", HIT),
        Row("heuristic-delta-43200", "Last-Modified: -43200 | Date: +0", HIT),
        Row("heuristic-delta-86400", "Last-Modified: -86400 | Date: +0", HIT),
    ],
    "5.2.1 Cache-Control in requests": [
        Row("ccreq-ma0", "Cache-Control: max-age=100000 | Date: +0", SENT, asks=("", "Cache-Control: max-age=0")),
        Row("ccreq-ma1", "Cache-Control: max-age=100000 | Date: +0", SENT, asks=("", "Cache-Control: max-age=1")),
        Row("ccreq-magreaterage", "Cache-Control: max-age=100000 | Date: +0 | Age: 1800", SENT, asks=("", "Cache-Control: max-age=600")),
        Row("ccreq-max-stale", "Cache-Control: max-age=2 | Date: +0 | Template-A: 1", HIT, asks=("", "Cache-Control: max-stale=1000")),
        Row("ccreq-max-stale-age", "Cache-Control: max-age=1500 | Age: 2000", HIT, asks=("", "Cache-Control: max-stale=1000")),
        Row("ccreq-min-fresh", "Cache-Control: max-age=1500", SENT, asks=("", "Cache-Control: min-fresh=2000")),
        Row("ccreq-min-fresh-age", "Cache-Control: max-age=1500 | Age: 1000", SENT, asks=("", "Cache-Control: min-fresh=1000")),
        Row("ccreq-no-cache", "Cache-Control: max-age=3600", SENT, asks=("", "Cache-Control: no-cache")),
        Row("ccreq-no-cache-lm", "Cache-Control: max-age=3600 | Last-Modified: -10000 | Date: +0", ASKED, asks=("", "Cache-Control: no-cache")),
        Row("ccreq-no-cache-etag", 'Cache-Control: max-age=3600 | ETag: "aiqygowemucksai"', ASKED, asks=("", "Cache-Control: no-cache")),
        Row("ccreq-no-store", "Cache-Control: max-age=100000 | Date: +0", SENT, asks=("", "Cache-Control: no-store")),
    ],
    "5.4 Pragma": [
        Row("pragma-request-no-cache", "Cache-Control: max-age=100000 | Date: +0", HIT, asks=("", "Pragma: no-cache")),
        Row("pragma-request-extension", "Cache-Control: max-age=100000 | Date: +0", HIT, asks=("", "Pragma: unrecognised-extension")),
        Row("pragma-response-no-cache", "Cache-Control: max-age=3600 | Pragma: no-cache", HIT),
        Row("pragma-response-no-cache-heuristic", "Date: +0 | Last-Modified: -10000 | Pragma: no-cache", HIT),
        Row("pragma-response-extension", "Cache-Control: max-age=3600 | Pragma: unrecognised-extension", HIT),
    ],
    "4.1 Vary": [
        Row("vary-match", "Cache-Control: max-age=5000 | Last-Modified: -3000 | Date: +0 | Vary: Foo", HIT, asks=("Foo: 1", "Foo: 1")),
        Row("vary-no-match", "Cache-Control: max-age=5000 | Last-Modified: -3000 | Date: +0 | Vary: Foo", SENT, asks=("Foo: 1", "Foo: 2")),
        Row("vary-omit-stored", "Cache-Control: max-age=5000 | Last-Modified: -3000 | Date: +0 | Vary: Foo", SENT, asks=("", "Foo: 1")),
        Row("vary-omit", "Cache-Control: max-age=5000 | Last-Modified: -3000 | Date: +0 | Vary: Foo", SENT, asks=("Foo: 1", "")),
        Row("vary-cache-key", "Cache-Control: max-age=5000 | Last-Modified: -3000 | Date: +0 | Vary: Foo", HIT, asks=("Foo: 1 | Other: 2", "Foo: 1 | Other: 3")),
        Row("vary-2-match", "Cache-Control: max-age=5000 | Last-Modified: -3000 | Date: +0 | Vary: Foo, Bar", HIT, asks=("Foo: 1 | Bar: abc", "Foo: 1 | Bar: abc")),
        Row("vary-2-no-match", "Cache-Control: max-age=5000 | Last-Modified: -3000 | Date: +0 | Vary: Foo, Bar", SENT, asks=("Foo: 1 | Bar: abc", "Foo: 2 | Bar: abc")),
        Row("vary-2-match-omit", "Cache-Control: max-age=5000 | Last-Modified: -3000 | Date: +0 | Vary: Foo, Bar", SENT, asks=("Foo: 1 | Bar: abc", "")),
        Row("vary-3-match", "Cache-Control: max-age=5000 | Last-Modified: -3000 | Date: +0 | Vary: Foo, Bar, Baz", HIT, asks=("Foo: 1 | Bar: abc | Baz: 789", "Foo: 1 | Bar: abc | Baz: 789")),
        Row("vary-3-no-match", "Cache-Control: max-age=5000 | Last-Modified: -3000 | Date: +0 | Vary: Foo, Bar, Baz", SENT, asks=("Foo: 1 | Bar: abc | Baz: 789", "Foo: 2 | Bar: abc | Baz: 789")),
        Row("vary-3-order", "Cache-Control: max-age=5000 | Last-Modified: -3000 | Date: +0 | Vary: Foo, Bar, Baz", SENT, asks=("Foo: 1 | Bar: abc | Baz: 789", "Foo: 1 | Baz: 789 | Bar: abcde")),
        Row("vary-3-omit", "Cache-Control: max-age=5000 | Date: +0 | Last-Modified: -3000 | Vary: Foo, Bar, Baz", HIT, asks=("Foo: 1 | Baz: 789", "Foo: 1 | Baz: 789")),
        Row("vary-star", "Cache-Control: max-age=5000 | Last-Modified: -3000 | Date: +0 | Vary: *", SENT, asks=("Foo: 1 | Baz: 789", "Foo: 1 | Baz: 789")),
        Row("vary-normalise-combine", "Cache-Control: max-age=5000 | Last-Modified: -3000 | Date: +0 | Vary: Foo", HIT, asks=("Foo: 1, 2", "Foo: 1 | Foo: 2")),
        Row("vary-normalise-lang-order", "Cache-Control: max-age=5000 | Last-Modified: -3000 | Date: +0 | Vary: Accept-Language", SENT, asks=("Accept-Language: en, de", "Accept-Language: de, en"), differs="only white space is normalised"),
        Row("vary-normalise-lang-case", "Cache-Control: max-age=5000 | Last-Modified: -3000 | Date: +0 | Vary: Accept-Language", SENT, asks=("Accept-Language: en, de", "Accept-Language: eN, De"), differs="only white space is normalised"),
        Row("vary-normalise-lang-space", "Cache-Control: max-age=5000 | Last-Modified: -3000 | Date: +0 | Vary: Accept-Language", HIT, asks=("Accept-Language: en, de", "Accept-Language:  en ,   de")),
        Row("vary-normalise-lang-select", "Cache-Control: max-age=5000 | Last-Modified: -3000 | Date: +0 | Vary: Accept-Language | Content-Language: de", SENT, asks=("Accept-Language: en, de", "Accept-Language: fr;q=0.5, de;q=1.0"), differs="only white space is normalised"),
        Row("vary-normalise-space", "Cache-Control: max-age=5000 | Last-Modified: -3000 | Date: +0 | Vary: Foo", HIT, asks=("Foo: 1,2", "Foo:  1, 2 ")),
    ],
    "4.1 the syntax of Vary": [
        Row("vary-syntax-star", "Cache-Control: max-age=5000 | Last-Modified: -3000 | Date: +0 | Vary: *", SENT, asks=("Foo: 1 | Baz: 789", "Foo: 1 | Baz: 789")),
        Row("vary-syntax-star-star", "Cache-Control: max-age=5000 | Last-Modified: -3000 | Date: +0 | Vary: *, *", SENT, asks=("Foo: 1 | Baz: 789", "Foo: 1 | Baz: 789")),
        Row("vary-syntax-star-star-lines", "Cache-Control: max-age=5000 | Last-Modified: -3000 | Date: +0 | Vary: * | Vary: *", SENT, asks=("Foo: 1 | Baz: 789", "Foo: 1 | Baz: 789")),
        Row("vary-syntax-empty-star", "Cache-Control: max-age=5000 | Last-Modified: -3000 | Date: +0 | Vary: , *", SENT, asks=("Foo: 1 | Baz: 789", "Foo: 1 | Baz: 789")),
        Row("vary-syntax-empty-star-lines", "Cache-Control: max-age=5000 | Last-Modified: -3000 | Date: +0 | Vary:  | Vary: *", SENT, asks=("Foo: 1 | Baz: 789", "Foo: 1 | Baz: 789")),
        Row("vary-syntax-star-foo", "Cache-Control: max-age=5000 | Last-Modified: -3000 | Date: +0 | Vary: *, Foo", SENT, asks=("Foo: 1 | Baz: 789", "Foo: 1 | Baz: 789")),
        Row("vary-syntax-foo-star", "Cache-Control: max-age=5000 | Last-Modified: -3000 | Date: +0 | Vary: Foo, *", SENT, asks=("Foo: 1 | Baz: 789", "Foo: 1 | Baz: 789")),
    ],
    "4.3.1 ETag": [
        Row("conditional-etag-vary-headers", 'Expires: +1 | ETag: "abcdef" | Date: +0 | Vary: Abc', ASKED, asks=("Abc: 123", "Abc: 123")),
        Row("conditional-etag-strong-generate", 'Cache-Control: max-age=2 | Date: +0 | Template-A: 1 | ETag: "abcdef"', ASKED),
        Row("conditional-etag-weak-generate-weak", 'Cache-Control: max-age=2 | Date: +0 | Template-A: 1 | ETag: W/"abcdef"', ASKED),
        Row("conditional-etag-strong-generate-unquoted", "Cache-Control: max-age=2 | Date: +0 | Template-A: 1 | ETag: abcdef", ASKED),
    ],
    "3.5 Authorization": [
        Row("other-authorization", "Cache-Control: max-age=100000 | Date: +0", SENT, asks=("Authorization: FOO", ""), is_shared=True),
        Row("other-authorization-public", "Cache-Control: max-age=3600, public | Date: +0", HIT, asks=("Authorization: FOO", ""), is_shared=True),
        Row("other-authorization-must-revalidate", "Cache-Control: max-age=3600, must-revalidate | Date: +0", HIT, asks=("Authorization: FOO", ""), is_shared=True),
        Row("other-authorization-smaxage", "Cache-Control: s-maxage=3600 | Date: +0", HIT, asks=("Authorization: FOO", ""), is_shared=True),
    ],
    "4 reuse": [
        Row("other-age-gen", "Cache-Control: max-age=100000 | Date: +0", HIT),
        Row("other-age-update-expires", "Expires: +2592000 | Date: +0 | Age: 30", HIT),
        Row("other-age-update-max-age", "Cache-Control: max-age=100000 | Date: +0 | Age: 30", HIT),
        Row("other-date-update", "Cache-Control: max-age=100000 | Date: +0", HIT),
        Row("other-date-update-expires", "Expires: +2592000 | Date: +0", HIT),
        Row("other-date-update-expires-update", "Expires: +2592000 | Date: +0", HIT),
        Row("other-heuristic-content-disposition-attachment", "Last-Modified: -100000 | Date: +0 | Content-Disposition: attachment; filename=example.txt", HIT),
        Row("other-fresh-content-disposition-attachment", "Cache-Control: max-age=100000 | Date: +0 | Content-Disposition: attachment; filename=example.txt", HIT),
        Row("other-set-cookie", "Cache-Control: max-age=100000 | Date: +0 | Set-Cookie: a=b", HIT),
        Row("other-cookie", "Cache-Control: max-age=100000 | Date: +0", SENT, asks=("", "Cookie: a=b"), differs="another Cookie is another user"),
    ],
}
