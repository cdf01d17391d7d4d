from __future__ import annotations

import tempfile
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from service import Service

from itembank import AsyncClient, Client


@pytest.fixture(scope="session")
def service() -> Iterator[Service]:
    one = Service(Path(tempfile.mkdtemp(prefix="itembank-python-")))
    one.start()
    yield one
    one.remove()


@pytest.fixture(scope="session")
def client(service: Service) -> Iterator[Client]:
    with Client(service.address) as one:
        yield one


@pytest.fixture
async def async_client(service: Service) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(service.address) as one:
        yield one


@pytest.fixture
def name() -> str:
    """Returns the name of a dataset that does not exist yet."""
    return f"qa-{uuid.uuid4()}"
