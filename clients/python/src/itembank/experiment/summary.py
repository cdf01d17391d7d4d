"""The summary of a run."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from itembank.v1.result_pb2 import RunResult
from itembank.v1.run_pb2 import Run

if TYPE_CHECKING:
    import pandas as pd

max_example = 80
"""The longest example of a failure, in characters: one line of a terminal."""


@dataclass(frozen=True)
class ScoreSummary:
    """One score over a run. The successes of the run always equal n + labelled + failed + unscored."""

    name: str
    n: int
    """Results with a number."""
    mean: float | None
    """The mean of the `n` numbers. None if there are none."""
    labelled: int
    """Results with a label and no number."""
    labels: dict[str, int]
    """The number of results with each label, with a number or without."""
    failed: int
    """Results that the evaluator failed on."""
    unscored: int
    """Successes without this score."""
    first_error: str | None
    """The error of the first result that the evaluator failed on. None if there is none."""


@dataclass(frozen=True)
class FailureSummary:
    """Failures of one kind."""

    code: str
    count: int
    example: str
    """The message of one of them."""


@dataclass(frozen=True)
class Latency:
    """The latency of successes, in seconds."""

    mean: float
    p50: float
    p95: float


@dataclass(frozen=True)
class ExperimentSummary:
    """The summary of a run. Always, expected = succeeded + failed + missing: nothing drops out of the denominator. `print`
    shows it in a few lines:

        COMPLETED  reader-2 on data… version 3  (runs…)
        cells      300 = 290 succeeded + 8 failed + 2 missing
        latency    p50 210 ms, p95 480 ms
        correct    0.871  n 288 of 290, 2 evaluators failed: no such column
        TIMEOUT    6 ×  no answer within 1 s
    """

    run_id: str
    """Empty for a dry run."""
    name: str
    dataset_id: str
    version: int
    state: str
    """`COMPLETED`, `FAILED`, `RUNNING` and so on; `DRY_RUN` if nothing was written."""
    expected: int
    succeeded: int
    failed: int
    missing: int
    scores: tuple[ScoreSummary, ...]
    failures: tuple[FailureSummary, ...]
    """The most frequent first."""
    latency: Latency | None
    """None if there are no successes."""

    def __str__(self) -> str:
        where = f"{self.name or 'run'} on {self.dataset_id} version {self.version}"
        rows = [
            (self.state, f"{where}  ({self.run_id})" if self.run_id else where),
            (
                "cells",
                f"{self.expected:,} = {self.succeeded:,} succeeded + {self.failed:,} failed "
                f"+ {self.missing:,} missing",
            ),
        ]
        if self.latency is not None:
            rows.append(("latency", f"p50 {_duration(self.latency.p50)}, p95 {_duration(self.latency.p95)}"))
        rows += [(score.name, _describe(score, self.succeeded)) for score in self.scores]
        for failure in self.failures:
            rows.append((failure.code or "failed", f"{failure.count:,} ×  {_line(failure.example)}"))
        width = max(len(title) for title, _ in rows)
        return "\n".join(f"{title:<{width}}  {text}".rstrip() for title, text in rows)

    def to_pandas(self) -> pd.DataFrame:
        """Returns one row per score: name, n, mean, labelled, failed, unscored, first_error. The attributes of the frame hold
        the rest.
        """
        import pandas as pd

        columns = ["name", "n", "mean", "labelled", "failed", "unscored", "first_error"]
        frame: pd.DataFrame = pd.DataFrame(
            [[getattr(score, name) for name in columns] for score in self.scores], columns=columns
        )
        for name in ("run_id", "version", "state", "expected", "succeeded", "failed", "missing"):
            frame.attrs[name] = getattr(self, name)
        return frame


@dataclass
class _Score:
    total: float = 0.0
    n: int = 0
    labelled: int = 0
    labels: Counter[str] = field(default_factory=Counter)
    failed: int = 0
    first_error: str | None = None


class SummaryBuilder:
    """Accumulates results into a summary."""

    def __init__(self) -> None:
        self._scores: dict[str, _Score] = {}
        self._failures: dict[str, tuple[int, str]] = {}
        self._latencies: list[float] = []
        self._succeeded = 0
        self._failed = 0

    def add(self, result: RunResult) -> None:
        if result.HasField("error"):
            self._failed += 1
            count, example = self._failures.get(result.error.code, (0, result.error.message))
            self._failures[result.error.code] = (count + 1, example)
            return
        self._succeeded += 1
        if result.HasField("latency"):
            self._latencies.append(result.latency.ToMicroseconds() / 1e6)
        for given in result.scores:
            score = self._scores.setdefault(given.name, _Score())
            if given.error:
                score.failed += 1
                score.first_error = score.first_error or given.error
                continue
            if given.label:
                score.labels[given.label] += 1
            if given.HasField("value"):
                score.total += given.value
                score.n += 1
            else:
                score.labelled += 1

    def of_run(self, run: Run) -> ExperimentSummary:
        """Returns the summary of a run with these results."""
        return self._build(
            run_id=run.run_id,
            name=run.name,
            dataset_id=run.dataset_id,
            version=run.dataset_version,
            state=Run.State.Name(run.state).removeprefix("STATE_"),
            expected=run.counts.expected,
        )

    def of_dry_run(self, dataset_id: str, version: int, name: str, expected: int) -> ExperimentSummary:
        """Returns the summary of a dry run."""
        return self._build(
            run_id="", name=name, dataset_id=dataset_id, version=version, state="DRY_RUN", expected=expected
        )

    def _build(self, *, expected: int, **about: Any) -> ExperimentSummary:
        latencies = sorted(self._latencies)
        return ExperimentSummary(
            **about,
            expected=expected,
            succeeded=self._succeeded,
            failed=self._failed,
            missing=expected - self._succeeded - self._failed,
            scores=tuple(self._score(name, score) for name, score in sorted(self._scores.items())),
            failures=tuple(
                FailureSummary(code, count, example)
                for code, (count, example) in sorted(
                    self._failures.items(), key=lambda failure: (-failure[1][0], failure[0])
                )
            ),
            latency=Latency(
                sum(latencies) / len(latencies), _quantile(latencies, 0.5), _quantile(latencies, 0.95)
            )
            if latencies
            else None,
        )

    def _score(self, name: str, score: _Score) -> ScoreSummary:
        return ScoreSummary(
            name=name,
            n=score.n,
            mean=score.total / score.n if score.n else None,
            labelled=score.labelled,
            labels=dict(score.labels.most_common()),
            failed=score.failed,
            unscored=self._succeeded - score.n - score.labelled - score.failed,
            first_error=score.first_error,
        )


def _quantile(ascending: list[float], share: float) -> float:
    return ascending[math.ceil(share * len(ascending)) - 1]


def _describe(score: ScoreSummary, succeeded: int) -> str:
    parts = []
    if score.mean is not None or score.labelled == 0:
        mean = "no value" if score.mean is None else _decimal(score.mean)
        parts.append(f"{mean}  n {score.n:,} of {succeeded:,}")
    named = [f"{label} {count:,}" for label, count in score.labels.items()]
    if named:
        parts.append(", ".join(named[:5]) + (", …" if len(named) > 5 else ""))
    if score.unscored:
        parts.append(f"{score.unscored:,} not scored")
    if score.first_error is not None:
        failed = f"{score.failed:,} evaluator{'' if score.failed == 1 else 's'} failed"
        parts.append(f"{failed}: {_line(score.first_error)}")
    return ", ".join(parts)


def _line(message: str) -> str:
    """Formats a message as at most one line of a terminal."""
    text = " ".join(message.split())
    return text if len(text) <= max_example else f"{text[: max_example - 1]}…"


def _decimal(value: float) -> str:
    """Formats a number with three decimals, fewer where they are zeros."""
    text = f"{value:.3f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def _duration(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 10 else f"{seconds:.1f} s"
