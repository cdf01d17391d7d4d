"""Recording results as they arrive."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator

from itembank.errors import ItembankError, interrupted
from itembank.rpc.changes import Changes
from itembank.rpc.channel import reading
from itembank.rpc.connection import Connection
from itembank.rpc.retry import Backoff
from itembank.v1.limits_pb2 import Limits
from itembank.v1.result_pb2 import RunResult
from itembank.v1.run_service_pb2 import StreamRecordResultsRequest

max_waiting = 2_000
"""The most results that wait to be sent or acknowledged. Adding another one waits."""

gathered = 200
"""The size of a batch: while a frame is in flight, the next one waits for this many results."""

max_unanswered = 8
"""The most frames in flight."""

frame_overhead = 128
result_overhead = 6
"""Bytes of a frame besides its results, and of a result besides its encoding."""


class ResultRecorder:
    """Streams results into a run as they arrive, each until it is durable. Results that a broken stream leaves
    unacknowledged are sent again on the next one, which is idempotent.
    """

    def __init__(self, connection: Connection, run_id: str, limits: Limits) -> None:
        self.not_taken: list[RunResult] = []
        """Results that the run did not accept because their cells already had another success, or their items were purged."""
        self._connection = connection
        self._run_id = run_id
        self._limits = limits
        self._changes = Changes()
        self._queue: deque[RunResult] = deque()
        self._unanswered: dict[int, list[RunResult]] = {}
        self._frame_number = 0
        self._waiting = 0
        self._closing = False
        self._fault: Exception | None = None
        self._running = asyncio.create_task(self._run())

    async def add(self, result: RunResult) -> None:
        """Queues a result, as soon as there is room. Raises the error that keeps results from being recorded, if any."""
        while self._waiting >= max_waiting and self._fault is None:
            await self._changes.next()
        self._raise_fault()
        self._waiting += 1
        self._queue.append(result)
        self._changes.tell()

    async def finish(self) -> None:
        """Returns when all results are durable."""
        self._closing = True
        self._changes.tell()
        await self._running
        self._raise_fault()

    async def finish_within(self, seconds: float) -> None:
        """Does the same, but abandons results that are not durable within a time."""
        await asyncio.wait_for(self.finish(), seconds)

    def _raise_fault(self) -> None:
        if self._fault is not None:
            raise self._fault

    async def _run(self) -> None:
        backoff = Backoff(self._connection.retry, self._connection.retry.resume_attempts)
        try:
            while True:
                while not self._queue and not self._unanswered:
                    if self._closing:
                        return
                    await self._changes.next()
                try:
                    await self._stream(backoff)
                    backoff.succeeded()
                    continue
                except ItembankError as error:
                    fault = error
                if not self._drop(fault):
                    await backoff.wait(fault)
        except Exception as error:
            self._fault = error
            self._changes.tell()

    async def _stream(self, backoff: Backoff) -> None:
        """Runs one stream, until all results are sent or it breaks."""
        stream = self._connection.runs.StreamRecordResults(self._frames())
        async with reading(stream) as answers:
            async for answer in answers:
                self._answered(answer.frame_number)
                backoff.succeeded()
        if self._unanswered:
            raise interrupted("the stream ended before all results were acknowledged")

    async def _frames(self) -> AsyncIterator[StreamRecordResultsRequest]:
        # Frames that the previous stream left unanswered go first. Later results are in the queue.
        for number, results in list(self._unanswered.items()):
            yield self._frame(number, results)
        while not (self._closing and not self._queue):
            is_due = not self._unanswered or len(self._queue) >= gathered or self._closing
            if not self._queue or not is_due or len(self._unanswered) >= max_unanswered:
                await self._changes.next()
                continue
            number, results = self._next_frame()
            yield self._frame(number, results)

    def _frame(self, number: int, results: list[RunResult]) -> StreamRecordResultsRequest:
        return StreamRecordResultsRequest(run_id=self._run_id, frame_number=number, results=results)

    def _next_frame(self) -> tuple[int, list[RunResult]]:
        size = frame_overhead
        results: list[RunResult] = []
        while self._queue and len(results) < self._limits.max_batch_size:
            size += self._queue[0].ByteSize() + result_overhead
            if results and size > self._limits.max_batch_bytes:
                break
            results.append(self._queue.popleft())
        self._frame_number += 1
        self._unanswered[self._frame_number] = results
        return self._frame_number, results

    def _answered(self, frame_number: int) -> None:
        self._waiting -= len(self._unanswered.pop(frame_number, ()))
        self._changes.tell()

    def _drop(self, error: ItembankError) -> bool:
        """Removes the one result that made the server refuse a frame: its cell has another success, or its item was purged.
        The frame is sent again without it.
        """
        if error.reason not in ("RESULT_FINAL", "ITEM_PURGED"):
            return False
        item_id, repetition = error.facts.get("item_id"), error.facts.get("repetition")

        def is_meant(result: RunResult) -> bool:
            return result.item_id == item_id and repetition in (None, str(result.repetition))

        for number, results in self._unanswered.items():
            refused = [result for result in results if is_meant(result)]
            if not refused:
                continue
            self.not_taken.extend(refused)
            self._waiting -= len(refused)
            rest = [result for result in results if not is_meant(result)]
            if rest:
                self._unanswered[number] = rest
            else:
                del self._unanswered[number]
            self._changes.tell()
            return True
        return False
