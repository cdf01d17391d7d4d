"""A server as the procedures of this package see it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, cast

import grpc

from assay.rpc.caller import AsyncCaller, Caller
from assay.rpc.channel import AsyncChannel
from assay.rpc.retry import RetrySettings
from assay.v1.dataset_service_pb2_grpc import DatasetServiceStub
from assay.v1.item_service_pb2_grpc import ItemServiceStub
from assay.v1.limits_pb2 import Limits
from assay.v1.query_service_pb2_grpc import QueryServiceStub
from assay.v1.run_service_pb2_grpc import RunServiceStub
from assay.v1.system_service_pb2 import GetServerInfoRequest
from assay.v1.system_service_pb2_grpc import SystemServiceStub
from assay.v1.upload_service_pb2_grpc import UploadServiceStub
from assay.v1.upsert_service_pb2_grpc import UpsertServiceStub

if TYPE_CHECKING:
    from assay.v1.dataset_service_pb2_grpc import DatasetServiceAsyncStub
    from assay.v1.item_service_pb2_grpc import ItemServiceAsyncStub
    from assay.v1.query_service_pb2_grpc import QueryServiceAsyncStub
    from assay.v1.run_service_pb2_grpc import RunServiceAsyncStub
    from assay.v1.system_service_pb2_grpc import SystemServiceAsyncStub
    from assay.v1.upload_service_pb2_grpc import UploadServiceAsyncStub
    from assay.v1.upsert_service_pb2_grpc import UpsertServiceAsyncStub


@dataclass(frozen=True)
class Connection:
    """All services of the contract, typed, and what procedures have to know besides."""

    datasets: DatasetServiceAsyncStub
    items: ItemServiceAsyncStub
    upserts: UpsertServiceAsyncStub
    runs: RunServiceAsyncStub
    uploads: UploadServiceAsyncStub
    queries: QueryServiceAsyncStub
    system: SystemServiceAsyncStub
    retry: RetrySettings
    caller: Caller = field(default_factory=AsyncCaller)
    _limits: list[Limits] = field(default_factory=list)
    """None or one, the same list for all callers."""

    async def limits(self) -> Limits:
        """What the server takes. Asked for once."""
        if not self._limits:
            answer = await self.system.GetServerInfo(GetServerInfoRequest())
            self._limits.append(answer.limits)
        return self._limits[0]

    def for_caller(self, caller: Caller) -> Connection:
        """The same for somebody else."""
        return replace(self, caller=caller)


def new_connection(channel: AsyncChannel, retry: RetrySettings) -> Connection:
    # The stubs use no more of a channel than this one has.
    aio = cast(grpc.aio.Channel, channel)
    return Connection(
        DatasetServiceStub(aio),
        ItemServiceStub(aio),
        UpsertServiceStub(aio),
        RunServiceStub(aio),
        UploadServiceStub(aio),
        QueryServiceStub(aio),
        SystemServiceStub(aio),
        retry,
    )
