"""Proxies and logins of the user's environment, read once when the client is made."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ...errors import ConfigurationError
from ...http.proxies.settings import ProxySettings

if TYPE_CHECKING:
    from ...http.auth.netrc import NetrcEntries

__all__ = ["read_logins", "read_proxies"]


def read_proxies(is_trusted: bool) -> ProxySettings:
    """The proxies of the environment variables; none if they are not trusted."""
    return ProxySettings.from_environ(os.environ if is_trusted else {})


def read_logins(netrc: bool | str | os.PathLike[str]) -> NetrcEntries | None:
    """The logins of a netrc file, or None without one.

    netrc: the file's path. True for the user's own, which need not exist: the one that the variable NETRC
        names, else ``~/.netrc`` or ``~/_netrc``. False for no file.

    Raises ConfigurationError for a file that cannot be read.
    """
    if netrc is False:
        return None
    path = _default_path() if netrc is True else os.fspath(netrc)
    if path is None:
        return None

    from ...http.auth.netrc import parse_netrc

    try:
        with open(os.path.expanduser(path), encoding="utf-8") as file:
            return parse_netrc(file.read())
    except UnicodeDecodeError:
        raise ConfigurationError(f"netrc {path!r} cannot be used: it is not UTF-8") from None
    except (OSError, ConfigurationError) as error:
        raise ConfigurationError(f"netrc {path!r} cannot be used: {error}") from None


def _default_path() -> str | None:
    named = os.environ.get("NETRC")
    if named:
        return named
    return next((path for path in ("~/.netrc", "~/_netrc") if os.path.exists(os.path.expanduser(path))), None)
