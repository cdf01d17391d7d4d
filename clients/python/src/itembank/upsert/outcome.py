"""What an upsert did, or would do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime

from itembank.reading.read_item import time_of
from itembank.v1.dataset_pb2 import ChangeCounts
from itembank.v1.receipt_pb2 import Receipt


@dataclass(frozen=True)
class Counts:
    """What a write did, or will do, in items. Always, received = created + updated + unchanged."""

    received: int
    created: int
    updated: int
    unchanged: int
    deleted: int
    """Not part of `received`."""


@dataclass(frozen=True)
class UpsertResult:
    """What an upsert has done."""

    dataset_id: str
    version: int
    """The version that readers see as the outcome: a new one or, if `no_op`, the one that was the latest already."""
    no_op: bool
    """True if nothing had to change. No version was made then."""
    counts: Counts
    item_count: int
    """How many items the version has."""
    digest: str
    """The digest of the version, in hexadecimal: equal for versions of equal items, in any dataset and on any server."""
    created_dataset: bool
    request_id: str
    """The name of the write, for `GetUpsert`."""
    receipt: Receipt


@dataclass(frozen=True)
class Guards:
    """Bounds on what a mirror may delete."""

    max_delete_count: int | None = None
    """The most items it may delete."""
    max_delete_ratio: float | None = None
    """The largest share of the present items it may delete, 0 to 1."""
    allow_empty: bool = False
    """Whether a mirror without any row may empty the dataset."""


@dataclass(frozen=True)
class _Plan:
    dataset_id: str
    base_version: int
    """The version that `counts` compare with."""
    no_op: bool
    """True if applying it would change nothing."""
    counts: Counts
    item_count: int
    """How many items the dataset has afterwards."""
    creates_dataset: bool
    expire_time: datetime | None
    """When the plan is discarded if nothing happens."""
    request_id: str
    receipt: Receipt


@dataclass(frozen=True)
class AsyncUpsertPlan(_Plan):
    """What an upsert would do. Nobody sees anything of it until it is applied."""

    _apply: Callable[[bool, Guards | None], Awaitable[UpsertResult]]
    _discard: Callable[[], Awaitable[None]]

    async def apply(self, *, allow_rebase: bool = False, guards: Guards | None = None) -> UpsertResult:
        """Publishes the plan. Raises ConflictError (VERSION_CONFLICT) if the dataset has moved on, unless
        `allow_rebase` is set. `guards` replace those that the plan was made with.
        """
        return await self._apply(allow_rebase, guards)

    async def discard(self) -> None:
        """Gives the plan up."""
        await self._discard()


@dataclass(frozen=True)
class UpsertPlan(_Plan):
    """What an upsert would do. Nobody sees anything of it until it is applied."""

    _apply: Callable[[bool, Guards | None], UpsertResult]
    _discard: Callable[[], None]

    def apply(self, *, allow_rebase: bool = False, guards: Guards | None = None) -> UpsertResult:
        """Publishes the plan. Raises ConflictError (VERSION_CONFLICT) if the dataset has moved on, unless
        `allow_rebase` is set. `guards` replace those that the plan was made with.
        """
        return self._apply(allow_rebase, guards)

    def discard(self) -> None:
        """Gives the plan up."""
        self._discard()


def result_of(receipt: Receipt, digest: bytes) -> UpsertResult:
    return UpsertResult(
        dataset_id=receipt.dataset_id,
        version=receipt.version,
        no_op=receipt.no_op,
        counts=counts_of(receipt.counts),
        item_count=receipt.item_count,
        digest=digest.hex(),
        created_dataset=receipt.creates_dataset,
        request_id=receipt.request_id,
        receipt=receipt,
    )


def plan_of(
    receipt: Receipt,
    apply: Callable[[bool, Guards | None], Awaitable[UpsertResult]],
    discard: Callable[[], Awaitable[None]],
) -> AsyncUpsertPlan:
    return AsyncUpsertPlan(
        dataset_id=receipt.dataset_id,
        base_version=receipt.base_version,
        no_op=receipt.no_op,
        counts=counts_of(receipt.counts),
        item_count=receipt.item_count,
        creates_dataset=receipt.creates_dataset,
        expire_time=time_of(receipt.expire_time) if receipt.HasField("expire_time") else None,
        request_id=receipt.request_id,
        receipt=receipt,
        _apply=apply,
        _discard=discard,
    )


def counts_of(counts: ChangeCounts) -> Counts:
    return Counts(counts.received, counts.created, counts.updated, counts.unchanged, counts.deleted)
