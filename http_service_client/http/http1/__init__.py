"""HTTP/1.1 as bytes (RFC 9112): the head of a request is written, a response is parsed.

No socket lives here: code that has one feeds the parser through a `ReceiveBuffer`. The rules that both
transports enforce on every response are in `framing`.
"""
