"""How a SOCKS5 proxy is asked for a connection (RFC 1928; user name and password by RFC 1929).

A dialogue: a generator that yields what to say and how many bytes of answer to wait for, and is sent these
bytes. It knows no socket, so both transports, which do, say the same.

    client                                     proxy
    version, the ways to log in that we know   version, the way chosen
    (user name and password                    version, whether they are right)
    version, CONNECT, host, port               version, result, the proxy's own address
"""

from __future__ import annotations

from collections.abc import Generator
from ipaddress import IPv4Address, IPv6Address, ip_address

__all__ = ["Dialogue", "Login", "Step", "ask_for_connection"]

Login = tuple[bytes, bytes]  # user name and password, at most 255 bytes each
Step = tuple[bytes, int]  # what to say, and how many bytes of answer to wait for
Dialogue = Generator[Step, bytes, "str | None"]

_VERSION = 5
_LOGIN_VERSION = 1
_NO_LOGIN, _WITH_PASSWORD = 0, 2
_CONNECT = 1
_IPV4, _NAME, _IPV6 = 1, 3, 4
_ADDRESS_SIZES = {_IPV4: 4, _IPV6: 16}

# RFC 1928 6
_REFUSALS = {
    1: "it failed",
    2: "it does not allow the connection",
    3: "network unreachable",
    4: "host unreachable",
    5: "connection refused",
    6: "the time to live is over",
    7: "it does not know the command CONNECT",
    8: "it does not know this type of address",
}
_NOT_SOCKS = "it does not speak SOCKS5"


def ask_for_connection(host: str, port: int, login: Login | None) -> Dialogue:
    """The dialogue. Returns None once the connection is made, else why it was refused.

    host: an address, or a name of at most 255 ASCII characters that the proxy is to resolve.
    """
    methods = [_NO_LOGIN] if login is None else [_NO_LOGIN, _WITH_PASSWORD]
    version, method = yield bytes([_VERSION, len(methods), *methods]), 2
    if version != _VERSION:
        return _NOT_SOCKS
    if method not in methods:
        return "it wants another way to log in" if login else "it wants a login"
    if login is not None and method == _WITH_PASSWORD:
        user, password = login
        said = bytes([_LOGIN_VERSION, len(user)]) + user + bytes([len(password)]) + password
        _, status = yield said, 2
        if status != 0:
            return "it refused the login"
    version, result = yield bytes([_VERSION, _CONNECT, 0]) + _place(host) + port.to_bytes(2, "big"), 2
    if version != _VERSION:
        return _NOT_SOCKS
    if result != 0:
        return _REFUSALS.get(result, f"it says {result}")
    _, kind = yield b"", 2
    if kind == _NAME:
        (size,) = yield b"", 1
    elif (size := _ADDRESS_SIZES.get(kind, -1)) < 0:
        return _NOT_SOCKS
    yield b"", size + 2  # its own address and port are of no use to us
    return None


def _place(host: str) -> bytes:
    try:
        address: IPv4Address | IPv6Address = ip_address(host)
    except ValueError:
        return bytes([_NAME, len(host)]) + host.encode("ascii")
    return bytes([_IPV4 if address.version == 4 else _IPV6]) + address.packed
