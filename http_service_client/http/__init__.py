"""HTTP's own rules, as pure functions of text and bytes, and the messages that they are about.

Both transports send exactly the bytes that these modules produce and read responses only through
them, so that there is one truth. Nothing here opens a socket, reads a clock, draws random numbers (but for
the multipart boundary) or knows a library above it; it imports the standard library and `errors` only.
"""
