"""The rows of an import that the server may still ask for."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from typing import Any, cast

from itembank.rpc.caller import Caller
from itembank.rpc.changes import Changes
from itembank.upsert.item_row import PreparedRow

rows_per_turn = 500
"""Rows to read before yielding to the event loop."""

turn_seconds = 0.02
"""How long to read a slow source before passing on its rows."""

Prepare = Callable[[Any, int], PreparedRow]


class RowWindow:
    """The rows from the first that is not durable to the last that was read. The source is read once, and no further ahead
    than the bounds allow.
    """

    def __init__(
        self,
        source: Iterator[Any] | AsyncIterator[Any],
        prepare: Prepare,
        caller: Caller,
        *,
        max_rows: int,
        max_bytes: int,
        on_end: Callable[[], None],
    ) -> None:
        """`on_end` is called after the last row, unless rows were skipped. Raising is an error of the source."""
        self._on_end = on_end
        self._skipped = False
        self._source = source
        self._prepare = prepare
        self._caller = caller
        self._max_rows = max_rows
        self._max_bytes = max_bytes
        self.changes = Changes()
        """Signals new rows, or the end of the source."""
        self._space = Changes()
        self._rows: dict[int, PreparedRow] = {}
        self._start = 0
        self._bytes = 0
        self.end = 0
        """The number of rows read."""
        self.is_complete = False
        """Whether all rows were read."""
        self.fault: BaseException | None = None
        """The error of the source, or of a row."""
        self._reading: asyncio.Task[None] | None = None

    def fill(self) -> None:
        """Starts reading, on the first call."""
        if self._reading is None:
            self._reading = asyncio.create_task(self._read())

    def row(self, number: int) -> PreparedRow:
        """Returns a row that is kept."""
        return self._rows[number]

    def rows(self, number: int) -> Iterator[PreparedRow]:
        """Yields the rows that are kept, starting at one."""
        return map(self._rows.__getitem__, range(number, self.end))

    def release(self, number: int) -> None:
        """Releases the rows before `number`. Rows that are not read yet are skipped when they are."""
        for passed in range(self._start, min(number, self.end)):
            self._bytes -= self._rows.pop(passed).size
        self._start = max(self._start, number)
        self._space.tell()

    async def close(self) -> None:
        """Stops reading."""
        if self._reading is not None:
            self._reading.cancel()
            with suppress(asyncio.CancelledError):
                await self._reading
        if isinstance(self._source, AsyncIterator):
            aclose = getattr(self._source, "aclose", None)
            if aclose is not None:
                await aclose()
        else:
            close = getattr(self._source, "close", None)
            if close is not None:
                # A generator that a thread is still reading cannot be closed, and ends with its thread.
                with suppress(ValueError):
                    await self._caller.read(close)

    async def _read(self) -> None:
        take = self._take_async if isinstance(self._source, AsyncIterator) else self._take_in_thread
        try:
            while not self.is_complete:
                while self._is_full():
                    self.changes.tell()
                    await self._space.next()
                await take()
                self.changes.tell()
        except Exception as error:
            self.fault = error
            self.changes.tell()

    def _is_full(self) -> bool:
        return len(self._rows) >= self._max_rows or self._bytes >= self._max_bytes

    async def _take_in_thread(self) -> None:
        rows, read, is_over = await self._caller.read(self._take)
        self._keep(rows, read)
        if is_over and not self._skipped:
            self._on_end()
        self.is_complete = is_over

    def _take(self) -> tuple[list[PreparedRow], int, bool]:
        """Reads some rows, in the thread of the source. Returns the needed ones, the number read, and whether it has ended."""
        rows: list[PreparedRow] = []
        room = self._max_bytes - self._bytes
        until = time.monotonic() + turn_seconds
        read = 0
        end = object()
        source = cast(Iterator[Any], self._source)
        while read < rows_per_turn and room > 0 and (read == 0 or time.monotonic() < until):
            row = next(source, end)
            if row is end:
                return rows, read, True
            index = self.end + read
            read += 1
            if index < self._start:
                self._skipped = True
            else:
                rows.append(self._prepare(row, index))
                room -= rows[-1].size
        return rows, read, False

    async def _take_async(self) -> None:
        """Reads some rows of an asynchronous source, in this loop."""
        source = cast(AsyncIterator[Any], self._source)
        until = time.monotonic() + turn_seconds
        for _ in range(rows_per_turn):
            try:
                row = await anext(source)
            except StopAsyncIteration:
                if not self._skipped:
                    self._on_end()
                self.is_complete = True
                return
            if self.end < self._start:
                self._skipped = True
                self._keep([], 1)
            else:
                self._keep([self._prepare(row, self.end)], 1)
            if self._is_full() or time.monotonic() > until:
                break
        # A source that never waits must not starve other tasks.
        await asyncio.sleep(0)

    def _keep(self, rows: list[PreparedRow], read: int) -> None:
        """Keeps `rows`, the last of the `read` rows. The rows before them are not needed."""
        self.end += read
        for number, row in enumerate(rows, self.end - len(rows)):
            self._rows[number] = row
            self._bytes += row.size
