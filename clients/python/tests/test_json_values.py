"""Converting values that are not JSON."""

from __future__ import annotations

import enum
import uuid
from dataclasses import dataclass
from datetime import date, datetime, timezone
from decimal import Decimal
from fractions import Fraction
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
import pytest

from itembank.payloads.json_path import JsonProblemError
from itembank.payloads.json_values import plain_json


class Color(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


class Word(str):
    pass


@dataclass
class Point:
    x: int
    y: Any


class Model:
    """Has the method of pydantic models."""

    def model_dump(self, *, mode: str) -> dict[str, Any]:
        assert mode == "json"
        return {"answer": "Paris"}


def cyclic() -> list[Any]:
    cycle: list[Any] = [1]
    cycle.append({"again": cycle})
    return cycle


def nested(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels - 1):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        ((1, [2.5, None]), [1, [2.5, None]]),
        (MappingProxyType({"a": 1}), {"a": 1}),
        (np.float64(0.5), 0.5),
        (np.int64(7), 7),
        (np.bool_(True), True),
        (np.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
        (np.str_("text"), "text"),
        (Color.RED, "red"),
        (Level.HIGH, 3),
        ({Color.RED.value: Word("w")}, {"red": "w"}),
        (Point(1, Point(2, "z")), {"x": 1, "y": {"x": 2, "y": "z"}}),
        (Model(), {"answer": "Paris"}),
        (datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc), "2026-01-02T03:04:05+00:00"),
        (pd.Timestamp("2026-01-02T03:04:05Z"), "2026-01-02T03:04:05+00:00"),
        (date(2026, 1, 2), "2026-01-02"),
        (uuid.UUID(int=5), "00000000-0000-0000-0000-000000000005"),
        (2**53 - 1, 2**53 - 1),
        (2**53 + 2, 2**53 + 2),
        (10**20, 10**20),
        (1152921504606847000, 1152921504606847000),
        (1e300, 1e300),
        (nested(128), nested(128)),
        ([[1], [1]], [[1], [1]]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_values_that_json_can_represent(value: Any, plain: Any) -> None:
    assert plain_json(value, "$") == plain
    assert type(plain_json(value, "$")) is type(plain)


@pytest.mark.parametrize(
    ("value", "path", "problem"),
    [
        ({"a": [float("nan")]}, "$.a[0]", "NaN is not JSON"),
        ({"a": float("-inf")}, "$.a", "Infinity is not JSON"),
        ([np.float32("nan")], "$[0]", "NaN is not JSON"),
        ([pd.NaT], "$[0]", "NaT is not JSON"),
        ([pd.NA], "$[0]", "<NA> is not JSON"),
        ({"price": Decimal("1.10")}, "$.price", "Decimal is not JSON"),
        ({"raw": b"x"}, "$.raw", "bytes is not JSON"),
        ({"tags": {"a", "b"}}, "$.tags", "set is not JSON"),
        ({"f": Fraction(1, 3)}, "$.f", "Fraction is not JSON"),
        ({"f": len}, "$.f", "builtin_function_or_method is not JSON"),
        ({"k": {1: "a"}}, "$.k", "the key 1 is"),
        ({"big": 2**53 + 1}, "$.big", "integer that loses digits as a double"),
        ({"big": np.uint64(2**60 + 1)}, "$.big", "integer that loses digits as a double"),
        ({"half": "\ud800"}, "$.half", "lone surrogate"),
        ({"half": {"\udc00": 1}}, "$.half", "lone surrogate in the name"),
        (cyclic(), "$[1].again", "circular reference"),
        (nested(129), "$" + "[0]" * 128, "more than 128 levels"),
        ({"it's a\nkey": {"x": {1}}}, "$['it\\'s a\\nkey'].x", "set is not JSON"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_values_that_json_cannot_represent(value: Any, path: str, problem: str) -> None:
    with pytest.raises(JsonProblemError) as refusal:
        plain_json(value, "$")
    assert refusal.value.path == path
    assert problem in refusal.value.problem
