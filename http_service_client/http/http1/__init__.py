"""HTTP/1.1 as bytes (RFC 9112): the head of a request is written, a response is parsed.

No socket lives here: both transports feed one `parser` with what they receive, so a response is the same, or breaks the
same rule at the same byte, in blocking and asyncio calls. `rules` names the rules.
"""
