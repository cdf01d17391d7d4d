"""Streams of the service, which are resumed after broken connections."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterator, Sequence
from typing import Generic, TypeVar

from itembank.errors import ItembankError, interrupted
from itembank.rpc.background import Background
from itembank.rpc.channel import reading
from itembank.rpc.connection import Connection
from itembank.rpc.retry import Backoff

T = TypeVar("T")
End = TypeVar("End")
Frame = TypeVar("Frame")


class Ended(Generic[End]):
    """The content of the last frame of a stream."""

    def __init__(self, value: End) -> None:
        self.value = value


Batches = AsyncIterator[Sequence[T] | Ended[End]]


async def resumed(
    connection: Connection, open_stream: Callable[[], AsyncIterable[Frame]], is_last: Callable[[Frame], bool]
) -> AsyncIterator[Frame]:
    """Reads a stream to its last frame, and reopens it where it broke.

    `open_stream` opens it after the frames that have arrived. A stream that ends without its last frame was cut off.
    """
    backoff = Backoff(connection.retry, connection.retry.resume_attempts)
    while True:
        try:
            async with reading(open_stream()) as stream:
                async for frame in stream:
                    backoff.succeeded()
                    yield frame
                    if is_last(frame):
                        return
            raise interrupted("the stream ended without its last frame")
        except ItembankError as error:
            fault = error
        await backoff.wait(fault)


class AsyncStream(Generic[T, End]):
    """The elements of a stream: `async for … in stream`. Can be iterated over once."""

    def __init__(self, batches: Batches[T, End]) -> None:
        self._batches = batches
        self.end: End | None = None
        """The content of the last frame. None until everything is read."""

    async def __aiter__(self) -> AsyncIterator[T]:
        async for batch in self._batches:
            if isinstance(batch, Ended):
                self.end = batch.value
                return
            for one in batch:
                yield one


class Stream(Generic[T, End]):
    """The elements of a stream: `for … in stream`. Can be iterated over once."""

    def __init__(self, background: Background, batches: Batches[T, End]) -> None:
        self._background = background
        self._batches = batches
        self.end: End | None = None
        """The content of the last frame. None until everything is read."""

    def __iter__(self) -> Iterator[T]:
        for batch in self._background.iterate(lambda: self._batches):
            if isinstance(batch, Ended):
                self.end = batch.value
                return
            yield from batch
