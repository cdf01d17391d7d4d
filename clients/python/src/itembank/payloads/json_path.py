"""Places within an item."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

max_path_length = 1000
"""Longest path that an error quotes, in characters."""

_plain_name = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)


class JsonProblemError(ValueError):
    """Why a value or a text cannot be a payload."""

    def __init__(self, root: str, steps: Iterable[str | int], problem: str) -> None:
        self.path = json_path(root, steps)
        """Where: `$.input.messages[2]`."""
        self.problem = problem
        """What, in words for people."""
        super().__init__(f"{self.path}: {problem}")


def json_path(root: str, steps: Iterable[str | int]) -> str:
    """The place that `steps` lead to from `root`, in the manner of RFC 9535: `$.input.messages[2]['top-k']`. Steps that
    would make it longer than 1,000 characters are left off.
    """
    path = root
    for step in steps:
        longer = path + (f"[{step}]" if isinstance(step, int) else _member(step))
        if len(longer) > max_path_length:
            break
        path = longer
    return path


def _member(name: str) -> str:
    if _plain_name.fullmatch(name):
        return f".{name}"
    quoted = name.replace("\\", "\\\\").replace("'", "\\'")
    return "['" + "".join(json.dumps(one)[1:-1] if one < " " else one for one in quoted) + "']"
