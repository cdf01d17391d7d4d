"""Client of Assay: evaluation datasets under version control, and the experiment runs made on them.

    from assay import Client

    with Client("127.0.0.1:50051") as client:
        result = client.upsert_dataset(name="capitals", items=[{"input": "capital of France"}])

The messages of the contract are in `assay.v1`, as generated.
"""

from assay.client import AsyncClient, Client, content_hash
from assay.errors import (
    AssayError,
    ConflictError,
    ExperimentInterruptedError,
    FieldViolation,
    InvalidArgumentError,
    NotFoundError,
    PreconditionError,
    UnavailableError,
)
from assay.experiment.attempt import AttemptTimeoutError
from assay.experiment.run_experiment import ExperimentOptions, ExperimentProgress, ExperimentResult
from assay.experiment.summary import ExperimentSummary, FailureSummary, Latency, ScoreSummary
from assay.experiment.task import Evaluator, Judgement, Subject, TaskContext, Usage
from assay.experiment.work_run import WorkCounts, WorkRunOptions, WorkRunResult
from assay.reading.read_item import ReadItem
from assay.reading.reads import ScoreSettings
from assay.reading.streams import AsyncStream, Stream
from assay.rpc.retry import RetrySettings
from assay.upsert.options import NewDataset, UpsertOptions, UpsertProgress
from assay.upsert.outcome import AsyncUpsertPlan, Counts, Guards, UpsertPlan, UpsertResult

__all__ = [
    "AssayError",
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
