"""Signals between the parts of a procedure."""

from __future__ import annotations

import asyncio


class Changes:
    """A signal for parts of a procedure to wait until another part has changed something."""

    def __init__(self) -> None:
        self._told: asyncio.Future[None] | None = None

    def tell(self) -> None:
        """Wakes all waiters."""
        if self._told is not None and not self._told.done():
            self._told.set_result(None)
        self._told = None

    async def next(self) -> None:
        """Returns at the next change."""
        if self._told is None:
            self._told = asyncio.get_running_loop().create_future()
        # A waiter that is cancelled must not end the wait of the others.
        await asyncio.shield(self._told)
