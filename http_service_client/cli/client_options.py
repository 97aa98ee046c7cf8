"""The options of every command that makes calls: how its client connects, waits, retries and logs in.

`declare` adds them, `client_settings` reads them. What an option does not say is as the configuration file says, and
else as `HttpClientConfig` does.
"""

from __future__ import annotations

import getpass
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from dataclasses import replace
from typing import Any, NamedTuple

from ..client.config.client_config import ConnectionPoolConfig, HttpClientConfig
from ..client.config.sources.values import read_value
from ..errors import ConfigurationError
from ..http.auth.digest import Digest
from ..policies.retry import RetryPolicy

__all__ = ["ClientSettings", "client_settings", "count", "declare", "read_text", "seconds"]


_UNSET = object()  # the default of a duration: None is "no limit", and argparse would read a text


class ClientSettings(NamedTuple):
    """What the options say.   config: of the client.   keywords: of each of its calls."""

    config: HttpClientConfig
    keywords: dict[str, Any]


def declare(parser: ArgumentParser) -> None:
    """Add the options, in groups."""
    auth = parser.add_argument_group("credentials")
    auth.add_argument(
        "-u", "--auth", metavar="USER:PASSWORD", help="Basic; asks for the password if it is left out"
    )
    auth.add_argument("--bearer", metavar="TOKEN", help="a bearer token; @FILE reads it from a file")
    auth.add_argument("--digest", action="store_true", help="send --auth by Digest instead of Basic")
    auth.add_argument("--netrc", action="store_true", help="take the login from ~/.netrc")
    auth.add_argument("--netrc-file", metavar="FILE", help="take it from this file")

    limits = parser.add_argument_group(
        "time and retries", "Durations are seconds, or such as 250ms, 2m or 1h; none for no limit."
    )
    limits.add_argument(
        "--timeout", type=seconds, metavar="TIME", default=_UNSET, help="of each attempt (default: 30)"
    )
    limits.add_argument(
        "--connect-timeout", type=seconds, metavar="TIME", default=_UNSET, help="to connect (default: 5)"
    )
    limits.add_argument(
        *("--deadline", "--total-timeout"),
        type=seconds,
        metavar="TIME",
        default=_UNSET,
        help="of the whole call, retries and waits included (default: none)",
    )
    limits.add_argument(
        "--retries",
        type=count,
        metavar="N",
        help="after the first attempt (default: 2); a request is repeated only where that is safe",
    )

    connection = parser.add_argument_group("connection")
    connection.add_argument("--proxy", metavar="URL", help="use this proxy; none for none")
    connection.add_argument(
        "--cacert", metavar="FILE", help="trust these authorities instead of the system's"
    )
    connection.add_argument("--cert", metavar="FILE", help="the client's certificate (PEM)")
    connection.add_argument("--key", metavar="FILE", help="its key, if it is not in the same file")
    connection.add_argument(
        "-k", "--insecure", action="store_true", help="accept any certificate: for tests only"
    )
    connection.add_argument(
        "--http2", action="store_true", help="use HTTP/2 where the server has it (extra http2)"
    )
    connection.add_argument("--unix-socket", metavar="FILE", help="connect to this socket")

    files = parser.add_argument_group("configuration")
    files.add_argument("--config", metavar="FILE", help="settings of HttpClientConfig in TOML, JSON or YAML")
    files.add_argument(
        "--client", metavar="NAME", help="the client, in a file with a table [clients.NAME] for each"
    )


def client_settings(arguments: Namespace) -> ClientSettings:
    """The configuration and the keywords that the options of `declare` mean. Raises ConfigurationError."""
    if arguments.client is not None and arguments.config is None:
        raise ConfigurationError("--client names a client of a file; add --config FILE")
    config = HttpClientConfig()
    if arguments.config is not None:
        config = HttpClientConfig.from_file(arguments.config, arguments.client)
    changes: dict[str, Any] = {}
    if arguments.proxy is not None:
        changes["proxy"] = {} if arguments.proxy == "none" else arguments.proxy
    if arguments.http2:
        changes["http2"] = True
    if arguments.netrc or arguments.netrc_file:
        changes["netrc"] = arguments.netrc_file or True
    pool: dict[str, Any] = {
        name: value
        for name, value in (
            ("ssl_ca_file", arguments.cacert),
            ("ssl_cert_file", arguments.cert),
            ("ssl_key_file", arguments.key),
            ("uds", arguments.unix_socket),
            ("ssl_verify", False if arguments.insecure else None),
        )
        if value is not None
    }
    if pool:
        changes["connection_pool"] = replace(config.connection_pool or ConnectionPoolConfig(), **pool)
    config = replace(config, **changes) if changes else config
    return ClientSettings(config, _limits(arguments, config) | _credentials(arguments))


def _limits(arguments: Namespace, config: HttpClientConfig) -> dict[str, Any]:
    keywords: dict[str, Any] = {}
    bounds = {
        name: value
        for name, value in (("total", arguments.timeout), ("connect", arguments.connect_timeout))
        if value is not _UNSET
    }
    if bounds:
        keywords["timeout"] = replace(config.timeout, **bounds)
    if arguments.deadline is not _UNSET:
        keywords["total_timeout"] = arguments.deadline
    if arguments.retries is not None:
        policy = config.retry or RetryPolicy()
        keywords["retry_policy"] = replace(policy, max_attempts=arguments.retries + 1)
    return keywords


def _credentials(arguments: Namespace) -> dict[str, Any]:
    if arguments.bearer is not None and arguments.auth is not None:
        raise ConfigurationError("--auth and --bearer are both credentials; give one of them")
    if arguments.bearer is not None:
        return {"auth": read_text("--bearer", arguments.bearer).strip()}
    if arguments.auth is None:
        if arguments.digest:
            raise ConfigurationError("--digest needs --auth USER:PASSWORD")
        return {}
    user, colon, password = read_text("--auth", arguments.auth).rstrip("\r\n").partition(":")
    if not colon:
        if not sys.stdin.isatty():
            raise ConfigurationError(
                "--auth has no password, and there is no terminal to ask for it; write USER:PASSWORD"
            )
        password = getpass.getpass(f"Password of {user}: ")
    return {"auth": Digest(user, password) if arguments.digest else (user, password)}


def read_text(option: str, value: str) -> str:
    """The value of an option, or the text of the file that it names as @FILE. Raises ConfigurationError."""
    if not value.startswith("@"):
        return value
    try:
        with open(value[1:], encoding="utf-8") as file:
            return file.read()
    except (OSError, ValueError) as error:
        problem = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigurationError(f"{option}: cannot read {value[1:]!r}: {problem}") from None


def seconds(text: str) -> float | None:
    """A duration of an option: seconds, or such as "250ms"; None for "none".

    >>> seconds("2"), seconds("250ms"), seconds("none")
    (2.0, 0.25, None)
    """
    value = read_value("timeout", text, float | None)
    if value is None or (isinstance(value, float) and 0 < value < float("inf")):
        return value
    raise ArgumentTypeError(f"must be a positive duration such as 5, 250ms, 2m or none, not {text!r}")


def count(text: str) -> int:
    """A whole number of an option."""
    if not text.isdecimal():
        raise ArgumentTypeError(f"must be a whole number of 0 or more, not {text!r}")
    return int(text)
