"""The SOCKS5 handshake (RFC 1928; user name and password by RFC 1929).

A dialogue is a generator: it yields the bytes to send and the number of bytes to wait for, and is sent the
bytes that arrived. It has no socket, so both transports drive the same dialogue.

    client                                     proxy
    version, the login methods that we know    version, the chosen method
    (user name and password                    version, accepted or not)
    version, CONNECT, host, port               version, result, the proxy's own address
"""

from __future__ import annotations

from collections.abc import Generator
from ipaddress import IPv4Address, IPv6Address, ip_address

__all__ = ["Dialogue", "Login", "Step", "ask_for_connection"]

Login = tuple[bytes, bytes]  # user name and password, at most 255 bytes each
Step = tuple[bytes, int]  # the bytes to send, and how many bytes of reply to wait for
Dialogue = Generator[Step, bytes, "str | None"]

_VERSION = 5
_LOGIN_VERSION = 1
_NO_LOGIN, _WITH_PASSWORD = 0, 2
_CONNECT = 1
_IPV4, _NAME, _IPV6 = 1, 3, 4
_ADDRESS_SIZES = {_IPV4: 4, _IPV6: 16}

# RFC 1928 6
_REFUSALS = {
    1: "it reports a general failure",
    2: "it does not allow the connection",
    3: "network unreachable",
    4: "host unreachable",
    5: "connection refused",
    6: "the TTL expired",
    7: "it does not support the command CONNECT",
    8: "it does not support this type of address",
}
_NOT_SOCKS = "it does not speak SOCKS5"


def ask_for_connection(host: str, port: int, login: Login | None) -> Dialogue:
    """The dialogue. It returns None once the connection is made, else the reason why it was refused.

    host: an address, or a name of at most 255 ASCII characters that the proxy resolves.
    """
    methods = [_NO_LOGIN] if login is None else [_NO_LOGIN, _WITH_PASSWORD]
    version, method = yield bytes([_VERSION, len(methods), *methods]), 2
    if version != _VERSION:
        return _NOT_SOCKS
    if method not in methods:
        return "it requires another login method" if login else "it requires a login"
    if login is not None and method == _WITH_PASSWORD:
        user, password = login
        credentials = bytes([_LOGIN_VERSION, len(user)]) + user + bytes([len(password)]) + password
        _, status = yield credentials, 2
        if status != 0:
            return "it refused the login"
    version, result = yield bytes([_VERSION, _CONNECT, 0]) + _address(host) + port.to_bytes(2, "big"), 2
    if version != _VERSION:
        return _NOT_SOCKS
    if result != 0:
        return _REFUSALS.get(result, f"it replied {result}")
    _, kind = yield b"", 2
    if kind == _NAME:
        (size,) = yield b"", 1
    elif kind in _ADDRESS_SIZES:
        size = _ADDRESS_SIZES[kind]
    else:
        return _NOT_SOCKS
    yield b"", size + 2  # the proxy's own address and port, which we do not use
    return None


def _address(host: str) -> bytes:
    try:
        address: IPv4Address | IPv6Address = ip_address(host)
    except ValueError:
        return bytes([_NAME, len(host)]) + host.encode("ascii")
    return bytes([_IPV4 if address.version == 4 else _IPV6]) + address.packed
