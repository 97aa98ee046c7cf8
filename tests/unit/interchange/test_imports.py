"""Whole imports: the settings that a document of each system sets, and the note of everything in it that sets none.

The rows are in imports.json. They were read once, against the systems' own pages; a change of one is to be read again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from http_service_client.interchange import (
    Import,
    from_envoy,
    from_gateway_api,
    from_grpc_service_config,
    from_polly,
)
from kit.rows import each_row

ROWS: dict[str, Any] = json.loads(Path(__file__).with_name("imports.json").read_text(encoding="utf-8"))
READERS: dict[str, Callable[..., Import]] = {
    "envoy": from_envoy,
    "gateway-api": from_gateway_api,
    "grpc": from_grpc_service_config,
    "polly": from_polly,
}


def spans(numbers: Iterable[int]) -> str:
    """Numbers in short: "408 500-599"."""
    found: list[list[int]] = []
    for number in numbers:
        if found and number == found[-1][1] + 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return " ".join(str(first) if first == last else f"{first}-{last}" for first, last in found)


def plain(value: Any) -> Any:
    """A setting as JSON may have it."""
    if isinstance(value, tuple):
        return spans(value)
    return value if isinstance(value, (bool, int, float, str)) else repr(value)


@each_row("name", ROWS)
def test_a_document_of_another_system_as_settings(name: str) -> None:
    """By name, and the notes in their order."""
    row = ROWS[name]
    imported = READERS[name.partition(":")[0]](row["document"], **row.get("options", {}))
    assert {setting: plain(value) for setting, value in imported.said.items()} == row["said"]
    assert imported.explain().splitlines() == row["notes"]
