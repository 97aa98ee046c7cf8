"""The Huffman code of header fields (RFC 7541, 5.2), in a time that grows with their length, not with its square.

hpack builds one integer and moves all of its bits for each further byte. On the event loop, that takes 0.02 s for a token
of 8 KB, in each request, since values that are secret are in no table; for 100 KB it takes more than two seconds.
"""

from __future__ import annotations

from hpack import Encoder
from hpack.huffman import HuffmanEncoder
from hpack.huffman_constants import REQUEST_CODES, REQUEST_CODES_LENGTH

__all__ = ["HeadEncoder", "HuffmanCoder"]

_BITS = [f"{code:0{length}b}" for code, length in zip(REQUEST_CODES, REQUEST_CODES_LENGTH, strict=True)]


class HeadEncoder(Encoder):
    """Encodes heads."""

    def __init__(self) -> None:
        super().__init__()
        self.huffman_coder = HuffmanCoder()


class HuffmanCoder(HuffmanEncoder):
    """Stands in for hpack's own."""

    def __init__(self) -> None:
        super().__init__(REQUEST_CODES, REQUEST_CODES_LENGTH)

    def encode(self, bytes_to_encode: bytes | None) -> bytes:
        """The code of these bytes, filled up with ones to whole octets."""
        if not bytes_to_encode:
            return b""
        bits = "".join(map(_BITS.__getitem__, bytes_to_encode))
        bits += "1" * (-len(bits) % 8)
        return int(bits, 2).to_bytes(len(bits) // 8, "big")
