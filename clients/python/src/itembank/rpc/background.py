"""The event loop of the synchronous client."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")


class Background:
    """An event loop in a thread of its own, so that the client works in scripts, threads and notebooks alike. There is one
    per process, because gRPC does not support several loops well.
    """

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name="itembank", daemon=True)
        self._thread.start()

    def run(self, work: Callable[[ThreadCaller], Coroutine[Any, Any, T]]) -> T:
        """Runs a procedure in the loop, and its calls to the caller in this thread: sources are read, and callbacks called, in
        the thread that they come from.

        An exception in this thread, such as a KeyboardInterrupt, cancels the procedure and is raised once that has ended.
        """
        if threading.current_thread() is self._thread:
            # It would wait for itself forever.
            raise RuntimeError("a coroutine that Client runs cannot call a Client: make it a plain function")
        caller = ThreadCaller()
        outcome: Future[T] = Future()
        outcome.add_done_callback(lambda _: caller.leave())
        tasks: list[asyncio.Task[None]] = []

        async def procedure() -> None:
            try:
                outcome.set_result(await work(caller))
            except BaseException as error:
                outcome.set_exception(error)

        self.loop.call_soon_threadsafe(lambda: tasks.append(self.loop.create_task(procedure())))
        try:
            caller.serve()
        except BaseException:
            self.loop.call_soon_threadsafe(lambda: tasks[0].cancel())
            # Cleaning up may call the caller as well.
            caller.serve()
            raise
        return outcome.result()

    def call(self, work: Callable[[], Awaitable[T]]) -> T:
        """Runs a procedure that does not call the caller."""

        async def do(_: ThreadCaller) -> T:
            return await work()

        return self.run(do)

    def iterate(self, open_source: Callable[[], AsyncIterator[T]]) -> Iterator[T]:
        """Iterates in this thread over a source in the loop."""

        async def begin() -> AsyncIterator[T]:
            return open_source().__aiter__()

        async def end() -> None:
            close = getattr(iterator, "aclose", None)
            if close is not None:
                await close()

        iterator = self.call(begin)
        try:
            while True:
                try:
                    one = self.call(iterator.__anext__)
                except StopAsyncIteration:
                    return
                yield one
        finally:
            self.call(end)


class ThreadCaller:
    """A caller in a thread that waits for a procedure. Runs the jobs of the procedure in that thread."""

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()

    async def read(self, work: Callable[[], T]) -> T:
        loop = asyncio.get_running_loop()
        done: asyncio.Future[T] = loop.create_future()

        def finish(result: T | None, error: BaseException | None) -> None:
            if done.cancelled():
                return
            if error is None:
                done.set_result(result)  # type: ignore[arg-type]
            else:
                done.set_exception(error)

        def job() -> None:
            try:
                result = work()
            except Exception as error:
                # Neither a future nor a generator may raise StopIteration.
                kept = RuntimeError("StopIteration") if isinstance(error, StopIteration) else error
                loop.call_soon_threadsafe(finish, None, kept)
            else:
                loop.call_soon_threadsafe(finish, result, None)

        self._jobs.put(job)
        return await done

    tell = read

    def serve(self) -> None:
        """Runs jobs until `leave` is called."""
        while (job := self._jobs.get()) is not None:
            job()

    def leave(self) -> None:
        """Ends `serve`."""
        self._jobs.put(None)


_lock = threading.Lock()
_background: Background | None = None


def background() -> Background:
    """Returns the event loop of this process."""
    global _background
    with _lock:
        if _background is None:
            _background = Background()
        return _background
