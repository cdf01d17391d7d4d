"""Broken connections, and restarted services."""

from __future__ import annotations

import hashlib
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from service import CuttingProxy, Service

from itembank import Client, RetrySettings, UnavailableError, UpsertProgress

retry = RetrySettings(initial_delay=0.01)


def rows(count: int, revision: Callable[[int], int] = lambda _: 0) -> Iterator[dict[str, Any]]:
    """Yields rows once, with incompressible content of about 120 bytes."""
    for number in range(count):
        text = hashlib.sha512(f"{number} {revision(number)}".encode()).hexdigest()
        yield {"item_id": f"k{number}", "input": {"number": number, "text": text}}


@pytest.fixture
def proxy(service: Service) -> Iterator[CuttingProxy]:
    one = CuttingProxy(service.address)
    yield one
    one.close()


def test_fifty_thousand_rows_arrive_once_although_the_connection_breaks_again_and_again(
    client: Client, proxy: CuttingProxy, name: str
) -> None:
    proxy.cut_every(2_000_000)
    with Client(proxy.address, retry=retry) as cut:
        progress: list[UpsertProgress] = []
        result = cut.upsert_dataset(rows(50_000), name=name, on_progress=progress.append)
        assert (result.version, result.counts.created, result.item_count) == (1, 50_000, 50_000)
        assert proxy.cuts >= 3
        assert progress[-1].resumptions >= 3
        # Only changed bodies are sent, after offers that are cut off as well.
        proxy.cut_every(700_000)
        changed = cut.upsert_dataset(
            rows(50_000, lambda number: int(number % 10 == 0)),
            name=name,
            mode="mirror",
            on_progress=progress.append,
        )
    assert (changed.counts.updated, changed.counts.unchanged, changed.counts.deleted) == (5_000, 45_000, 0)
    assert sum(1 for _ in client.stream_items(name)) == 50_000


def test_readers_resume_where_the_connection_broke(client: Client, proxy: CuttingProxy, name: str) -> None:
    client.upsert_dataset(rows(12_000), name=name)
    with Client(proxy.address, retry=retry) as cut:
        seen = []
        stream = cut.stream_items(name)
        for at, item in enumerate(stream):
            seen.append(item.item_id)
            if at in (0, 5_000):
                proxy.cut()
            if at == 3_000:
                # The stream stays on the version that it began with.
                client.upsert_dataset([{"item_id": "a-new-one", "input": 1}], name=name)
    assert seen == sorted(f"k{number}" for number in range(12_000))
    assert stream.end is not None
    assert (stream.end.version, stream.end.item_count) == (1, 12_000)


def test_an_upsert_survives_a_restart_of_the_service(name: str) -> None:
    service = Service(Path(tempfile.mkdtemp(prefix="itembank-python-")))
    service.start()
    proxy = CuttingProxy(service.address)
    restarting: list[threading.Thread] = []

    def restart() -> None:
        service.stop()
        service.start()
        proxy.target = service.address

    def strike() -> None:
        if not restarting:
            restarting.append(threading.Thread(target=restart))
            restarting[0].start()

    try:
        proxy.cut_every(1_000_000, strike)
        with Client(proxy.address, retry=RetrySettings(resume_attempts=120, max_delay=0.5)) as client:
            result = client.upsert_dataset(rows(20_000), name=name)
        assert restarting
        restarting[0].join()
        assert (result.version, result.counts.created) == (1, 20_000)
    finally:
        proxy.close()
        service.remove()


def test_it_gives_up_after_the_last_attempt(name: str) -> None:
    with (
        Client("127.0.0.1:9", retry=RetrySettings(call_attempts=2, initial_delay=0.01)) as client,
        pytest.raises(UnavailableError) as refusal,
    ):
        client.upsert_dataset(rows(1), name=name)
    assert (refusal.value.reason, refusal.value.retryable) == (None, True)
