"""Proxies: which proxy a URL goes through, what a proxy's URL says, and the SOCKS5 handshake.

Nothing here opens a connection or reads the process environment: settings are parsed from a mapping, and the
handshake is a generator that the transports drive.
"""
