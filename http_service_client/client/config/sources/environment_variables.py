"""Settings from environment variables: their names are a prefix and the name of a field, tables by two underscores."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypeVar

from ....errors import ConfigurationError
from .source import Settings
from .tables import Table, table_of
from .values import read_value

__all__ = ["from_env", "variables"]

Config = TypeVar("Config")

# What Kubernetes sets for a service in the namespace, PAYMENTS_SERVICE_HOST for one called payments.
_IS_OF_KUBERNETES = re.compile(
    r"SERVICE_(HOST|PORT(_\w+)?)|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?"
).fullmatch


def from_env(kind: type[Config], prefix: str, environ: Mapping[str, str | None]) -> Config:
    """A configuration of this class: see `HttpClientConfig.from_env`."""
    return variables(kind, prefix, environ).make(kind)


def variables(kind: type, prefix: str, environ: Mapping[str, str | None]) -> Settings:
    """The settings of the variables with this prefix. One that is empty counts as not set."""
    if not isinstance(prefix, str) or not prefix.strip("_"):
        raise ConfigurationError(
            f"prefix must be the beginning of the variables' names, such as 'PAYMENTS_', not {prefix!r}"
        )
    prefix = prefix if prefix.endswith("_") else f"{prefix}_"
    root = table_of(kind)
    settings = Settings({}, title=f"the environment variables {prefix}*")
    names = [name for name in environ if name.startswith(prefix)]
    upper = None if names else next((name for name in environ if name.startswith(prefix.upper())), None)
    if upper is not None:
        raise ConfigurationError(
            f"no variable begins with prefix={prefix!r}, but {upper} is set; write {prefix.upper()!r}"
        )
    # A table as a whole comes first, then the settings in it.
    for name in sorted(names, key=lambda name: (name.count("__"), name)):
        rest, text = name.removeprefix(prefix), environ[name]
        if not text or _IS_OF_KUBERNETES(rest):
            continue
        path = tuple(rest.lower().split("__"))
        table, *within = path
        if table == "default_headers":
            within = [part.replace("_", "-") for part in within]
        value: Any = text
        if table in root.annotations and not within:
            value = read_value(table, text, root.annotations[table])
        elif table in root.annotations and table not in root.tables and table not in _MAPPINGS:
            settings.report((), f"{name}: {table} is not a table of settings; write {prefix}{table.upper()}")
            continue
        elif table not in root.annotations and (hint := _joined("_".join(path), root)) is not None:
            settings.report((), f"{name}: there is no such setting; did you mean {prefix}{hint}?")
            continue
        path = (table, *within)
        for key in reversed(within):
            value = {key: value}
        added = Settings({table: value})
        added.labels[path] = name
        settings.overlay(added)
    return settings


_MAPPINGS = ("default_headers", "proxy")


def _joined(name: str, root: Table) -> str | None:
    """The right name for one with a single underscore before the key of a table, or without the table's `_config`."""
    for table in root.tables:
        for start in (table, table.removesuffix("_config")):
            key = name.removeprefix(f"{start}_")
            if key != name and key in root.tables[table].annotations:
                return f"{table}__{key}".upper()
    return None
