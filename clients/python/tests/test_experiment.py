"""Experiments against the real service."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from typing import Any

import pytest

from itembank import (
    AsyncClient,
    Client,
    Evaluator,
    ExperimentInterruptedError,
    ExperimentProgress,
    InvalidArgumentError,
    Judgement,
    NotFoundError,
    PreconditionError,
    ReadItem,
    Subject,
    TaskContext,
    Usage,
)
from itembank.experiment.rate_gate import rate_limit_of
from itembank.v1.dataset_pb2 import DatasetRef
from itembank.v1.result_pb2 import ANNOTATOR_KIND_LLM, RunResult
from itembank.v1.run_pb2 import Run
from itembank.v1.run_service_pb2 import CreateRunRequest, GetRunRequest, RecordResultsRequest


@pytest.fixture
def dataset(client: Client, name: str) -> str:
    """Makes a dataset of ten items, k0 to k9."""
    rows = [
        {"item_id": f"k{n}", "input": n, "expected_output": n % 3, "splits": ["odd"] if n % 2 else []}
        for n in range(10)
    ]
    client.upsert_dataset(rows, name=name)
    return name


class RateLimitedError(Exception):
    status_code = 429

    def __init__(self, retry_after: str | None = None) -> None:
        super().__init__("too many requests")
        self.headers = {"Retry-After": retry_after} if retry_after else {}


class TestTasks:
    def test_failures_and_timeouts_are_part_of_the_result(self, client: Client, dataset: str) -> None:
        def task(item: ReadItem, context: TaskContext) -> int:
            if item.input == 1:
                raise ValueError("never heard of 1")
            if item.input == 2:
                context.stopped.wait(30)
            return int(item.input % 3)

        def correct(subject: Subject) -> bool:
            return bool(subject.output == subject.expected_output)

        def fragile(subject: Subject) -> float:
            return 1 / float(subject.input)

        result = client.run_experiment(
            dataset=dataset,
            task=task,
            evaluators=[correct, fragile],
            timeout=0.3,
            retries=0,
            repetitions=2,
            target="m",
            metadata={"commit": "4f2c"},
        )
        summary = result.summary
        assert (summary.expected, summary.succeeded, summary.failed, summary.missing) == (20, 16, 4, 0)
        assert {failure.code: failure.count for failure in summary.failures} == {
            "ValueError": 2,
            "TIMEOUT": 2,
        }
        scores = {score.name: score for score in summary.scores}
        assert (scores["correct"].mean, scores["correct"].n) == (1.0, 16)
        assert (scores["fragile"].n, scores["fragile"].failed) == (14, 2)
        text = str(summary)
        for line in (
            "cells       20 = 16 succeeded + 4 failed + 0 missing",
            "2 evaluators failed",
            "never heard of 1",
        ):
            assert line in text
        assert result.run is not None
        assert (result.run.state, result.run.target_id) == (Run.STATE_COMPLETED, "m")
        assert result.run.metadata_json == '{"commit":"4f2c"}'

        frame = client.results_to_pandas(result.run_id)
        assert (len(frame), int(frame["failed"].sum()), float(frame["score.correct"].sum())) == (20, 4, 16.0)
        assert summary.to_pandas().set_index("name").loc["fragile", "failed"] == 2

    def test_each_attempt_has_its_own_timeout_and_retries_are_counted(
        self, client: Client, dataset: str
    ) -> None:
        attempts: Counter[str] = Counter()
        contexts: list[TaskContext] = []

        def task(item: ReadItem, context: TaskContext) -> str:
            attempts[item.item_id] += 1
            context.report(usage=Usage(input_tokens=5, cost=0.1, currency_code="EUR"), trace_id="trace")
            if attempts[item.item_id] == 1:
                contexts.append(context)
                time.sleep(0.4)
            return "late"

        result = client.run_experiment(dataset=dataset, task=task, timeout=0.2, retries=1, concurrency=10)
        assert result.summary.succeeded == 10
        assert set(attempts.values()) == {2}
        assert all(context.stopped.is_set() for context in contexts)
        recorded = list(client.stream_results(result.run_id))
        assert {(one.retry_count, one.trace_id) for one in recorded} == {(1, "trace")}
        assert {(one.usage.input_tokens, one.usage.currency_code) for one in recorded} == {(5, "EUR")}

    def test_an_error_that_should_retry_rejects_is_not_retried(self, client: Client, dataset: str) -> None:
        attempts: Counter[int] = Counter()

        def task(item: ReadItem) -> None:
            attempts[item.input] += 1
            raise KeyError(item.input)

        result = client.run_experiment(
            dataset=dataset, task=task, retries=3, should_retry=lambda error: not isinstance(error, KeyError)
        )
        assert set(attempts.values()) == {1}
        assert result.run is not None
        assert result.run.state == Run.STATE_FAILED

    def test_a_rate_limit_holds_back_all_attempts_and_is_not_a_failure(
        self, client: Client, dataset: str
    ) -> None:
        starts: list[float] = []
        limited: list[float] = []

        async def task(item: ReadItem) -> int:
            starts.append(time.monotonic())
            if not limited:
                limited.append(time.monotonic())
                raise RateLimitedError("0.5")
            return 1

        result = client.run_experiment(dataset=dataset, task=task, retries=0, concurrency=1)
        assert result.summary.succeeded == 10
        assert starts[1] - limited[0] >= 0.5

    def test_synchronous_tasks_run_concurrently(self, client: Client, dataset: str) -> None:
        together = threading.Barrier(5, timeout=20)
        result = client.run_experiment(dataset=dataset, task=lambda _: together.wait() * 0, concurrency=5)
        assert result.summary.succeeded == 10

    def test_an_output_that_is_not_json_is_a_failure(self, client: Client, dataset: str) -> None:
        result = client.run_experiment(dataset=dataset, task=lambda _: {"answer": {1, 2}}, retries=0)
        assert [failure.code for failure in result.summary.failures] == ["INVALID_OUTPUT"]
        assert "$.output.answer" in result.summary.failures[0].example

    def test_evaluators_return_verdicts_in_all_forms(self, client: Client, dataset: str) -> None:
        result = client.run_experiment(
            dataset=dataset,
            task=lambda item: item.input,
            splits=["odd"],
            evaluators={
                "label": lambda _: "good",
                "nothing": lambda _: None,
                "full": Evaluator(
                    lambda _: Judgement(0.5, "half", "because", {"model": "judge"}), kind="llm"
                ),
                "empty": lambda _: Judgement(),
                "not-finite": lambda _: float("nan"),
            },
        )
        assert result.summary.expected == 5
        scores = {score.name: score for score in result.summary.scores}
        assert set(scores) == {"label", "full", "empty", "not-finite"}
        assert scores["label"].labels == {"good": 5}
        assert (scores["empty"].failed, scores["not-finite"].failed) == (5, 5)
        full = next(
            score for score in next(iter(client.stream_results(result.run_id))).scores if score.name == "full"
        )
        assert full.metadata_json == '{"model":"judge"}'
        assert (full.value, full.label, full.explanation, full.annotator_kind) == (
            0.5,
            "half",
            "because",
            ANNOTATOR_KIND_LLM,
        )

    async def test_asyncio(self, async_client: AsyncClient, dataset: str) -> None:
        running = most = 0

        async def task(item: ReadItem) -> Any:
            nonlocal running, most
            running += 1
            most = max(most, running)
            await asyncio.sleep(0.01)
            running -= 1
            return item.expected_output

        async def correct(subject: Subject) -> bool:
            await asyncio.sleep(0)
            return bool(subject.output == subject.expected_output)

        result = await async_client.run_experiment(
            dataset=dataset, task=task, evaluators=[correct], concurrency=4
        )
        assert result.summary.scores[0].mean == 1.0
        assert most == 4

    def test_a_coroutine_that_calls_the_client_it_runs_in_gets_an_error(
        self, client: Client, dataset: str
    ) -> None:
        async def task(_: ReadItem) -> object:
            return client.limits()

        result = client.run_experiment(dataset=dataset, task=task, retries=0)
        assert "make it a plain function" in result.summary.failures[0].example

    def test_a_plain_function_may_call_the_client_it_runs_in(self, client: Client, dataset: str) -> None:
        result = client.run_experiment(dataset=dataset, task=lambda _: client.limits().max_batch_size)
        assert result.summary.succeeded == 10

    def test_a_dry_run_writes_nothing(self, client: Client, dataset: str) -> None:
        seen: list[str] = []

        def task(item: ReadItem, context: TaskContext) -> int:
            assert context.run_id == ""
            seen.append(item.item_id)
            return 1

        result = client.run_experiment(
            dataset=dataset, task=task, dry_run=3, evaluators={"one": lambda s: s.output}
        )
        assert (result.run, result.run_id, sorted(seen)) == (None, "", ["k0", "k1", "k2"])
        assert (result.summary.state, result.summary.succeeded) == ("DRY_RUN", 3)


class TestInterruptions:
    def test_a_run_is_resumed_without_repeating_successes(self, client: Client, dataset: str) -> None:
        done: Counter[int] = Counter()

        def stop(progress: ExperimentProgress) -> None:
            if progress.succeeded >= 4:
                raise RuntimeError("stop here")

        def task(item: ReadItem) -> int:
            if item.input == 0 and not done[0]:
                done[0] += 1
                raise ValueError("not yet")
            done[item.input] += 1
            return int(item.input)

        with pytest.raises(ExperimentInterruptedError, match="stop here") as interruption:
            client.run_experiment(dataset=dataset, task=task, concurrency=1, retries=0, on_progress=stop)
        run_id = interruption.value.run_id
        assert client.runs.GetRun(GetRunRequest(run_id=run_id)).run.counts.succeeded == 4

        result = client.run_experiment(run_id=run_id, task=task, retries=0)
        assert result.summary.succeeded == 10
        assert {number: count for number, count in done.items() if number} == dict.fromkeys(range(1, 10), 1)
        # No cells are left, so the task is not called.
        again = client.run_experiment(run_id=run_id, task=lambda _: pytest.fail("is not called"))
        assert again.summary == result.summary

    def test_a_run_that_has_ended_is_not_resumed(self, client: Client, dataset: str) -> None:
        ended = client.run_experiment(dataset=dataset, task=lambda _: 1 / 0, retries=0)
        with pytest.raises(PreconditionError) as refusal:
            client.run_experiment(run_id=ended.run_id, task=lambda _: 1)
        assert refusal.value.reason == "RUN_ENDED"

    async def test_a_cancelled_experiment_records_finished_results(
        self, async_client: AsyncClient, dataset: str
    ) -> None:
        seen: list[RunResult] = []
        runs: list[str] = []
        three = asyncio.Event()

        def on_result(result: RunResult) -> None:
            seen.append(result)
            if len(seen) == 3:
                three.set()

        async def task(item: ReadItem, context: TaskContext) -> int:
            runs.append(context.run_id)
            if item.input >= 3:
                await asyncio.sleep(60)
            return 1

        work = asyncio.create_task(
            async_client.run_experiment(dataset=dataset, task=task, on_result=on_result, concurrency=5)
        )
        await asyncio.wait_for(three.wait(), 30)
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work
        run = (await async_client.runs.GetRun(GetRunRequest(run_id=runs[0]))).run
        assert run.counts.succeeded == 3

    def test_results_that_another_program_recorded_first_are_counted(
        self, client: Client, dataset: str
    ) -> None:
        def task(item: ReadItem, context: TaskContext) -> int:
            if item.input == 4:
                other = RunResult(item_id=item.item_id, repetition=1, output_json="42")
                client.runs.RecordResults(RecordResultsRequest(run_id=context.run_id, results=[other]))
            return 1

        result = client.run_experiment(dataset=dataset, task=task)
        assert (result.not_recorded, result.summary.succeeded) == (1, 10)

    def test_results_are_carried_from_an_earlier_run(self, client: Client, dataset: str) -> None:
        first = client.run_experiment(dataset=dataset, task=lambda item: item.input)
        client.upsert_dataset([{"item_id": "k0", "input": "new"}], name=dataset)
        asked: list[str] = []

        def task(item: ReadItem) -> int:
            asked.append(item.item_id)
            return 1

        second = client.run_experiment(dataset=dataset, task=task, carry_from_run_id=first.run_id)
        assert (asked, second.version, second.summary.succeeded) == (["k0"], 2, 10)

    @pytest.mark.parametrize(
        ("options", "error"),
        [
            ({}, InvalidArgumentError),
            ({"dataset": "there is none"}, NotFoundError),
            ({"dataset": "x", "evaluators": {"": len}}, InvalidArgumentError),
            ({"dataset": "x", "evaluators": [len, len]}, InvalidArgumentError),
            ({"run_id": "runs00000000000000000000000000"}, NotFoundError),
        ],
    )
    def test_invalid_arguments_are_refused(
        self, client: Client, options: Any, error: type[Exception]
    ) -> None:
        with pytest.raises(error):
            client.run_experiment(task=lambda _: 1, **options)


class TestWorkers:
    def test_workers_share_the_cells_of_a_run(self, client: Client, service: Any, dataset: str) -> None:
        request = CreateRunRequest(dataset=DatasetRef(name=dataset), run=Run(repetitions=3))
        run_id = client.runs.CreateRun(request).run.run_id
        done: Counter[tuple[str, int]] = Counter()

        def task(item: ReadItem, context: TaskContext) -> int:
            done[item.item_id, context.repetition] += 1
            if item.input == 5 and done[item.item_id, context.repetition] == 1:
                raise ValueError("once")
            time.sleep(0.02)
            return 1

        results = []

        def work() -> None:
            with Client(service.address) as worker:
                results.append(
                    worker.work_run(run_id, task=task, concurrency=4, max_attempts=2, retries=0, lease=5.0)
                )

        workers = [threading.Thread(target=work) for _ in range(2)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(60)
        assert [result.run.counts.succeeded for result in results] == [30, 30]
        assert sum(result.counts.recorded for result in results) == 33
        assert client.summarize_run(run_id).succeeded == 30

    async def test_a_cancelled_worker_releases_its_cells(
        self, async_client: AsyncClient, dataset: str
    ) -> None:
        request = CreateRunRequest(dataset=DatasetRef(name=dataset), run=Run())
        run_id = (await async_client.runs.CreateRun(request)).run.run_id
        begun = asyncio.Event()

        async def stuck(_: ReadItem) -> None:
            begun.set()
            await asyncio.sleep(60)

        first = asyncio.create_task(async_client.work_run(run_id, task=stuck))
        await begun.wait()
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        # Otherwise, their leases would last a minute.
        second = await asyncio.wait_for(async_client.work_run(run_id, task=lambda _: 1), 20)
        assert second.run.counts.succeeded == 10


class TestRateLimits:
    @pytest.mark.parametrize(
        ("retry_after", "seconds"),
        [
            (None, None),
            ("2", 2.0),
            ("0", 0.0),
            ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
            ("soon", None),
            ("-1", None),
        ],
    )
    def test_retry_after_is_read_from_headers(self, retry_after: str | None, seconds: float | None) -> None:
        limit = rate_limit_of(RateLimitedError(retry_after))
        assert limit is not None
        assert limit.retry_after == seconds

    def test_causes_of_an_error_are_checked(self) -> None:
        outer = ValueError("failed")
        outer.__cause__ = RateLimitedError("1")
        assert rate_limit_of(outer) is not None
        assert rate_limit_of(ValueError("429")) is None
