"""Waiting for another part of a procedure."""

from __future__ import annotations

import asyncio


class Changes:
    """Lets parts of a procedure wait until another part says that something has changed."""

    def __init__(self) -> None:
        self._told: asyncio.Future[None] | None = None

    def tell(self) -> None:
        """Wakes everybody who waits."""
        if self._told is not None and not self._told.done():
            self._told.set_result(None)
        self._told = None

    async def next(self) -> None:
        """Returns the next time that something changes."""
        if self._told is None:
            self._told = asyncio.get_running_loop().create_future()
        # One who waits no longer must not end the wait of the others.
        await asyncio.shield(self._told)
