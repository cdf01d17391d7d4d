"""Errors as texts."""

from __future__ import annotations

import re
import traceback

from itembank.v1.result_pb2 import ResultError

max_message_bytes = 16 * 1024
max_stack_bytes = 64 * 1024
"""Limits of the contract. Texts for people are truncated rather than refused: half an explanation beats none."""

_code = re.compile(r"[\w.-]{1,64}", re.ASCII)


def to_result_error(error: BaseException) -> ResultError:
    """Converts an error to the form in which a run records it."""
    stack = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    return ResultError(
        code=_code_of(error),
        message=shortened(describe_failure(error), max_message_bytes),
        stack=shortened(stack, max_stack_bytes),
    )


def describe_failure(error: BaseException) -> str:
    """Returns the message of an error, including those of its causes."""
    try:
        own = str(error) or type(error).__name__
    except Exception:
        # The error has no usable text, but is still reported.
        own = type(error).__name__
    return f"{own}: {describe_failure(error.__cause__)}" if error.__cause__ is not None else own


def shortened(text: str, max_bytes: int) -> str:
    """Truncates a text to at most `max_bytes` of UTF-8."""
    encoded = text.encode(errors="replace")
    if len(encoded) <= max_bytes:
        return encoded.decode()
    return encoded[: max_bytes - 3].decode(errors="ignore") + "…"


def _code_of(error: BaseException) -> str:
    """Returns a short, constant code for grouping: the code that the error carries, else its class."""
    code = getattr(error, "code", None)
    if isinstance(code, str) and _code.fullmatch(code):
        return code
    status = getattr(error, "status_code", None)
    if isinstance(status, int):
        return f"HTTP_{status}"
    return type(error).__name__[:64]
