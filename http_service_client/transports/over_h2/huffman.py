"""The Huffman code of header fields (RFC 7541, 5.2), in a time that grows with their length, not with its square.

hpack builds one integer and moves all of its bits for each further byte. On the event loop, that takes 0.02 s for a token
of 8 KB, in each request, since values that are secret are in no table; for 100 KB it takes more than two seconds.
"""

from __future__ import annotations

from typing import Any

from hpack import Encoder

__all__ = ["HeadEncoder", "HuffmanCoder"]

# How many bits each octet has, in base 36 (appendix B). The code is canonical: the shortest come first, and those of a length
# are consecutive numbers, in the order of their octets. So the lengths say all.
_LENGTHS = (
    "DNSSSSSSSOUSSUSSSSSSSSUSSSSSSSSS6AACD68BAA8B8666555666666678F6CA"
    "D67777777777777777777777878DJDE6F56565666577666567655677777FBEDS"
    "KMKKMMMNMNNNNNONOOMNONNNNLMNMNNOMLKMMNNLNMMOLMNNLLMLNMNNKMMMNMMN"
    "QQKJMNMPQQQRRQOPJLQRRQROLLQQSRRRKOKLMLLNMMPPOOQNQRQQRRRRRSRRRRRQ"
)


def _code() -> dict[int, str]:
    """The bits of each octet."""
    bits: dict[int, str] = {}
    free = ""  # the beginning of the next one
    for length, octet in sorted((int(digit, 36), octet) for octet, digit in enumerate(_LENGTHS)):
        bits[octet] = free.ljust(length, "0")
        free = f"{int(bits[octet], 2) + 1:0{length}b}"
    return bits


_BITS = _code()


class HeadEncoder(Encoder):
    """Encodes heads."""

    def __init__(self) -> None:
        super().__init__()
        self.huffman_coder: Any = HuffmanCoder()


class HuffmanCoder:
    """Stands in for hpack's own."""

    def encode(self, bytes_to_encode: bytes | None) -> bytes:
        """The code of these bytes, filled up with ones to whole octets."""
        if not bytes_to_encode:
            return b""
        bits = "".join(map(_BITS.__getitem__, bytes_to_encode))
        bits += "1" * (-len(bits) % 8)
        return int(bits, 2).to_bytes(len(bits) // 8, "big")
