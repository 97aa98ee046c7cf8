"""Settings on their way from where they are written to a configuration.

Every fault is found, and all are reported in one error: each with the name of the setting in its source (a key of a
file, an environment variable), its value unless that is a secret, and what to write instead.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Protocol, TypeVar

from ....errors import ConfigurationError
from .tables import Table, table_of
from .values import plain, read_value, takes_none

__all__ = ["Path", "Settings", "SupportsModelDump", "from_mapping"]

Path = tuple[str, ...]
Config = TypeVar("Config")

_SHORTEST_SECRET = 4  # characters; a shorter one is hidden only where a message quotes it


class SupportsModelDump(Protocol):
    """A model of pydantic, or of pydantic-settings."""

    def model_dump(self) -> dict[str, Any]:
        """The fields and their values."""
        ...


def from_mapping(kind: type[Config], given: object) -> Config:
    """A configuration of this class: see `HttpClientConfig.from_mapping`."""
    dump = None if isinstance(given, (Mapping, type)) else getattr(given, "model_dump", None)
    values = dump() if callable(dump) else given
    if not isinstance(values, Mapping):
        raise ConfigurationError(
            f"settings must be a mapping of names to values, or a pydantic model, not {type(given).__name__}"
        )
    return Settings(values).make(kind)


class Settings:
    """Values by their names, tables within them likewise.

    source: the file that has them, for messages.   label: of the table that they were in.   title: of several faults.
    labels: the names, in their source, of the values that are not called after their keys.
    secrets: texts that no message may show.
    """

    def __init__(
        self,
        values: Mapping[Any, Any],
        source: str | None = None,
        label: str | None = None,
        title: str = "the settings",
    ) -> None:
        self.values: dict[Any, Any] = dict(values)
        self.source = source
        self.title = source or title
        self.secrets: set[str] = set()
        self.labels: dict[Path, str] = {}
        self.faults: list[str] = []
        if label is not None:
            for path in _paths(self.values):
                self.labels[path] = ".".join((label, *path))

    def overlay(self, other: Settings) -> None:
        """Add the values of another source. They replace those of the same names, key by key in tables."""
        self.values = _merged(self.values, other.values)
        self.labels |= other.labels
        self.secrets |= other.secrets
        self.faults += other.faults

    def report(self, path: Path, problem: str) -> None:
        """Note a fault of a setting.   problem: what follows its name."""
        self.faults.append(self._hidden(f"{self._label(path)}{problem}"))

    def make(self, kind: type[Config]) -> Config:
        """The configuration. Raises ConfigurationError with all faults."""
        made: Config = self._make(table_of(kind), self.values, ())
        faults = list(dict.fromkeys(self.faults))
        if not faults:
            return made
        if len(faults) == 1:
            raise ConfigurationError(f"{self.source}: {faults[0]}" if self.source else faults[0])
        lines = "".join(f"\n  {fault}" for fault in faults)
        raise ConfigurationError(f"{self.title}: {len(faults)} faults{lines}")

    def _make(self, table: Table, values: Mapping[Any, Any], path: Path) -> Any:
        annotations, read = table.annotations, dict[str, Any]()
        dropped: set[str] = set()
        for key, value in values.items():
            here = (*path, str(key))
            if key not in annotations:
                self.report(here, f": there is no such setting; {table.remedy(key)}")
                continue
            try:
                # The values in a table are looked at one by one, by its own `_make`.
                if key not in table.tables or not isinstance(value, Mapping):
                    value = plain(self.expanded(value), self.secrets)
            except ValueError as error:
                self.report(here, f": {error}")
                dropped.add(key)
                continue
            if value is None and not takes_none(annotations[key]):
                continue  # nothing is written there, as in an empty key of YAML
            value = read_value(key, value, annotations[key])  # that of a table may be JSON
            if key in table.tables and isinstance(value, (str, list)):
                self.report(here, f" must be a table of settings, not {type(value).__name__}")
                dropped.add(key)
                continue
            if key in table.tables and isinstance(value, Mapping):
                value = self._make(table.tables[key], value, here)
                if value is None:
                    dropped.add(key)
                    continue
            read[key] = value
        return self._checked(table, read, path, dropped)

    def _checked(self, table: Table, values: dict[str, Any], path: Path, dropped: set[str]) -> Any:
        """What the table makes of its values, and a note of each fault; None if it can be made of none.

        The check of a table raises its first error. Without the setting that this one is about, the check raises the
        next one. What it says of a setting that is missing for this reason alone is no fault.
        """
        try:
            return table.make(values)
        except (ConfigurationError, TypeError) as error:
            message = str(error)
        table_name, _, rest = message.partition(": ")
        if table_name.isidentifier() and table_name not in values:
            message = rest  # the name is that of the table
        words = re.findall(r"\w+", message)
        first = next(iter(words), None)
        culprit = first if first in values else None
        if culprit is not None:
            words = re.findall(r"\w+", message.partition(";")[0])  # its remedy may name any setting
        if dropped.isdisjoint(words):
            self._report_error(path, culprit, message)
        if culprit is None:
            return None
        others = {name: value for name, value in values.items() if name != culprit}
        return self._checked(table, others, path, {*dropped, culprit})

    def _report_error(self, path: Path, culprit: str | None, message: str) -> None:
        """Note what a check says, which begins with the name of a field, or with that of the table."""
        here = path if culprit is None else (*path, culprit)
        if not here:
            self.report((), message)
            return
        found = re.match(rf"{here[-1]}(?:: {here[-1]}\b)?", message)
        self.report(here, f": {message}" if found is None else message[found.end() :])

    def expanded(self, value: Any) -> Any:
        """The value with the texts that it refers to. Raises ValueError for one that is missing."""
        return value

    def _label(self, path: Path) -> str:
        """The name of a setting in its source; of a table, that of a setting in it if it has none itself."""
        # A table's own label comes before those of the settings in it.
        within = (label for known, label in self.labels.items() if path and known[: len(path)] == path)
        return next(within, ".".join(path))

    def _hidden(self, message: str) -> str:
        for secret in sorted(self.secrets, key=len, reverse=True):
            for shown in (secret, repr(secret)[1:-1]):
                if len(secret) >= _SHORTEST_SECRET:
                    message = message.replace(shown, "***")
                else:
                    message = message.replace(f"'{shown}'", "'***'")
        return message


def _paths(values: Mapping[Any, Any], above: Path = ()) -> list[Path]:
    found = []
    for key, value in values.items():
        path = (*above, str(key))
        found.append(path)
        if isinstance(value, Mapping):
            found += _paths(value, path)
    return found


def _merged(base: Mapping[Any, Any], over: Mapping[Any, Any]) -> dict[Any, Any]:
    """Both, where `over` comes first. Names of headers, unlike those of settings, may differ in case."""
    merged = dict(base)
    names = {str(name).lower(): name for name in base}
    for key, value in over.items():
        before = merged.pop(names.get(str(key).lower(), key), None)
        both = isinstance(before, Mapping) and isinstance(value, Mapping)
        merged[key] = _merged(before, value) if both else value
    return merged
