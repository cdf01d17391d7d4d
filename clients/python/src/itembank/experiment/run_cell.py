"""Working on one cell of a run."""

from __future__ import annotations

import asyncio
import copy
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf.duration_pb2 import Duration

from itembank.errors import invalid_field
from itembank.experiment.attempt import attempt
from itembank.experiment.call_signature import can_bind, describe_parameters, takes_two
from itembank.experiment.error_text import to_result_error
from itembank.experiment.evaluate import evaluate, evaluators_by_name, now
from itembank.experiment.rate_gate import RateGate, rate_limit_of
from itembank.experiment.task import Evaluator, Subject, Task, TaskContext, WorkOptions
from itembank.experiment.task import Usage as TaskUsage
from itembank.payloads.json_path import JsonProblemError
from itembank.payloads.json_values import plain_json
from itembank.reading.read_item import read_item
from itembank.rpc.retry import jittered
from itembank.v1.item_pb2 import Item
from itembank.v1.limits_pb2 import Limits
from itembank.v1.result_pb2 import ResultError, RunResult, Usage

default_retries = 2

initial_pause = 0.25
max_pause = 10.0
"""The pauses before retries."""

max_rate_limits = 20
"""The most rate limits that one cell waits for. More of them mean that slowing down does not help."""


@dataclass(frozen=True)
class Cell:
    """One cell of a run."""

    item: Item
    """The item as it was received: every attempt and every evaluator reads it anew, so that what one of them changes does not
    reach another."""
    repetition: int


class OutputError(Exception):
    """An output that cannot be recorded."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class CellSetting:
    """The setting that all cells share."""

    task: Task
    takes_context: bool
    evaluators: Mapping[str, Evaluator]
    timeout: float | None
    retries: int
    should_retry: Callable[[Exception], bool]
    gate: RateGate
    limits: Limits
    run_id: str
    """Empty in a dry run."""


def new_setting(task: Task, options: WorkOptions, limits: Limits, run_id: str) -> CellSetting:
    """Checks the task and the evaluators. Raises InvalidArgumentError."""
    if not callable(task):
        raise invalid_field("task", f"must be a function, not {task!r}")
    takes_context = takes_two(task)
    if not can_bind(task, 2 if takes_context else 1):
        raise invalid_field(
            "task",
            f"takes {describe_parameters(task)}, but is called with an item, and with a TaskContext if it has a "
            "second parameter named context",
        )
    return CellSetting(
        task=task,
        takes_context=takes_context,
        evaluators=evaluators_by_name(options.get("evaluators", {})),
        timeout=options.get("timeout"),
        retries=options.get("retries", default_retries),
        should_retry=options.get("should_retry", lambda _: True),
        gate=RateGate(options.get("rate_limit_per_minute")),
        limits=limits,
        run_id=run_id,
    )


async def run_cell(setting: CellSetting, cell: Cell) -> RunResult:
    """Works on one cell: attempts the task until it returns an output or no retries are left, then runs all evaluators.
    Failures become part of the result.
    """
    failures = rate_limits = 0
    while True:
        entered = await setting.gate.enter()
        context = TaskContext(cell.repetition, failures + rate_limits + 1, setting.run_id)
        result = RunResult(
            item_id=cell.item.item_id,
            repetition=cell.repetition,
            start_time=now(),
            retry_count=failures + rate_limits,
        )
        started = time.monotonic()
        item = read_item(cell.item)
        arguments = (item, context) if setting.takes_context else (item,)
        try:
            output = await attempt(setting.task, arguments, setting.timeout, context.stopped)
            result.output_json = _spell(output, setting.limits.max_item_bytes)
        except Exception as error:
            limit = rate_limit_of(error)
            if limit is not None and rate_limits < max_rate_limits:
                rate_limits += 1
                setting.gate.pause(entered, limit.retry_after)
                continue
            if failures < setting.retries and setting.should_retry(error):
                failures += 1
                await asyncio.sleep(jittered(initial_pause, max_pause, failures))
                continue
            result.error.CopyFrom(to_result_error(error))
            _complete(result, context, started)
            return _fitting(result, setting.limits)
        _complete(result, context, started)
        setting.gate.succeeded()
        result.scores.extend(await _judge(setting, cell, output))
        return _fitting(result, setting.limits)


async def _judge(setting: CellSetting, cell: Cell, output: Any) -> list[Any]:
    def subject() -> Subject:
        item = read_item(cell.item)
        return Subject(item.input, copy.deepcopy(output), item.expected_output, item, cell.repetition)

    scores = await asyncio.gather(
        *(evaluate(name, one, subject, setting.timeout) for name, one in setting.evaluators.items())
    )
    return [score for score in scores if score is not None]


def _complete(result: RunResult, context: TaskContext, started: float) -> None:
    latency = Duration()
    latency.FromMicroseconds(round((time.monotonic() - started) * 1e6))
    result.latency.CopyFrom(latency)
    result.complete_time.CopyFrom(now())
    result.trace_id = context.trace_id[:128]
    if context.usage is not None:
        result.usage.CopyFrom(_usage_to_wire(context.usage))


def _usage_to_wire(usage: TaskUsage) -> Usage:
    return Usage(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cost=usage.cost,
        currency_code=usage.currency_code,
    )


def _spell(output: Any, max_bytes: int) -> str:
    """Serializes the output as JSON. Raises OutputError."""
    try:
        plain = plain_json(output, "$.output")
    except JsonProblemError as problem:
        raise OutputError("INVALID_OUTPUT", str(problem)) from None
    text = json.dumps(plain, ensure_ascii=False, separators=(",", ":"))
    size = len(text.encode())
    if size > max_bytes:
        message = f"the output has {size:,} bytes; the server accepts at most {max_bytes:,}"
        raise OutputError("OUTPUT_TOO_LARGE", message)
    return text


def _fitting(result: RunResult, limits: Limits) -> RunResult:
    """Returns a result that can be recorded. A result that is too large with its scores is replaced by an error that says so:
    otherwise the server would refuse all results in its frame.
    """
    size = result.ByteSize()
    if size <= limits.max_result_bytes:
        return result
    maximum = limits.max_result_bytes
    message = f"the result with its scores has {size:,} bytes; the server accepts at most {maximum:,}"
    return RunResult(
        item_id=result.item_id,
        repetition=result.repetition,
        start_time=result.start_time,
        complete_time=result.complete_time,
        latency=result.latency,
        retry_count=result.retry_count,
        error=ResultError(code="RESULT_TOO_LARGE", message=message),
    )
