"""Working on a run together with others."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

from google.protobuf.duration_pb2 import Duration

from itembank.errors import ItembankError, interrupted
from itembank.experiment.run_cell import Cell, CellSetting, new_setting, run_cell
from itembank.experiment.task import Task, WorkOptions, default_concurrency
from itembank.progress import open_bar
from itembank.reading.read_item import read_item
from itembank.rpc.changes import Changes
from itembank.rpc.channel import reading
from itembank.rpc.connection import Connection
from itembank.rpc.retry import Backoff
from itembank.v1.result_pb2 import RunResult
from itembank.v1.run_pb2 import Run
from itembank.v1.run_service_pb2 import WorkRunRequest, WorkRunResponse
from itembank.v1.work_pb2 import (
    WorkAck,
    WorkAssignment,
    WorkHeartbeat,
    WorkHello,
    WorkRelease,
    WorkResult,
    WorkResults,
)

default_lease = 60.0

beats_per_lease = 3
"""Heartbeats per lease: two may get lost."""

leave_seconds = 2.0
"""How long the server gets to hear that the worker leaves."""

frame_overhead = 64
result_overhead = 16
"""Bytes of a frame besides its results, and of a result besides its encoding and the id of its lease."""


@dataclass(frozen=True)
class WorkCounts:
    """What a worker has done so far."""

    running: int = 0
    """Cells that it is working on."""
    recorded: int = 0
    """Results that the run has from it."""
    dropped: int = 0
    """Results that came too late: another worker was faster, or the run has ended."""
    lost: int = 0
    """Cells that it lost because it was not heard of in time."""
    idle: bool = False
    """True while all cells that are left are with other workers."""


class WorkRunOptions(WorkOptions, total=False):
    """The options of `work_run` besides the run and the task."""

    worker_id: str
    """The name of this worker within the run. One that comes back under its name gets the cells it still holds. Random
    unless set."""
    lease: float
    """How many seconds a cell stays with a worker that is not heard of. 60 unless set."""
    max_attempts: int
    """How often a cell that failed is leased in all, to whichever worker. 1 unless set."""
    on_progress: Callable[[WorkCounts], None]


@dataclass(frozen=True)
class WorkRunResult:
    """What a worker has done."""

    run: Run
    """The run as it is when there is nothing left to do. It is not ended by that: `FinishRun` does it."""
    counts: WorkCounts


async def work_run(connection: Connection, run_id: str, task: Task, options: WorkRunOptions) -> WorkRunResult:
    """Works on a run until there is nothing left to do. See `Client.work_run`."""
    setting = new_setting(task, options, await connection.limits(), run_id)
    worker = Worker(connection, setting, options)
    backoff = Backoff(connection.retry, connection.retry.resume_attempts)
    bar = await connection.caller.tell(lambda: open_bar(options.get("progress"), "worker", " cells", None))

    async def on_answer() -> None:
        backoff.succeeded()
        counts, tell = worker.counts, options.get("on_progress")
        if tell is not None:
            await connection.caller.tell(lambda: tell(counts))
        if bar is not None:
            await connection.caller.tell(lambda: bar.update(counts.recorded + counts.dropped - bar.n))

    try:
        while True:
            try:
                run = await worker.stream(on_answer)
                return WorkRunResult(run, worker.counts)
            except ItembankError as error:
                fault = error
            await backoff.wait(fault)
    except asyncio.CancelledError:
        with suppress(ItembankError, asyncio.TimeoutError):
            await asyncio.wait_for(worker.leave(), leave_seconds)
        raise
    finally:
        worker.stop()
        if bar is not None:
            await connection.caller.tell(bar.close)


class Worker:
    """What outlasts a broken stream of a worker: the cells it works on, and the results the server has not answered."""

    def __init__(self, connection: Connection, setting: CellSetting, options: WorkRunOptions) -> None:
        self._connection = connection
        self._setting = setting
        self._lease = options.get("lease", default_lease)
        self._hello = WorkHello(
            run_id=setting.run_id,
            worker_id=options.get("worker_id") or str(uuid.uuid4()),
            capacity=options.get("concurrency", default_concurrency),
            max_attempts=options.get("max_attempts", 1),
        )
        duration = Duration()
        duration.FromMicroseconds(round(self._lease * 1e6))
        self._hello.lease_duration.CopyFrom(duration)
        self._changes = Changes()
        self._running: dict[str, asyncio.Task[None]] = {}
        """The cells at work, by lease."""
        self._results: dict[str, RunResult] = {}
        """Results without an answer, by lease."""
        self._unsent: list[str] = []
        """Leases of results that this stream has not sent yet."""
        self._recorded = self._dropped = self._lost = 0
        self._idle = False
        self._fault: Exception | None = None

    @property
    def counts(self) -> WorkCounts:
        return WorkCounts(len(self._running), self._recorded, self._dropped, self._lost, self._idle)

    def stop(self) -> None:
        """Ends the work on all cells."""
        for cell in self._running.values():
            cell.cancel()
        self._running.clear()

    async def leave(self) -> None:
        """Gives back all cells on a stream of its own, which takes the place of the one that was cut."""

        async def frames() -> AsyncIterator[WorkRunRequest]:
            yield WorkRunRequest(hello=self._hello)
            # Else what is given back may come straight back.
            yield WorkRunRequest(heartbeat=WorkHeartbeat(capacity=0))
            yield WorkRunRequest(release=WorkRelease())

        self.stop()
        async with reading(self._connection.runs.WorkRun(frames())) as answers:
            async for _ in answers:
                pass

    async def stream(self, on_answer: Callable[[], Awaitable[None]]) -> Run:
        """One stream, until there is nothing left to do, which gives the run. Raises ItembankError, retryable if the stream
        broke.
        """
        self._unsent = list(self._results)
        stream = self._connection.runs.WorkRun(self._frames())
        async with reading(stream) as answers:
            async for answer in answers:
                self._take(answer)
                await on_answer()
                if answer.HasField("finished"):
                    return answer.finished.run
        raise interrupted("the stream of work ended without a last frame")

    async def _frames(self) -> AsyncIterator[WorkRunRequest]:
        yield WorkRunRequest(hello=self._hello)
        loop = asyncio.get_running_loop()
        next_beat = loop.time() + self._lease / beats_per_lease
        while True:
            if self._fault is not None:
                raise self._fault
            if self._unsent:
                yield WorkRunRequest(results=WorkResults(results=self._next_results()))
            elif loop.time() >= next_beat:
                next_beat = loop.time() + self._lease / beats_per_lease
                yield WorkRunRequest(heartbeat=WorkHeartbeat())
            else:
                with suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(self._changes.next(), next_beat - loop.time())

    def _next_results(self) -> list[WorkResult]:
        limits = self._setting.limits
        results: list[WorkResult] = []
        size = frame_overhead
        for lease_id in self._unsent[: limits.max_batch_size]:
            result = WorkResult(lease_id=lease_id, result=self._results[lease_id])
            size += result.ByteSize() + result_overhead
            if results and size > limits.max_batch_bytes:
                break
            results.append(result)
        self._unsent = self._unsent[len(results) :]
        return results

    def _take(self, answer: WorkRunResponse) -> None:
        if answer.HasField("assignments"):
            self._idle = False
            for assignment in answer.assignments.assignments:
                self._begin(assignment)
        elif answer.HasField("acks"):
            for ack in answer.acks.acks:
                self._results.pop(ack.lease_id, None)
                if ack.outcome == WorkAck.OUTCOME_DROPPED:
                    self._dropped += 1
                else:
                    self._recorded += 1
        elif answer.HasField("renewal"):
            for lease_id in answer.renewal.lost_lease_ids:
                self._lose(lease_id)
        elif answer.HasField("idle"):
            self._idle = True

    def _begin(self, assignment: WorkAssignment) -> None:
        """Works on a cell, unless that is under way: a worker that comes back is given again what it holds."""
        lease_id = assignment.lease_id
        if lease_id in self._running or lease_id in self._results:
            return
        cell = Cell(read_item(assignment.item), assignment.repetition)
        self._running[lease_id] = asyncio.create_task(self._work_on(lease_id, cell))

    async def _work_on(self, lease_id: str, cell: Cell) -> None:
        try:
            result = await run_cell(self._setting, cell)
        except Exception as error:
            # `should_retry` raised, for one. It ends the frames, and with them the work.
            self._fault = error
            self._changes.tell()
            return
        if self._running.pop(lease_id, None) is not None:
            self._results[lease_id] = result
            self._unsent.append(lease_id)
            self._changes.tell()

    def _lose(self, lease_id: str) -> None:
        cell = self._running.pop(lease_id, None)
        if cell is not None:
            self._lost += 1
            cell.cancel()
