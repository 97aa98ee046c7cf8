"""HTTP/1.1 as bytes (RFC 9112), without a socket: whoever has one feeds the parser."""
