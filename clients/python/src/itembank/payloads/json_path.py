"""Paths within an item."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

max_path_length = 1000
"""The longest path in an error, in characters."""

_plain_name = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)


class JsonProblemError(ValueError):
    """A value or a text is not a valid payload."""

    def __init__(self, root: str, steps: Iterable[str | int], problem: str) -> None:
        self.path = json_path(root, steps)
        """The path of the problem: `$.input.messages[2]`."""
        self.problem = problem
        """The problem, for people."""
        super().__init__(f"{self.path}: {problem}")


def json_path(root: str, steps: Iterable[str | int]) -> str:
    """Returns the path of `steps` from `root`, in the notation of RFC 9535: `$.input.messages[2]['top-k']`. It is cut off
    before the step that would make it longer than 1,000 characters.
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
