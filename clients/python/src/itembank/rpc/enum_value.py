"""Words that stand for the values of enums."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from itembank.errors import invalid_field

V = TypeVar("V")


def enum_value(field: str, word: str, values: Mapping[str, V]) -> V:
    """The value of an enum for a word of an option. Raises InvalidArgumentError for any other word."""
    if word not in values:
        raise invalid_field(field, f"is {word!r}, not {' or '.join(map(repr, values))}")
    return values[word]
