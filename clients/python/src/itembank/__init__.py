"""Client of Itembank: evaluation datasets under version control, and the experiment runs made on them.

    from itembank import Client

    with Client("127.0.0.1:50051") as client:
        result = client.upsert_dataset(name="capitals", items=[{"input": "capital of France"}])

The messages of the contract are in `itembank.v1`, as generated.
"""

from itembank.client import AsyncClient, Client, content_hash
from itembank.errors import (
    ConflictError,
    ExperimentInterruptedError,
    FieldViolation,
    InvalidArgumentError,
    ItembankError,
    NotFoundError,
    PreconditionError,
    UnavailableError,
)
from itembank.experiment.attempt import AttemptTimeoutError
from itembank.experiment.run_experiment import ExperimentOptions, ExperimentProgress, ExperimentResult
from itembank.experiment.summary import ExperimentSummary, FailureSummary, Latency, ScoreSummary
from itembank.experiment.task import Evaluator, Judgement, Subject, TaskContext, Usage
from itembank.experiment.work_run import WorkCounts, WorkRunOptions, WorkRunResult
from itembank.reading.read_item import ReadItem
from itembank.reading.reads import ScoreSettings
from itembank.reading.streams import AsyncStream, Stream
from itembank.rpc.retry import RetrySettings
from itembank.upsert.options import NewDataset, UpsertOptions, UpsertProgress
from itembank.upsert.outcome import AsyncUpsertPlan, Counts, Guards, UpsertPlan, UpsertResult

__all__ = [
    "AsyncClient",
    "AsyncStream",
    "AsyncUpsertPlan",
    "AttemptTimeoutError",
    "Client",
    "ConflictError",
    "Counts",
    "Evaluator",
    "ExperimentInterruptedError",
    "ExperimentOptions",
    "ExperimentProgress",
    "ExperimentResult",
    "ExperimentSummary",
    "FailureSummary",
    "FieldViolation",
    "Guards",
    "InvalidArgumentError",
    "ItembankError",
    "Judgement",
    "Latency",
    "NewDataset",
    "NotFoundError",
    "PreconditionError",
    "ReadItem",
    "RetrySettings",
    "ScoreSettings",
    "ScoreSummary",
    "Stream",
    "Subject",
    "TaskContext",
    "UnavailableError",
    "UpsertOptions",
    "UpsertPlan",
    "UpsertProgress",
    "UpsertResult",
    "Usage",
    "WorkCounts",
    "WorkRunOptions",
    "WorkRunResult",
    "content_hash",
]
