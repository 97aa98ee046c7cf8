"""What can be wrong with the bytes of a response."""

__all__ = ["CutShortError", "NotHttpError"]


class NotHttpError(Exception):
    """What came is not HTTP; the message says how."""


class CutShortError(NotHttpError):
    """It ended too early."""
