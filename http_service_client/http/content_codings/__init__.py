"""Compression of bodies (RFC 9110, 8.4): the codecs, decoding within bounds, compressing requests."""
