"""The content hash sha256-jcs-v1, tested on the vectors that all clients share."""

from __future__ import annotations

import hashlib
import json
import math
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st
from service import repository

from itembank import InvalidArgumentError, content_hash
from itembank.payloads.content_hash import hash_content

vectors = json.loads((repository / "test/vectors/content-hash.json").read_text())

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.integers(53, 200).map(lambda exponent: 2**exponent)
    | st.floats(2**53, 1e20).map(int)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def spelled(text: str | list[tuple[str, int]]) -> str:
    """Expands a long text, which is a list of pieces and counts."""
    return text if isinstance(text, str) else "".join(piece * count for piece, count in text)


def row_of(vector: dict[str, Any]) -> dict[str, str]:
    return {name: spelled(vector[name]) for name in vector if name.endswith("_json")}


@pytest.mark.parametrize("vector", vectors["valid"], ids=lambda vector: vector["name"])
def test_valid_vector(vector: dict[str, Any]) -> None:
    assert content_hash(row_of(vector)) == vector["content_hash"]


@pytest.mark.parametrize("vector", vectors["equal"], ids=lambda vector: vector["content_hash"][:8])
def test_equal_vector(vector: dict[str, Any]) -> None:
    assert {content_hash({"input_json": text}) for text in vector["input_json"]} == {vector["content_hash"]}


@pytest.mark.parametrize("vector", vectors["invalid"], ids=lambda vector: vector["name"])
def test_invalid_vector(vector: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgumentError) as refusal:
        content_hash(row_of(vector))
    assert refusal.value.reason == "INVALID_JSON"
    assert refusal.value.facts["path"] == vector["path"]


@given(json_values)
def test_a_value_hashes_as_its_rfc_8785_form_and_as_its_text(value: Any) -> None:
    hashed = hash_content({"input": value})
    # The library refuses large integers, which RFC 8785 has for the doubles that they are.
    doubles = json.loads(
        hashed.input_json, parse_int=lambda digits: float(digits) if len(digits) > 15 else int(digits)
    )
    assert hashed.content_hash == hashlib.sha256(rfc8785.dumps({"input": doubles})).digest()
    assert content_hash({"input_json": hashed.input_json}) == hashed.content_hash.hex()
    assert json.loads(hashed.input_json) == value


def test_values_matter_and_their_spelling_does_not() -> None:
    assert content_hash({"input": 1.0}) == content_hash({"input": 1}) == content_hash({"input_json": "1e0"})
    assert content_hash({"input": math.nextafter(1, 2)}) != content_hash({"input": 1})
    assert content_hash({"input": 1, "expected_output": None}) != content_hash({"input": 1})
    assert content_hash({"input": 1, "metadata": {}}) != content_hash({"input": 1})
