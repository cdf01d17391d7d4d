"""Words for the values of enums."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from itembank.errors import invalid_field

V = TypeVar("V")


def enum_value(field: str, word: str, values: Mapping[str, V]) -> V:
    """Returns the enum value of an option's word. Raises InvalidArgumentError for any other word."""
    if word not in values:
        raise invalid_field(field, f"must be {' or '.join(map(repr, values))}, not {word!r}")
    return values[word]
