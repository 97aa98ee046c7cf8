"""The errors of received bytes. The transports turn them into failures."""

__all__ = ["CutShortError", "NotHttpError"]


class NotHttpError(Exception):
    """The bytes are not a valid HTTP response; the message says why."""


class CutShortError(NotHttpError):
    """The connection ended before the response was complete."""
