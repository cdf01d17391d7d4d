"""Where rows come from."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Mapping, Sized
from typing import TYPE_CHECKING, Any

from itembank.errors import invalid_field

if TYPE_CHECKING:
    import pandas as pd


def open_rows(items: Any) -> Iterator[Any] | AsyncIterator[Any]:
    """Starts to read rows. Raises InvalidArgumentError for what gives none."""
    if _is_data_frame(items):
        return _rows_of_frame(items)
    if isinstance(items, AsyncIterable):
        return items.__aiter__()
    # A text or a dict can be iterated over, and is surely not meant to be.
    if isinstance(items, Iterable) and not isinstance(items, str | bytes | Mapping):
        return iter(items)
    raise invalid_field(
        "items", f"is a {type(items).__name__}, not a list of rows, a generator or a DataFrame"
    )


def count_rows(items: Any) -> int | None:
    """How many rows there are, where that is known from the start."""
    return len(items) if isinstance(items, Sized) else None


def _is_data_frame(items: Any) -> bool:
    # Nobody has a DataFrame who has not imported pandas.
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(items, pandas.DataFrame)


def _rows_of_frame(frame: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Rows as dicts by column. A missing value (None, NaN, NaT, pandas.NA) is left out of its row."""
    pandas = sys.modules["pandas"]
    names = list(frame.columns)
    if len(set(names)) < len(names):
        raise invalid_field("items", "the DataFrame has two columns of one name")
    for row in frame.itertuples(index=False, name=None):
        yield {
            name: value
            for name, value in zip(names, row, strict=True)
            if not (pandas.api.types.is_scalar(value) and pandas.isna(value))
        }
