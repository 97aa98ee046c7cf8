"""Durations as other systems write them. Here they are float seconds.

protobuf       "1.5s"                     google.protobuf.Duration in JSON: up to nine decimals
Gateway API    "1500ms", "1h30m"          GEP-2257: one to four parts of up to five digits
TimeSpan       "00:00:01.5", "1.02:03:04" .NET: [days.]hours:minutes:seconds[.fraction]
"""

from __future__ import annotations

import re

__all__ = [
    "gateway_text",
    "parse_gateway",
    "parse_protobuf",
    "parse_time_span",
    "protobuf_text",
    "time_span_text",
]

_PROTOBUF = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,9})?)s", re.ASCII)
_GATEWAY = re.compile(r"(?:[0-9]{1,5}(?:h|ms|m|s)){1,4}", re.ASCII)
_PART = re.compile(r"([0-9]{1,5})(h|ms|m|s)", re.ASCII)
_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_TIME_SPAN = re.compile(
    r"(?:([0-9]{1,8})\.)?([0-9]{1,2}):([0-9]{1,2})(?::([0-9]{1,2}(?:\.[0-9]{1,7})?))?", re.ASCII
)


def protobuf_text(seconds: float) -> str:
    """The duration in decimals.

    >>> protobuf_text(1.5), protobuf_text(30.0), protobuf_text(0.0000001)
    ('1.5s', '30s', '0.0000001s')
    """
    return f"{_decimal(seconds, 9)}s"


def parse_protobuf(text: object) -> float:
    """Raises ValueError, also for a negative duration.

    >>> parse_protobuf("0.250s")
    0.25
    """
    found = _PROTOBUF.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        raise ValueError("a duration such as '1.5s'")
    return float(found[1])


def gateway_text(seconds: float) -> str:
    """In milliseconds, or whole units where those would have more than five digits.

    >>> gateway_text(1.5), gateway_text(30.0), gateway_text(5400.5), gateway_text(0.0)
    ('1500ms', '30s', '1h30m500ms', '0s')
    """
    left = round(seconds * 1000)
    if left % 1000 and left < 100_000:
        return f"{left}ms"
    parts = []
    for unit, size in (("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)):
        count, left = divmod(left, size)
        parts += [f"{count}{unit}"] if count else []
    return "".join(parts) or "0s"


def parse_gateway(text: object) -> float:
    """Raises ValueError.

    >>> parse_gateway("1h30m500ms")
    5400.5
    """
    if not isinstance(text, str) or _GATEWAY.fullmatch(text) is None:
        raise ValueError("a duration such as '1500ms' or '1h30m'")
    return round(sum(int(count) * _SECONDS[unit] for count, unit in _PART.findall(text)), 3)


def time_span_text(seconds: float) -> str:
    """The duration with its seven decimals, if it has any.

    >>> time_span_text(2.5), time_span_text(90.0), time_span_text(93784.0)
    ('00:00:02.5000000', '00:01:30', '1.02:03:04')
    """
    ticks = round(seconds * 10_000_000)
    whole, fraction = divmod(ticks, 10_000_000)
    minutes, second = divmod(whole, 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    text = f"{hour:02}:{minute:02}:{second:02}" + (f".{fraction:07}" if fraction else "")
    return f"{days}.{text}" if days else text


def parse_time_span(text: object) -> float:
    """Raises ValueError. Whole days are a number alone, as .NET reads it.

    >>> parse_time_span("00:00:02.5"), parse_time_span("1.00:00:00"), parse_time_span("2")
    (2.5, 86400.0, 172800.0)
    """
    if isinstance(text, str) and text.isascii() and text.isdigit() and len(text) <= 8:
        return float(text) * 86400
    found = _TIME_SPAN.fullmatch(text) if isinstance(text, str) else None
    if found is not None:
        days, hours, minutes, seconds = (float(part or 0) for part in found.groups())
        if hours < 24 and minutes < 60 and seconds < 60:
            return round(days * 86400 + hours * 3600 + minutes * 60 + seconds, 7)
    raise ValueError("a TimeSpan such as '00:00:02.5'")


def _decimal(number: float, digits: int) -> str:
    text = f"{number:.{digits}f}"
    return text.rstrip("0").rstrip(".")
