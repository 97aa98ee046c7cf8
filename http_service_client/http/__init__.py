"""HTTP's rules as pure functions of text and bytes, and the messages that they apply to.

Both transports send exactly the bytes that these modules produce and read responses only through them, so
each rule exists once. Nothing here opens a socket, reads a clock, draws random numbers (except for the
multipart boundary) or imports from a higher floor. Optional libraries are used where a rule needs one: idna
for international names, brotli and zstandard for their codings.
"""
