"""Runs the caller's own code where it belongs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol, TypeVar

T = TypeVar("T")


class Caller(Protocol):
    """The user of the client. Runs code of the user that may block, or that belongs to the user's thread."""

    async def read(self, work: Callable[[], T]) -> T:
        """Reads from a source of the user, which may block."""
        ...

    async def tell(self, work: Callable[[], T]) -> T:
        """Calls a callback of the user."""
        ...


class AsyncCaller:
    """A user in an event loop, which must not be blocked."""

    async def read(self, work: Callable[[], T]) -> T:
        return await asyncio.to_thread(work)

    async def tell(self, work: Callable[[], T]) -> T:
        return work()
