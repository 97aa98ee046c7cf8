"""HTTP's own rules, as pure functions of text and bytes.

Both transports send exactly the bytes that these modules produce and read responses only through
them, so that there is one truth. Nothing here opens a socket, reads a clock, rolls dice (but for the
multipart boundary) or knows a library above it; it imports the standard library and `errors` only.
"""
