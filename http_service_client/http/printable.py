"""A peer's text for error messages, reprs and logs: one line, short, and nothing that a terminal acts on.

A reason phrase, a problem's detail or a JSON key may hold terminal escapes (C0 and C1 controls), a second line
(U+2028), or marks that reverse the text after them (U+202E). Shown as they came, they rewrite the line of a log, or
the screen of whoever reads it.
"""

from __future__ import annotations

__all__ = ["printable"]

_MOST = 300


def printable(text: str, most: int = _MOST) -> str:
    r"""The text with each run of white space and unprintable characters as one space; at most so many characters.

    >>> printable("Not\x1b[2K \u202e Found")
    'Not [2K Found'
    >>> printable("a detail that goes on", most=12)
    'a detail ...'
    """
    if len(text) <= most and text.isprintable() and "  " not in text:
        return text.strip()
    # Cut before the work: the text may have millions of characters, of which a few will be shown.
    shown = "".join(each if each.isprintable() else " " for each in text[: 4 * most])
    words = " ".join(shown.split())
    if len(words) <= most and len(text) <= 4 * most:
        return words
    cut = words[: most - 3].rpartition(" ")[0] or words[: most - 4]
    return f"{cut} ...".lstrip()
