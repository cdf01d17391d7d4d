"""Sources of rows."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Mapping, Sized
from typing import TYPE_CHECKING, Any

from itembank.errors import invalid_field

if TYPE_CHECKING:
    import pandas as pd


def open_rows(items: Any) -> Iterator[Any] | AsyncIterator[Any]:
    """Starts reading rows. Raises InvalidArgumentError for an object that is not a source of rows."""
    if _is_data_frame(items):
        return _rows_of_frame(items)
    if isinstance(items, AsyncIterable):
        return items.__aiter__()
    # A string or a dict is iterable, but passing one is surely a mistake.
    if isinstance(items, Iterable) and not isinstance(items, str | bytes | Mapping):
        return iter(items)
    raise invalid_field(
        "items", f"must be a list of rows, an iterable or a DataFrame, not a {type(items).__name__}"
    )


def count_rows(items: Any) -> int | None:
    """Returns the number of rows, if known in advance."""
    return len(items) if isinstance(items, Sized) else None


def columns_of(items: Any) -> list[Any] | None:
    """Returns the columns of a DataFrame, and None for any other source."""
    return list(items.columns) if _is_data_frame(items) else None


def _is_data_frame(items: Any) -> bool:
    # A caller with a DataFrame has imported pandas.
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(items, pandas.DataFrame)


def _rows_of_frame(frame: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Yields rows as dicts by column. A missing value (None, NaN, NaT, pandas.NA) is left out of its row."""
    pandas = sys.modules["pandas"]
    names = list(frame.columns)
    if len(set(names)) < len(names):
        raise invalid_field("items", "the DataFrame has two columns of the same name")
    for row in frame.itertuples(index=False, name=None):
        yield {
            name: value
            for name, value in zip(names, row, strict=True)
            if not (pandas.api.types.is_scalar(value) and pandas.isna(value))
        }
