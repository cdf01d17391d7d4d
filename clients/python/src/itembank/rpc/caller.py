"""Where the code of whoever uses the client runs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol, TypeVar

T = TypeVar("T")


class Caller(Protocol):
    """The one who called: runs code of theirs that may block, or that belongs to their thread."""

    async def read(self, work: Callable[[], T]) -> T:
        """Reads from a source of theirs, which may block."""
        ...

    async def tell(self, work: Callable[[], T]) -> T:
        """Calls a function that wants to hear of something."""
        ...


class AsyncCaller:
    """One in an event loop: what blocks must not do so in it."""

    async def read(self, work: Callable[[], T]) -> T:
        return await asyncio.to_thread(work)

    async def tell(self, work: Callable[[], T]) -> T:
        return work()
