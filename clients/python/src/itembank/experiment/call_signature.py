"""The parameters of the functions that users pass."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any


def takes_two(task: Callable[..., Any]) -> bool:
    """Whether a task takes its context as well. A task that cannot be inspected gets the item alone."""
    signature = _signature(task)
    if signature is None:
        return False
    parameters = signature.parameters.values()
    positional = [one for one in parameters if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)]
    required = [one for one in positional if one.default is one.empty]
    return len(required) >= 2 or any(one.name == "context" for one in positional[1:])


def can_bind(function: Callable[..., Any], arguments: int) -> bool:
    """Whether a function can be called with so many arguments. One that cannot be inspected is assumed to."""
    signature = _signature(function)
    if signature is None:
        return True
    try:
        signature.bind(*[None] * arguments)
    except TypeError:
        return False
    return True


def describe_parameters(function: Callable[..., Any]) -> str:
    """Returns the parameters of a function for a message, without types."""
    signature = _signature(function)
    names = signature.parameters.values() if signature is not None else ()
    bare = [one.replace(annotation=one.empty) for one in names]
    return str(inspect.Signature(bare))


def _signature(function: Callable[..., Any]) -> inspect.Signature | None:
    try:
        return inspect.signature(function)
    except (TypeError, ValueError):
        return None
