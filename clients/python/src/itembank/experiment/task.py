"""What is tried, and what judges it."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypedDict

from itembank.reading.read_item import ReadItem


@dataclass(frozen=True)
class Usage:
    """What a result cost. None means unknown, which is not 0."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cost: float | None = None
    currency_code: str = ""
    """ISO 4217. USD unless set."""


@dataclass
class TaskContext:
    """What a task knows besides its item."""

    repetition: int
    """Which repetition, from 1."""
    attempt: int
    """Which attempt at it, from 1."""
    run_id: str
    """The run. Empty in a dry run."""
    stopped: threading.Event = field(default_factory=threading.Event)
    """Set when the attempt has run out of time, and when the experiment ends early. An async task is cancelled then. A
    task in a thread cannot be: it may look here, and what it still gives is thrown away."""
    usage: Usage | None = None
    trace_id: str = ""

    def report(self, *, usage: Usage | None = None, trace_id: str | None = None) -> None:
        """Records what the attempt cost, and where it is traced."""
        if usage is not None:
            _check_usage(usage)
            self.usage = usage
        if trace_id is not None:
            self.trace_id = trace_id


Task = Callable[[ReadItem], Any | Awaitable[Any]] | Callable[[ReadItem, TaskContext], Any | Awaitable[Any]]
"""What is tried: gives the output for an item, any JSON, None included. Raising is a failed attempt. An error with the
status 429 is a rate limit: it holds back all attempts for as long as its `retry-after` says. A task that is no coroutine
function runs in a thread."""


@dataclass(frozen=True)
class Subject:
    """What an evaluator judges."""

    input: Any
    output: Any
    expected_output: Any
    """None also if the item has no reference answer; see `item.has_expected_output`."""
    item: ReadItem
    repetition: int


@dataclass(frozen=True)
class Judgement:
    """A judgement in full. A value or a label, or both."""

    value: float | bool | None = None
    """True counts as 1, False as 0."""
    label: str | None = None
    explanation: str | None = None
    metadata: Mapping[str, Any] | None = None


EvaluatorOutput = float | bool | str | Judgement | None
"""A judgement: a number, a truth value (1 or 0), a label, or all of it. None means that there is nothing to judge; then no
score is recorded."""

Evaluate = Callable[[Subject], EvaluatorOutput | Awaitable[EvaluatorOutput]]


@dataclass(frozen=True)
class Evaluator:
    """A function that judges, with a word on who that is."""

    evaluate: Evaluate
    kind: Literal["code", "llm", "human"] = "code"


Evaluators = Mapping[str, Evaluate | Evaluator] | Sequence[Evaluate]
"""Evaluators by the names of their scores; or functions, which give their names to their scores. One that raises leaves an
error as the score."""


class WorkOptions(TypedDict, total=False):
    """How the cells of a run are worked on."""

    evaluators: Evaluators
    concurrency: int
    """How many items to work on at a time. 10 unless set."""
    timeout: float
    """How many seconds an attempt, and each evaluator, may take. Any time unless set."""
    retries: int
    """How often an attempt that failed is repeated, after pauses. 2 unless set. Rate limits do not count."""
    should_retry: Callable[[Exception], bool]
    """Whether a failure is worth another attempt. Every one is unless this says otherwise."""
    rate_limit_per_minute: float
    """The most attempts to start in a minute, evenly spaced. Any number unless set."""
    progress: bool | None
    """Whether to show a progress bar. Unless set, one is shown in terminals and notebooks."""


default_concurrency = 10


def _check_usage(usage: Usage) -> None:
    """Raises ValueError for what is no amount: the task reported it, so the task hears of it."""
    for name in ("input_tokens", "output_tokens"):
        count = getattr(usage, name)
        if count is not None and (isinstance(count, bool) or not isinstance(count, int) or count < 0):
            raise ValueError(f"usage.{name} is {count!r}, which is no count")
    if usage.cost is not None and not 0 <= usage.cost < float("inf"):
        raise ValueError(f"usage.cost is {usage.cost!r}, which is no amount")
    if usage.currency_code and not (
        usage.currency_code.isascii() and usage.currency_code.isupper() and len(usage.currency_code) == 3
    ):
        raise ValueError(f"usage.currency_code is {usage.currency_code!r}, not a code of ISO 4217")
