"""References to datasets and versions."""

from __future__ import annotations

from datetime import datetime

from itembank.errors import invalid_field
from itembank.v1.dataset_pb2 import DatasetRef, VersionSelector

VersionLike = int | str | datetime
"""Names a version: a number, a tag, or a time at which it was the latest (aware of its time zone)."""


def dataset_ref(name: str | None, dataset_id: str | None) -> DatasetRef:
    """Converts to a message of the contract. Raises InvalidArgumentError unless exactly one of name and id is set."""
    if name is not None and dataset_id is None:
        return DatasetRef(name=name)
    if dataset_id is not None and name is None:
        return DatasetRef(dataset_id=dataset_id)
    raise invalid_field("dataset", "needs exactly one of its name and its id")


def version_selector(version: VersionLike | None) -> VersionSelector:
    """Converts to a message of the contract. None is the latest. Raises InvalidArgumentError for a time without a zone."""
    if version is None:
        return VersionSelector()
    if isinstance(version, bool):
        raise invalid_field("version", "must be a number, a tag or a time, not a bool")
    if isinstance(version, int):
        return VersionSelector(version=version)
    if isinstance(version, str):
        return VersionSelector(tag=version)
    if version.tzinfo is None:
        raise invalid_field("version", "must be a time with a time zone")
    selector = VersionSelector()
    selector.as_of.FromDatetime(version)
    return selector
