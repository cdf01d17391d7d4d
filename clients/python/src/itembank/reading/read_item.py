"""Items that are read."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from itembank.payloads.json_text import parse_json
from itembank.v1.item_pb2 import Item


@dataclass(frozen=True)
class ReadItem:
    """An item at a version, with its payloads as values. It can be written again unchanged."""

    item_id: str
    input: Any
    """None if the item was purged; see `purged`."""
    expected_output: Any
    """None also if there is no reference answer; see `has_expected_output`."""
    has_expected_output: bool
    """Whether there is a reference answer, which may be None."""
    metadata: dict[str, Any] | None
    """None if there is none, which is not the same as {}."""
    splits: tuple[str, ...]
    content_hash: str
    """sha256-jcs-v1, in hexadecimal."""
    version: int
    """The version that wrote this state of the item."""
    create_time: datetime | None
    update_time: datetime | None
    purged: bool
    """True if the payloads were erased."""


def read_item(item: Item) -> ReadItem:
    """Converts an item of the contract."""
    has_expected_output = item.HasField("expected_output_json") and item.expected_output_json != ""
    return ReadItem(
        item_id=item.item_id,
        input=parse_json(item.input_json) if item.input_json else None,
        expected_output=parse_json(item.expected_output_json) if has_expected_output else None,
        has_expected_output=has_expected_output,
        metadata=parse_json(item.metadata_json) if item.metadata_json else None,
        splits=tuple(item.splits),
        content_hash=item.content_hash.hex(),
        version=item.version,
        create_time=time_of(item.create_time) if item.HasField("create_time") else None,
        update_time=time_of(item.update_time) if item.HasField("update_time") else None,
        purged=item.purged,
    )


def time_of(timestamp: Timestamp) -> datetime:
    """Converts a timestamp to a time in UTC, to the microsecond."""
    return timestamp.ToDatetime(timezone.utc)
