"""Cookies (RFC 6265): the jar, the Cookie and Set-Cookie fields, and the dates that servers write in them.

Nothing here reads a clock: the time is an argument.
"""
