"""JSON texts, read by the rules of the contract."""

from __future__ import annotations

import json
import math
import re
from decimal import Decimal
from typing import Any, NoReturn

from itembank.payloads.json_path import JsonProblemError

max_depth = 128
"""How deep arrays and objects may nest, by the contract."""

max_safe_integer = 2**53 - 1
"""Up to here every integer is a double of its own."""


def loses_digits(integer: int) -> bool:
    """Whether an integer loses digits as a double: neither does its value equal the double nor is it what ECMAScript
    prints for that double. 9007199254740994 and 1152921504606847000 lose none, 9007199254740993 does."""
    if abs(integer) <= max_safe_integer:
        return False
    try:
        double = float(integer)
    except OverflowError:
        return True
    # From 1e21 on ECMAScript prints an exponent, which an integer literal has none of.
    printed = int(Decimal(repr(double))) if abs(double) < 1e21 else None
    return integer not in (int(double), printed)


_spaces = re.compile(r"[ \t\n\r]*")
_plain = re.compile(r'[^"\\\x00-\x1f]*')
_number = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_hex = re.compile(r"[0-9a-fA-F]{4}")
_not_json = re.compile(r"-?(NaN|Infinity)")
_escapes = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_words = {"t": ("true", True), "f": ("false", False), "n": ("null", None)}


def parse_json(text: str) -> Any:
    """Reads a JSON text that is known to be valid, such as a payload that a server returned."""
    return json.loads(text)


def read_json_text(text: str, root: str) -> Any:
    """Reads a JSON text strictly (I-JSON).

    Raises JsonProblemError if the text is not JSON or has a duplicate member name, a lone surrogate, an integer (no
    fraction, no exponent) that loses digits as a double, a number beyond the range of a double, or more than 128 levels.
    Its path starts with `root`.
    """
    return _Reader(text, root).read()


class _Reader:
    def __init__(self, text: str, root: str) -> None:
        self.text = text
        self.root = root
        self.steps: list[str | int] = []
        self.at = 0

    def read(self) -> Any:
        self.space()
        value = self.value(0)
        self.space()
        if self.at < len(self.text):
            self.unexpected()
        return value

    def value(self, depth: int) -> Any:
        first = self.text[self.at : self.at + 1]
        if first == '"':
            return self.string()
        if first == "{":
            return self.object(depth)
        if first == "[":
            return self.array(depth)
        if first in _words and first:
            word, value = _words[first]
            if not self.text.startswith(word, self.at):
                self.unexpected()
            self.at += len(word)
            return value
        return self.number()

    def object(self, depth: int) -> dict[str, Any]:
        self.enter(depth)
        members: dict[str, Any] = {}
        if self.skip("}"):
            return members
        while True:
            if self.text[self.at : self.at + 1] != '"':
                self.unexpected()
            name = self.string()
            if name in members:
                self.fail(f"duplicate member {json.dumps(name[:100], ensure_ascii=False)}")
            self.steps.append(name)
            self.space()
            if not self.skip(":"):
                self.unexpected()
            self.space()
            members[name] = self.value(depth + 1)
            goes_on = self.goes_on("}")
            self.steps.pop()
            if not goes_on:
                return members

    def array(self, depth: int) -> list[Any]:
        self.enter(depth)
        elements: list[Any] = []
        if self.skip("]"):
            return elements
        while True:
            self.steps.append(len(elements))
            elements.append(self.value(depth + 1))
            goes_on = self.goes_on("]")
            self.steps.pop()
            if not goes_on:
                return elements

    def enter(self, depth: int) -> None:
        if depth == max_depth:
            self.fail(f"more than {max_depth} levels")
        self.at += 1
        self.space()

    def goes_on(self, close: str) -> bool:
        self.space()
        if self.skip(","):
            self.space()
            return True
        if not self.skip(close):
            self.unexpected()
        return False

    def string(self) -> str:
        self.at += 1
        pieces = [self.take(_plain)]
        while not self.skip('"'):
            if not self.skip("\\"):
                self.unexpected()
            pieces.append(self.escape())
            pieces.append(self.take(_plain))
        string = "".join(pieces)
        if not string.isascii():
            try:
                # Two escapes make one character of a surrogate pair.
                string = string.encode("utf-16", "surrogatepass").decode("utf-16")
            except UnicodeDecodeError:
                self.fail("lone surrogate")
        return string

    def escape(self) -> str:
        letter = self.text[self.at : self.at + 1]
        if letter == "u":
            digits = _hex.match(self.text, self.at + 1)
            if digits is None:
                self.unexpected()
            self.at = digits.end()
            return chr(int(digits.group(), 16))
        character = _escapes.get(letter)
        if character is None:
            self.unexpected()
        self.at += 1
        return character

    def number(self) -> int | float:
        match = _number.match(self.text, self.at)
        if match is None:
            self.unexpected()
        spelled, fraction, exponent = match.group(0, 1, 2)
        value: int | float
        if fraction is None and exponent is None:
            # No double has more digits before its point, and Python refuses to read very long integers.
            if len(spelled) > 310 or math.isinf(float(spelled)):
                self.fail("number beyond the range of a double")
            value = int(spelled)
            if loses_digits(value):
                self.fail("integer that loses digits as a double")
        else:
            value = float(spelled)
            if value in (float("inf"), float("-inf")):
                self.fail("number beyond the range of a double")
        self.at = match.end()
        return value

    def skip(self, character: str) -> bool:
        if self.text[self.at : self.at + 1] != character:
            return False
        self.at += 1
        return True

    def space(self) -> None:
        self.take(_spaces)

    def take(self, expression: re.Pattern[str]) -> str:
        """Consumes and returns the match of an expression, which may be empty."""
        match = expression.match(self.text, self.at)
        assert match is not None, "expressions here match the empty text"
        self.at = match.end()
        return match.group()

    def unexpected(self) -> NoReturn:
        literal = _not_json.match(self.text, self.at)
        if literal is not None:
            self.fail(f"{literal.group(1)} is not JSON")
        if self.text == "":
            self.fail("empty text")
        if self.at >= len(self.text):
            self.fail("unexpected end of text")
        # In UTF-16 units, as the server counts.
        position = len(self.text[: self.at].encode("utf-16-le", "surrogatepass")) // 2
        self.fail(f"unexpected character at position {position}")

    def fail(self, problem: str) -> NoReturn:
        raise JsonProblemError(self.root, self.steps, problem)
