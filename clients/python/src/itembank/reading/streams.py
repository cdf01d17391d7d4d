"""Streams of the service that are read to their end, whatever happens to connections."""

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
    """What the last frame of a stream says."""

    def __init__(self, value: End) -> None:
        self.value = value


Batches = AsyncIterator[Sequence[T] | Ended[End]]


async def resumed(
    connection: Connection, open_stream: Callable[[], AsyncIterable[Frame]], is_last: Callable[[Frame], bool]
) -> AsyncIterator[Frame]:
    """Reads a stream to its last frame, and opens it again where it broke.

    `open_stream` opens it from where the frames so far have come. A stream that ends without its last frame was cut.
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
    """What a stream gives, one by one: `async for … in stream`. Can be iterated over once."""

    def __init__(self, batches: Batches[T, End]) -> None:
        self._batches = batches
        self.end: End | None = None
        """What the last frame says. None until everything was read."""

    async def __aiter__(self) -> AsyncIterator[T]:
        async for batch in self._batches:
            if isinstance(batch, Ended):
                self.end = batch.value
                return
            for one in batch:
                yield one


class Stream(Generic[T, End]):
    """What a stream gives, one by one: `for … in stream`. Can be iterated over once."""

    def __init__(self, background: Background, batches: Batches[T, End]) -> None:
        self._background = background
        self._batches = batches
        self.end: End | None = None
        """What the last frame says. None until everything was read."""

    def __iter__(self) -> Iterator[T]:
        for batch in self._background.iterate(lambda: self._batches):
            if isinstance(batch, Ended):
                self.end = batch.value
                return
            yield from batch
