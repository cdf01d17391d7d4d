"""What tasks and evaluators change does not reach anything but themselves."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from itembank import Client, Judgement, ReadItem, Subject
from itembank.v1.dataset_pb2 import DatasetRef
from itembank.v1.run_pb2 import Run
from itembank.v1.run_service_pb2 import CreateRunRequest

stored = [{"role": "user", "content": "2+2?"}]

Experiment = Callable[..., list[Any]]


@pytest.fixture(params=["run_experiment", "work_run", "dry_run"])
def experiment(request: pytest.FixtureRequest, client: Client, name: str) -> Experiment:
    """Runs a task and evaluators on one item, three times, and returns the results as far as they are recorded."""
    client.upsert_dataset(
        [
            {
                "item_id": "sum",
                "input": {"messages": stored},
                "expected_output": {"answer": 4},
                "metadata": {"a": []},
            }
        ],
        name=name,
    )

    def run(task: Callable[[ReadItem], Any], evaluators: Any = ()) -> list[Any]:
        options: dict[str, Any] = {"task": task, "evaluators": evaluators, "retries": 1}
        results: list[Any] = []
        if request.param == "work_run":
            create = CreateRunRequest(dataset=DatasetRef(name=name), run=Run(repetitions=3))
            run_id = client.runs.CreateRun(create).run.run_id
            client.work_run(run_id, **options)
            return list(client.stream_results(run_id))
        if request.param == "dry_run":
            options["dry_run"] = 1
        client.run_experiment(dataset=name, repetitions=3, on_result=results.append, **options)
        return results

    return run


def test_every_attempt_sees_the_item_as_it_is_stored(experiment: Experiment) -> None:
    seen: list[int] = []
    failed: set[int] = set()
    lock = threading.Lock()

    def task(item: ReadItem) -> str:
        with lock:
            seen.append(len(item.input["messages"]))
            item.input["messages"].append({"role": "assistant", "content": "4"})
            item.metadata["a"].append(1) if item.metadata else None
            if len(failed) < 3:
                failed.add(len(seen))
                raise RuntimeError("after changing its item")
        return "4"

    results = experiment(task)
    assert len(results) == 3
    assert not any(result.HasField("error") for result in results)
    assert seen == [1] * 6


def test_a_task_that_writes_the_expected_output_does_not_score(experiment: Experiment) -> None:
    def cheat(item: ReadItem) -> Any:
        item.expected_output["answer"] = 5
        return {"answer": 5}

    def correct(subject: Subject) -> bool:
        return bool(subject.output == subject.expected_output)

    results = experiment(cheat, [correct])
    assert [result.scores[0].value for result in results] == [0.0, 0.0, 0.0]


def test_every_evaluator_sees_the_item_and_the_output_as_they_were(experiment: Experiment) -> None:
    def spoil(subject: Subject) -> Judgement:
        label = repr((subject.input, subject.output, subject.expected_output, subject.item.input))
        subject.output["steps"].clear()
        subject.input["messages"].clear()
        subject.expected_output.clear()
        subject.item.input["other"] = 1
        return Judgement(label=label[:200])

    for result in experiment(lambda _: {"steps": [1, 2]}, {f"spoil {n}": spoil for n in range(5)}):
        labels = {score.label for score in result.scores}
        assert len(result.scores) == 5
        assert labels == {
            repr(({"messages": stored}, {"steps": [1, 2]}, {"answer": 4}, {"messages": stored}))
        }
        assert result.output_json == '{"steps":[1,2]}'


def test_a_copy_of_the_output_keeps_its_type(experiment: Experiment) -> None:
    @dataclass
    class Answer:
        text: str

    def own(subject: Subject) -> str:
        text: str = subject.output.text
        subject.output.text = "changed"
        return text

    for result in experiment(lambda _: Answer("4"), {"one": own, "two": own}):
        assert [score.label for score in result.scores] == ["4", "4"]
        assert result.output_json == '{"text":"4"}'
