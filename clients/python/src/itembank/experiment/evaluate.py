"""Scoring outputs."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from itembank.errors import invalid_field
from itembank.experiment.attempt import attempt
from itembank.experiment.call_signature import can_bind, describe_parameters
from itembank.experiment.error_text import describe_failure, shortened
from itembank.experiment.task import Evaluator, Evaluators, Judgement, Subject
from itembank.payloads.json_values import is_well_formed, object_json, plain_json
from itembank.v1.result_pb2 import ANNOTATOR_KIND_CODE, ANNOTATOR_KIND_HUMAN, ANNOTATOR_KIND_LLM, Score

kinds = {"code": ANNOTATOR_KIND_CODE, "llm": ANNOTATOR_KIND_LLM, "human": ANNOTATOR_KIND_HUMAN}

max_text_bytes = 16 * 1024
"""The limit of the contract on an explanation or an error."""

max_label_length = 256
max_name_length = 128


def evaluators_by_name(given: Evaluators) -> dict[str, Evaluator]:
    """Returns evaluators by name. Raises InvalidArgumentError for an invalid score name, and for a function that cannot be called
    with a subject alone, before any work is wasted."""
    if isinstance(given, Mapping):
        pairs = list(given.items())
    else:
        pairs = [(getattr(one, "__name__", type(one).__name__), one) for one in given]
    named: dict[str, Evaluator] = {}
    for name, one in pairs:
        if not isinstance(name, str) or not 1 <= len(name) <= max_name_length or not is_well_formed(name):
            raise invalid_field(
                "evaluators", f"{name!r} cannot name a score: 1 to {max_name_length} characters"
            )
        if name in named:
            raise invalid_field(
                "evaluators", f"two of them are named {name!r}: pass a dict with distinct names"
            )
        evaluator = one if isinstance(one, Evaluator) else Evaluator(one)
        if not callable(evaluator.evaluate) or evaluator.kind not in kinds:
            raise invalid_field(
                "evaluators", f"{name!r} must be a function, or an Evaluator of kind code, llm or human"
            )
        if not can_bind(evaluator.evaluate, 1):
            raise invalid_field(
                "evaluators",
                f"{name!r} takes {describe_parameters(evaluator.evaluate)}, but is called with one argument: a Subject, "
                "which has input, output, expected_output, item and repetition",
            )
        named[name] = evaluator
    return named


async def evaluate(
    name: str, evaluator: Evaluator, new_subject: Callable[[], Subject], timeout: float | None
) -> Score | None:
    """Runs an evaluator on a subject of its own. Any failure becomes the error of the score, so that it is counted and visible.
    Returns None if there is nothing to judge.
    """
    start_time = now()
    try:
        verdict = await attempt(evaluator.evaluate, (new_subject(),), timeout, threading.Event())
        if verdict is None:
            return None
        score = _judge(verdict)
    except Exception as error:
        score = Score(error=shortened(describe_failure(error), max_text_bytes))
    score.name = name
    score.annotator_kind = kinds[evaluator.kind]
    score.start_time.CopyFrom(start_time)
    score.complete_time.CopyFrom(now())
    return score


def now() -> Timestamp:
    """Returns the current time."""
    timestamp = Timestamp()
    timestamp.FromDatetime(datetime.now(timezone.utc))
    return timestamp


def _judge(verdict: Any) -> Score:
    """Converts a verdict to a score. Raises ValueError for an invalid verdict."""
    if isinstance(verdict, Judgement):
        judgement = verdict
    else:
        judgement = Judgement(label=verdict) if isinstance(verdict, str) else Judgement(value=verdict)
    # Numbers and bools of numpy and similar libraries are valid, too.
    value, label = plain_json(judgement.value, "$.value"), judgement.label
    if value is None and label is None:
        raise ValueError(
            "the evaluator returned neither a value nor a label; return None if there is nothing to judge"
        )
    if value is not None and not (isinstance(value, int | float) and math.isfinite(value)):
        raise ValueError(f"the evaluator returned {value!r}, which is not a finite number")
    if label is not None and not (isinstance(label, str) and 1 <= len(label) <= max_label_length):
        raise ValueError(
            f"the evaluator returned a label that is not a string of 1 to {max_label_length} characters"
        )
    return Score(
        value=float(value) if value is not None else None,
        label=label.encode(errors="replace").decode() if label is not None else "",
        explanation=shortened(str(judgement.explanation or ""), max_text_bytes),
        metadata_json="" if judgement.metadata is None else object_json(judgement.metadata, "$.metadata"),
    )
