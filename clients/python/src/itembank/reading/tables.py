"""Results as tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from itembank.payloads.json_text import parse_json
from itembank.reading.read_item import read_item, time_of
from itembank.v1.result_pb2 import RunResult

if TYPE_CHECKING:
    import pandas as pd


def result_row(result: RunResult) -> dict[str, Any]:
    """Returns a result with its item as one row. Scores are columns `score.<name>`: the value, else the label. If the evaluator
    failed, the row has its error as `score_error.<name>` instead.
    """
    item = read_item(result.item)
    failed = result.HasField("error")
    row: dict[str, Any] = {
        "item_id": result.item_id,
        "repetition": result.repetition,
        "input": item.input,
        "expected_output": item.expected_output,
        "output": parse_json(result.output_json) if result.output_json else None,
        "failed": failed,
        "error_code": result.error.code if failed else None,
        "error_message": result.error.message if failed else None,
        "latency": result.latency.ToMicroseconds() / 1e6 if result.HasField("latency") else None,
        "retry_count": result.retry_count,
        "input_tokens": result.usage.input_tokens if result.usage.HasField("input_tokens") else None,
        "output_tokens": result.usage.output_tokens if result.usage.HasField("output_tokens") else None,
        "cost": result.usage.cost if result.usage.HasField("cost") else None,
        "trace_id": result.trace_id or None,
        "result_id": result.result_id,
        "create_time": time_of(result.create_time),
    }
    for score in result.scores:
        if score.error:
            row[f"score_error.{score.name}"] = score.error
        else:
            row[f"score.{score.name}"] = score.value if score.HasField("value") else score.label
    return row


def results_frame(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Returns the rows as a DataFrame, in order of item and repetition."""
    import pandas as pd

    ordered = sorted(rows, key=lambda row: (row["item_id"], row["repetition"]))
    return pd.DataFrame(ordered)
