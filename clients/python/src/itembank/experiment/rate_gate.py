"""Rate limits."""

from __future__ import annotations

import asyncio
import email.utils
import random
import re
import time
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from itembank.rpc.retry import jittered

initial_pause = 1.0
max_pause = 60.0
"""The pauses after a rate limit without a `retry-after`: a second is soon enough, and a minute resets most limits."""

spread = 0.1
max_spread = 1.0
"""Attempts that waited for a pause restart spread over this share of it, over at most a second."""

_named = re.compile(r"rate_?limit|throttling", re.IGNORECASE)


@dataclass(frozen=True)
class Pass:
    """The admission of an attempt, with the number of pauses before it."""

    pauses: int


class RateGate:
    """Admits the attempts at a task, and holds all of them back after one has hit a rate limit."""

    def __init__(self, per_minute: float | None = None) -> None:
        """`per_minute` is the most attempts to start in a minute, evenly spaced."""
        self._spacing = 0.0 if per_minute is None else 60.0 / per_minute
        self._next_start = 0.0
        self.opens_at = 0.0
        """The time when attempts may start again, by time.monotonic. In the past unless there is a pause."""
        self._pause = 0.0
        self._pauses = 0
        self._strikes = 0
        """Pauses since an attempt last succeeded."""

    async def enter(self) -> Pass:
        """Waits until the next attempt may start."""
        # A pause may be extended during the wait.
        while (wait := self.opens_at - time.monotonic()) > 0:  # noqa: ASYNC110
            await asyncio.sleep(wait + random.random() * min(max_spread, spread * self._pause))
        if self._spacing > 0:
            start = max(time.monotonic(), self._next_start)
            self._next_start = start + self._spacing
            await asyncio.sleep(start - time.monotonic())
        return Pass(self._pauses)

    def pause(self, entered: Pass, retry_after: float | None) -> None:
        """Reports that an attempt hit a rate limit. Several that started together count as one."""
        if entered.pauses == self._pauses:
            self._pauses += 1
            self._strikes += 1
        elif retry_after is None:
            return
        pause = retry_after if retry_after is not None else jittered(initial_pause, max_pause, self._strikes)
        if time.monotonic() + pause <= self.opens_at:
            return
        self._pause = pause
        self.opens_at = time.monotonic() + pause

    def succeeded(self) -> None:
        """Reports that an attempt hit none."""
        self._strikes = 0


@dataclass(frozen=True)
class RateLimit:
    """A rate limit."""

    retry_after: float | None
    """Its duration in seconds, if known."""


def rate_limit_of(error: BaseException) -> RateLimit | None:
    """Returns the rate limit that an error reports, if it does: status 429, or 503 and 529 with a time to wait, in the error
    or in its causes, as most clients of HTTP APIs report it.
    """
    cause: BaseException | None = error
    for _ in range(5):
        if cause is None:
            return None
        response = getattr(cause, "response", None)
        retry_after = _retry_after(getattr(cause, "headers", None))
        if retry_after is None:
            retry_after = _retry_after(getattr(response, "headers", None))
        status = _status(cause) or _status(response)
        if status == 429 or _named.match(type(cause).__name__):
            return RateLimit(retry_after)
        if status in (503, 529) and retry_after is not None:
            return RateLimit(retry_after)
        cause = cause.__cause__
    return None


def _status(holder: object) -> int | None:
    for name in ("status_code", "status", "http_status", "code"):
        value = getattr(holder, name, None)
        if isinstance(value, int):
            return value
    return None


def _retry_after(headers: Any) -> float | None:
    """Returns the time to wait, in seconds. `retry-after` is in seconds or a date; `retry-after-ms`, which is finer, wins."""
    milliseconds = _number(_header(headers, "retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    value = _header(headers, "retry-after")
    seconds = _number(value)
    if seconds is not None or not isinstance(value, str):
        return seconds
    try:
        date = email.utils.parsedate_to_datetime(value)
    except ValueError:
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=timezone.utc)
    return max(0.0, (date - datetime.now(timezone.utc)).total_seconds())


def _header(headers: Any, name: str) -> Any:
    get = getattr(headers, "get", None)
    if not callable(get):
        return None
    value = get(name)
    return value if value is not None else get(name.replace("retry-after", "Retry-After"))


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if 0 <= number < float("inf") else None
