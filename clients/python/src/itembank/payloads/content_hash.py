"""Content hashes, sha256-jcs-v1."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import rfc8785

from itembank.payloads.json_path import JsonProblemError
from itembank.payloads.json_text import max_safe_integer, read_json_text
from itembank.payloads.json_values import JsonVisit

content_hash_algorithm = "sha256-jcs-v1"
"""The name by which the contract knows how hashes are computed here."""


@dataclass(frozen=True)
class JsonText:
    """A payload that is a JSON text, whose spelling is kept: `1.0` stays `1.0`."""

    text: str


@dataclass(frozen=True)
class HashedContent:
    """Texts and the hash of their content."""

    input_json: str
    expected_output_json: str | None
    metadata_json: str
    content_hash: bytes


def hash_content(payloads: Mapping[str, Any]) -> HashedContent:
    """Serializes payloads and hashes them: the SHA-256 of the RFC 8785 form of an object with the members expected_output,
    input and metadata, of which only input is required.

    Raises JsonProblemError with a path from the item, as in `$.input.messages[2]`.
    """
    if "input" not in payloads:
        raise JsonProblemError("$.input", (), "is missing; every item needs an input, which may be None")
    texts: dict[str, str] = {}
    values: dict[str, Any] = {}
    is_simple = True
    for name, payload in payloads.items():
        root = f"$.{name}"
        if isinstance(payload, JsonText):
            texts[name] = payload.text
            values[name] = read_json_text(payload.text, root)
            is_simple = False
        else:
            visit = JsonVisit(root)
            values[name] = visit.value(payload)
            is_simple = is_simple and visit.is_simple
            texts[name] = _dumps(values[name])
    if not isinstance(values.get("metadata", {}), dict):
        raise JsonProblemError("$.metadata", (), "must be a JSON object")
    # The rfc8785 library is written in Python and takes many times as long as json.dumps.
    canonical = _dumps(values, sort_keys=True).encode() if is_simple else rfc8785.dumps(_with_doubles(values))
    return HashedContent(
        texts["input"],
        texts.get("expected_output"),
        texts.get("metadata", ""),
        hashlib.sha256(canonical).digest(),
    )


def _with_doubles(value: Any) -> Any:
    """The same value with doubles for large integers, which the library refuses."""
    if isinstance(value, dict):
        return {name: _with_doubles(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_with_doubles(element) for element in value]
    if isinstance(value, int) and abs(value) > max_safe_integer:
        return float(value)
    return value


def _dumps(value: Any, sort_keys: bool = False) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"), sort_keys=sort_keys)
