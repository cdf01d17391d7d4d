"""Which dataset, and which state of it."""

from __future__ import annotations

from datetime import datetime

from itembank.errors import invalid_field
from itembank.v1.dataset_pb2 import DatasetRef, VersionSelector

VersionLike = int | str | datetime
"""Which state: a number, a tag, or the time at which it was the latest (aware of its time zone)."""


def dataset_ref(name: str | None, dataset_id: str | None) -> DatasetRef:
    """Raises InvalidArgumentError unless there is exactly one of name and id."""
    if name is not None and dataset_id is None:
        return DatasetRef(name=name)
    if dataset_id is not None and name is None:
        return DatasetRef(dataset_id=dataset_id)
    raise invalid_field("dataset", "needs exactly one of its name and its id")


def version_selector(version: VersionLike | None) -> VersionSelector:
    """None means the latest."""
    if version is None:
        return VersionSelector()
    if isinstance(version, bool):
        raise invalid_field("version", "is a truth value, not a number, a tag or a time")
    if isinstance(version, int):
        return VersionSelector(version=version)
    if isinstance(version, str):
        return VersionSelector(tag=version)
    if version.tzinfo is None:
        raise invalid_field("version", "is a time without a time zone")
    selector = VersionSelector()
    selector.as_of.FromDatetime(version)
    return selector
