"""Running the caller's code."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import threading
from collections.abc import Callable
from typing import Any


class AttemptTimeoutError(Exception):
    """An attempt, or an evaluator, exceeded its time limit."""

    code = "TIMEOUT"


async def attempt(
    work: Callable[..., Any], arguments: tuple[Any, ...], timeout: float | None, stopped: threading.Event
) -> Any:
    """Calls a function, in this loop if it is a coroutine function, else in a thread of its own, and waits at most `timeout`
    seconds. `stopped` is set when the wait ends.

    A thread that never ends does not block anything, not even the exit of the program; threads of a pool would.
    """
    running = asyncio.ensure_future(_call(work, arguments))
    try:
        done, _ = await asyncio.wait({running}, timeout=timeout)
        if not done:
            raise AttemptTimeoutError(f"no answer within {timeout:g} s")
        if running.cancelled():
            raise RuntimeError("the function cancelled itself")
        return running.result()
    finally:
        stopped.set()
        if not running.done():
            # It is cancelled, but not waited for.
            running.cancel()
            running.add_done_callback(lambda ended: ended.cancelled() or ended.exception())


async def _call(work: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    # A callable object may have a coroutine method.
    method = getattr(type(work), "__call__", None)  # noqa: B004
    if inspect.iscoroutinefunction(work) or inspect.iscoroutinefunction(method):
        return await work(*arguments)
    outcome = await _in_thread(work, arguments)
    # A lambda around a coroutine function returns a coroutine, too.
    return await outcome if inspect.isawaitable(outcome) else outcome


async def _in_thread(work: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Any] = loop.create_future()
    context = contextvars.copy_context()

    def finish(outcome: Any, error: BaseException | None) -> None:
        if done.done():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(outcome)

    def run() -> None:
        outcome: Any = None
        fault: BaseException | None = None
        try:
            outcome = context.run(work, *arguments)
        except StopIteration as error:
            # A future must not raise StopIteration.
            fault = RuntimeError(f"StopIteration: {error}")
        except Exception as error:
            fault = error
        except BaseException as error:
            # sys.exit in a task must not leave the experiment waiting forever.
            fault = RuntimeError(f"{type(error).__name__}: {error}")
        if not loop.is_closed():
            loop.call_soon_threadsafe(finish, outcome, fault)

    threading.Thread(target=run, name="itembank-task", daemon=True).start()
    return await done
