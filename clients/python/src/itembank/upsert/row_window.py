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
"""Rows that are read before others get a turn."""

turn_seconds = 0.02
"""How long a slow source is read before what it gave is passed on."""

Prepare = Callable[[Any, int], PreparedRow]


class RowWindow:
    """The rows from the first that would not survive a crash of the server to the last that was read. The source is read
    once, and no further ahead than the bounds allow.
    """

    def __init__(
        self,
        source: Iterator[Any] | AsyncIterator[Any],
        prepare: Prepare,
        caller: Caller,
        max_rows: int,
        max_bytes: int,
    ) -> None:
        self._source = source
        self._prepare = prepare
        self._caller = caller
        self._max_rows = max_rows
        self._max_bytes = max_bytes
        self.changes = Changes()
        """Tells when rows came, or the end of them."""
        self._space = Changes()
        self._rows: dict[int, PreparedRow] = {}
        self._start = 0
        self._bytes = 0
        self.end = 0
        """How many rows were read."""
        self.is_complete = False
        """Whether those are all."""
        self.fault: BaseException | None = None
        """What the source raised, or what is wrong with a row."""
        self._reading: asyncio.Task[None] | None = None

    def fill(self) -> None:
        """Begins to read, on the first call."""
        if self._reading is None:
            self._reading = asyncio.create_task(self._read())

    def row(self, number: int) -> PreparedRow:
        """A row that is kept."""
        return self._rows[number]

    def rows(self, number: int) -> Iterator[PreparedRow]:
        """The rows that are kept, from one on."""
        return map(self._rows.__getitem__, range(number, self.end))

    def release(self, number: int) -> None:
        """Lets go of the rows in front of `number`, also of those that were not read yet: they are passed over."""
        for passed in range(self._start, min(number, self.end)):
            self._bytes -= self._rows.pop(passed).size
        self._start = max(self._start, number)
        self._space.tell()

    async def close(self) -> None:
        """Reads no further."""
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
                # A generator that is still being read in a thread cannot be closed, and ends with its thread.
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
        self.is_complete = is_over

    def _take(self) -> tuple[list[PreparedRow], int, bool]:
        """Reads some rows, where the source is at home. Gives those that are needed, and how many there were."""
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
            if index >= self._start:
                rows.append(self._prepare(row, index))
                room -= rows[-1].size
        return rows, read, False

    async def _take_async(self) -> None:
        """The same for an asynchronous source, in this loop."""
        source = cast(AsyncIterator[Any], self._source)
        until = time.monotonic() + turn_seconds
        for _ in range(rows_per_turn):
            try:
                row = await anext(source)
            except StopAsyncIteration:
                self.is_complete = True
                return
            self._keep([self._prepare(row, self.end)] if self.end >= self._start else [], 1)
            if self._is_full() or time.monotonic() > until:
                break
        # A source may never wait for anything, and others want to run.
        await asyncio.sleep(0)

    def _keep(self, rows: list[PreparedRow], read: int) -> None:
        """Keeps the last of the rows that were read; those in front of them are not needed."""
        self.end += read
        for number, row in enumerate(rows, self.end - len(rows)):
            self._rows[number] = row
            self._bytes += row.size
