"""Bodies: arguments become request bodies; response bodies become lines, events, checked and resumed files.

Nothing here knows a connection, a clock or a path. The codings of a body are in `content_codings`.
"""
