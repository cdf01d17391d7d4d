"""One dataset through two versions, with experiments on both: upsert, run, evolve, send the changes, run again, compare.

    npm start                          # the service, in another terminal
    pip install ./clients/python
    python examples/python/main.py

The rows are the dataset in `examples/reckoning`.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from solvers import Answer, NotUnderstoodError, careful, hasty

from itembank import (
    Client,
    ExperimentResult,
    Guards,
    ItembankError,
    ReadItem,
    ScoreSettings,
    Subject,
    UpsertOptions,
    UpsertProgress,
)
from itembank.v1.comparison_pb2 import Verdict
from itembank.v1.dataset_pb2 import DatasetRef, VersionSelector
from itembank.v1.dataset_service_pb2 import GetVersionRequest

name = os.environ.get("EXAMPLE_DATASET", "reckoning-python")


def rows(edition: int) -> Iterator[dict[str, Any]]:
    """The lines of a file, read as they are sent."""
    with (Path(__file__).parent.parent / "reckoning" / f"edition-{edition}.jsonl").open() as lines:
        for line in lines:
            yield json.loads(line)


def edition(number: int) -> UpsertOptions:
    """An upsert that makes the dataset equal to an edition: items without a row in it are deleted."""
    # A truncated file must not empty the dataset.
    return {
        "name": name,
        "mode": "mirror",
        "guards": Guards(max_delete_ratio=0.1),
        "note": f"edition {number}",
    }


def correct(subject: Subject) -> bool:
    return bool(subject.output == subject.expected_output)


def form(subject: Subject) -> str:
    return "same type" if type(subject.output) is type(subject.expected_output) else "other type"


def experiment(
    client: Client, solver: Callable[[str], Answer], version: int, carry_from: str = ""
) -> ExperimentResult:
    """Has a solver answer every question of a version, twice."""

    def task(item: ReadItem) -> Answer:
        return solver(item.input["question"])

    return client.run_experiment(
        dataset=name,
        version=version,
        target=solver.__name__,
        target_type="program",
        repetitions=2,
        concurrency=8,
        timeout=5,
        # A question that the solver does not understand now, it will not understand a second later.
        should_retry=lambda error: not isinstance(error, NotUnderstoodError),
        task=task,
        evaluators=[correct, form],
        carry_from_run_id=carry_from,
    )


def main(client: Client) -> None:
    heading("1. The first edition")
    first = client.upsert_dataset(rows(1), **edition(1))
    print(f"version {first.version}, {first.item_count} items, digest {first.digest[:12]}…")

    heading("2. An experiment on it")
    before = experiment(client, hasty, first.version)
    print(before.summary)

    heading("3. The second edition")
    plan = client.upsert_dataset(rows(2), plan=True, **edition(2))
    counts = plan.counts
    print(
        f"plan: {counts.created} created, {counts.updated} updated, {counts.deleted} deleted, "
        f"{counts.unchanged} unchanged"
    )
    plan.discard()
    sent: list[UpsertProgress] = []
    options = edition(2)
    options["on_progress"] = sent.append
    second = client.upsert_dataset(rows(2), **options)
    print(
        f"version {second.version}: of {second.counts.received} rows, {sent[-1].bodies_sent} were sent with their bodies"
    )
    again = client.upsert_dataset(rows(2), **edition(2))
    print(f"once more: {'nothing to do, no version made' if again.no_op else f'version {again.version}'}")

    heading("4. Experiments on the new version")
    # Unchanged questions are not asked again.
    carried = experiment(client, hasty, second.version, before.run_id)
    print(carried.summary)
    after = experiment(client, careful, second.version)
    print(after.summary)

    heading("5. Which one is better?")
    summary = client.compare_runs(
        carried.run_id, after.run_id, scores=[ScoreSettings("correct", failure_value=0)]
    )
    for score in summary.scores:
        verdict = Verdict.Name(score.verdict).removeprefix("VERDICT_")
        print(
            f'careful is {verdict} than hasty in "{score.name}": {score.mean_difference:.3f} '
            f"(95 %: {score.confidence_low:.3f} to {score.confidence_high:.3f}), "
            f"{score.wins} wins, {score.losses} losses, {score.ties} ties"
        )

    heading("6. The history")
    for number in range(1, second.version + 1):
        request = GetVersionRequest(dataset=DatasetRef(name=name), at=VersionSelector(version=number))
        made = client.datasets.GetVersion(request).version
        changes = f"+{made.counts.created} ~{made.counts.updated} -{made.counts.deleted}"
        print(f"version {number}  {made.item_count} items  {changes}  {made.note}")


def heading(text: str) -> None:
    print(f"\n{text}")


if __name__ == "__main__":
    try:
        with Client(os.environ.get("EXAMPLE_ADDRESS", "127.0.0.1:50051")) as itembank:
            main(itembank)
    except ItembankError as error:
        sys.exit(str(error))
