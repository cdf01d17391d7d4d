"""What an upsert can be told."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypedDict

from google.protobuf.struct_pb2 import Struct

from itembank.errors import invalid_field
from itembank.payloads.json_path import JsonProblemError
from itembank.payloads.json_values import is_well_formed, plain_json
from itembank.rpc.enum_value import enum_value
from itembank.upsert.item_row import ItemId, RowMap
from itembank.upsert.outcome import Guards
from itembank.v1.dataset_pb2 import Dataset
from itembank.v1.upsert_pb2 import (
    UPSERT_MODE_MERGE,
    UPSERT_MODE_MIRROR,
    MirrorGuard,
)
from itembank.v1.upsert_pb2 import UpsertOptions as UpsertOptionsMessage


@dataclass(frozen=True)
class NewDataset:
    """What a dataset looks like that an upsert creates."""

    description: str = ""
    table_name: str = ""
    """What SQL calls it. Left out, it is made from the name."""
    metadata: Mapping[str, Any] | None = None
    input_schema: Mapping[str, Any] | bool | None = None
    """A JSON Schema that every input has to satisfy."""
    expected_output_schema: Mapping[str, Any] | bool | None = None
    """The same for expected outputs."""


@dataclass(frozen=True)
class UpsertProgress:
    """How far an upsert has come."""

    rows_read: int = 0
    rows_total: int | None = None
    """How many rows there are, where the source says so in advance."""
    rows_taken: int = 0
    """Rows in front of the first of which the server still needs something."""
    bodies_sent: int = 0
    """Rows sent with their bodies. The others were known to the server by their hashes."""
    bytes_sent: int = 0
    """What those bodies took."""
    resumptions: int = 0
    """How often the stream broke and was resumed."""


class UpsertOptions(TypedDict, total=False):
    """The options of `upsert_dataset`: exactly one of `name` and `dataset_id`, and whatever else is wanted."""

    name: str
    dataset_id: str
    item_id: ItemId
    """Where the id of a row comes from: a member of it, or a function, which may give None for a row without one. Rows
    without an id are matched by their content."""
    map: RowMap
    """Makes an item of a row: a dict with `input` and perhaps `item_id`, `expected_output`, `metadata`, `splits`."""
    mode: Literal["merge", "mirror"]
    """What becomes of items that are not among the rows: `merge`, the default, keeps them, `mirror` deletes them."""
    create: bool | NewDataset
    """Whether a dataset with this `name` is created if there is none, and what it looks like then. True unless set."""
    guards: Guards
    """Bounds on deletions. Only for `mirror`."""
    expected_version: int
    """If set, the upsert fails with VERSION_CONFLICT unless this is the latest version."""
    replace_splits: bool
    """If true, a row without splits takes its item out of all splits. Else it leaves them alone."""
    note: str
    """Kept with the version."""
    request_id: str
    """A UUID that names the write. A program that was killed goes on where it was if it repeats the upsert with the same
    request_id, options and rows; if the write was published already, it gets the first answer. Left out, a random one is
    taken, and an upsert that fails is given up for good."""
    on_progress: Callable[[UpsertProgress], None]
    """Called whenever the server has answered. What it raises ends the upsert."""
    progress: bool | None
    """Whether to show a progress bar. Unless set, one is shown in terminals and notebooks."""
    max_buffered_bytes: int
    """Payload bytes to keep at most, for the server to ask for. 32 MiB unless set; one row is always kept."""


_modes = {"merge": UPSERT_MODE_MERGE, "mirror": UPSERT_MODE_MIRROR}


def options_to_wire(options: UpsertOptions, plan: bool) -> UpsertOptionsMessage:
    """The options as they go over the wire. Raises InvalidArgumentError."""
    note = options.get("note", "")
    if not is_well_formed(note):
        raise invalid_field("note", "holds a lone surrogate")
    create = options.get("create", "name" in options)
    guards = options.get("guards")
    return UpsertOptionsMessage(
        mode=enum_value("mode", options.get("mode", "merge"), _modes),
        create_if_missing=create is not False,
        new_dataset=_dataset_to_wire(create) if isinstance(create, NewDataset) else None,
        expected_version=options.get("expected_version"),
        guard=guards_to_wire(guards) if guards is not None else None,
        replace_splits=options.get("replace_splits", False),
        validate_only=plan,
        note=note,
    )


def guards_to_wire(guards: Guards) -> MirrorGuard:
    return MirrorGuard(
        max_delete_count=guards.max_delete_count,
        max_delete_ratio=guards.max_delete_ratio,
        allow_empty=guards.allow_empty,
    )


def _dataset_to_wire(dataset: NewDataset) -> Dataset:
    def schema(given: Mapping[str, Any] | bool | None) -> str:
        return "" if given is None else json.dumps(given)

    return Dataset(
        description=dataset.description,
        table_name=dataset.table_name,
        metadata=struct_of(dataset.metadata, "create.metadata"),
        input_schema_json=schema(dataset.input_schema),
        expected_output_schema_json=schema(dataset.expected_output_schema),
    )


def struct_of(values: Mapping[str, Any] | None, field: str) -> Struct | None:
    """Annotations as a message. Raises InvalidArgumentError for what JSON cannot hold."""
    if values is None:
        return None
    struct = Struct()
    try:
        struct.update(plain_json(values, "$"))
    except JsonProblemError as problem:
        raise invalid_field(field, str(problem)) from None
    return struct
