"""Converting values to JSON."""

from __future__ import annotations

import dataclasses
import enum
import json
import math
import uuid
from collections.abc import Mapping
from datetime import date, datetime, time
from typing import Any, NoReturn

from itembank.payloads.json_path import JsonProblemError
from itembank.payloads.json_text import loses_digits, max_depth, max_safe_integer


def plain_json(value: Any, root: str) -> Any:
    """Returns a value as plain JSON data, and refuses values that json.dumps would silently change:

    - dicts and other mappings become objects; their keys must be strings, because `1` and `"1"` would become one;
    - lists, tuples and numpy arrays become arrays; sets are refused, because they have no order;
    - numpy scalars, enums, dataclasses and pydantic models are replaced by their values;
    - a datetime, date or time becomes an ISO string, a UUID its usual one;
    - a Decimal is refused, because a JSON number would not keep its digits: send a string or a float. So are bytes, which
      JSON has no type for, and all other objects;
    - NaN, the infinities, NaT, pandas.NA, integers that lose digits as doubles, lone surrogates, cycles, and more than 128 levels
      are refused.

    Raises JsonProblemError with a path that starts with `root`.
    """
    return JsonVisit(root).value(value)


def object_json(value: Any, root: str) -> str:
    """The text of a value that stands for a JSON object. Raises JsonProblemError as `plain_json` does, and for anything but an
    object.
    """
    plain = plain_json(value, root)
    if not isinstance(plain, dict):
        raise JsonProblemError(root, (), "must be a JSON object")
    return json.dumps(plain, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


class JsonVisit:
    """One traversal of a value, with its current path. See `plain_json`."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.is_simple = True
        """Whether json.dumps serializes the value as RFC 8785 does: it contains no fractions, which have another spelling
        there, and no names beyond ASCII, which have another order.
        """
        self.steps: list[str | int] = []
        self.ancestors: list[object] = []

    def value(self, value: Any) -> Any:
        kind = type(value)
        if kind is str:
            return self.text(value)
        if kind is bool or value is None:
            return value
        if kind is int:
            return self.integer(value)
        if kind is float:
            return self.number(value)
        if kind is dict:
            return self.nested(value, self.mapping)
        if kind is list or kind is tuple:
            return self.nested(value, self.sequence)
        return self.other(value)

    def other(self, value: Any) -> Any:
        """Converts a value of a type that json.loads does not return."""
        if isinstance(value, enum.Enum):
            return self.value(value.value)
        if type(value).__module__ == "numpy":
            return self.numpy(value)
        # These are instances of date or float, or do not support comparison.
        if type(value).__name__ in ("NaTType", "NAType"):
            self.fail(f"{value} is not JSON")
        if isinstance(value, str):
            return self.text(str.__str__(value))
        if isinstance(value, int):
            return self.integer(int(value))
        if isinstance(value, float):
            return self.number(float(value))
        if isinstance(value, datetime | date | time):
            return value.isoformat()
        if isinstance(value, uuid.UUID):
            return str(value)
        if isinstance(value, Mapping):
            return self.nested(value, self.mapping)
        if isinstance(value, list | tuple):
            return self.nested(value, self.sequence)
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            return self.nested(value, self.fields)
        dump = getattr(type(value), "model_dump", None)
        if callable(dump):
            return self.nested(value, lambda model: self.value(dump(model, mode="json")))
        self.fail(f"{_describe(value)} is not JSON; convert it to plain values")

    def numpy(self, value: Any) -> Any:
        # `item` and `tolist` return values unchanged that Python has no type for, which would recurse forever.
        plain = value.tolist()
        if type(plain) is type(value):
            self.fail(f"{_describe(value)} is not JSON; convert it to plain values")
        return self.value(plain)

    def nested(self, value: Any, visit: Any) -> Any:
        if any(ancestor is value for ancestor in self.ancestors):
            self.fail("circular reference")
        if len(self.ancestors) == max_depth:
            self.fail(f"more than {max_depth} levels")
        self.ancestors.append(value)
        plain = visit(value)
        self.ancestors.pop()
        return plain

    def mapping(self, mapping: Mapping[Any, Any]) -> dict[str, Any]:
        plain = {}
        for name, member in mapping.items():
            if not isinstance(name, str):
                self.fail(f"the key {name!r:.100} is {_describe(name)}, not a string")
            name = name.value if isinstance(name, enum.Enum) else name
            if not is_well_formed(name):
                self.fail("lone surrogate in the name of a member")
            if not name.isascii():
                self.is_simple = False
            self.steps.append(name)
            plain[str(name)] = self.value(member)
            self.steps.pop()
        return plain

    def sequence(self, elements: list[Any] | tuple[Any, ...]) -> list[Any]:
        plain = []
        for index, element in enumerate(elements):
            self.steps.append(index)
            plain.append(self.value(element))
            self.steps.pop()
        return plain

    def fields(self, value: Any) -> dict[str, Any]:
        return self.mapping({field.name: getattr(value, field.name) for field in dataclasses.fields(value)})

    def text(self, text: str) -> str:
        if not is_well_formed(text):
            self.fail("lone surrogate")
        return text

    def integer(self, integer: int) -> int:
        if loses_digits(integer):
            self.fail("integer that loses digits as a double; send it as a string")
        if abs(integer) > max_safe_integer:
            self.is_simple = False
        return integer

    def number(self, number: float) -> float:
        if not math.isfinite(number):
            self.fail(f"{'NaN' if math.isnan(number) else 'Infinity'} is not JSON")
        self.is_simple = False
        return number

    def fail(self, problem: str) -> NoReturn:
        raise JsonProblemError(self.root, self.steps, problem)


def is_well_formed(text: str) -> bool:
    """Whether a text contains no lone surrogate."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _describe(value: object) -> str:
    return f"an object of class {type(value).__qualname__}" if value is not None else "None"
