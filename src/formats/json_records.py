"""Read the records of a JSON file: one object a line, an array of objects, or objects that hold lists of them."""

import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import IO, Any

from src.core.errors import UserError
from src.formats.bounds import LONGEST_LINE, TOO_LONG, Refused

Open = Callable[[], AbstractContextManager[IO[str]]]
"""Opens the text of a file from its beginning."""

BLOCK = 1 << 16
BETWEEN = re.compile(r"[\s,\ufeff]*")
"""White space and commas stand between values."""
NEAR_END = 64
"""Characters before the end of what was read within which an error may come from what is still to be read."""
DEPTH = 4
"""Objects inside objects in which lists of records are looked for."""
MOST_DIGITS = 1000
"""Digits of a number above which it stays text: Python refuses to read some thousands of them."""
LARGEST = 64 << 20
"""Bytes of memory that the text of a value may take."""
BYTES_BY_SIGN = {"{": 240, "[": 80, ",": 64}
"""About how many bytes an object, a list and a further item take besides their text."""
LARGEST_DECODED = 256 << 20
"""Bytes of memory that a value may take."""
NO_OBJECT, TOO_DEEP = "not a JSON object", "nested too deeply"
MOST_NESTED = 100
"""Lists and objects inside each other in a record."""
OUTSIDE, INSIDE, NUMBER_END = re.compile(r'["\[\]{}]'), re.compile(r'"|\\.', re.DOTALL), re.compile(r"[\s,\]]")
"""Which signs decide where a value ends: outside a string, inside one, and after a number."""


def _integer(digits: str) -> int | str:
    return int(digits) if len(digits) <= MOST_DIGITS else digits


DECODER = json.JSONDecoder(parse_int=_integer)


def lookup(record: Any, name: str) -> Any:
    """Return a field, None if there is none: dots in its name reach into objects, numbers into lists.

    A key that contains the dots itself comes first.
    """
    if isinstance(record, dict):
        if name in record:
            return record[name]
        for dot in re.finditer(r"\.", name):
            key, rest = name[: dot.start()], name[dot.end() :]
            if key in record and (found := lookup(record[key], rest)) is not None:
                return found
    elif isinstance(record, list):
        place, _, rest = name.partition(".")
        if place.isdecimal() and int(place) < len(record):
            return lookup(record[int(place)], rest) if rest else record[int(place)]
    return None


def field_names(record: Any, depth: int = DEPTH) -> list[str]:
    """List the names by which lookup finds the fields of a record; those of lists by their first item."""
    if isinstance(record, list):
        record = {"0": record[0]} if record else {}
    names = []
    for key, value in record.items():
        inner = field_names(value, depth - 1) if depth and isinstance(value, dict | list) else []
        names += [f"{key}.{name}" for name in inner] or [key]
    return names


def json_records(open_text: Open, wanted: Sequence[str]) -> Iterator[tuple[str, dict[str, Any] | None]]:
    """Yield each record, in order, with its JSON text; None if it is not an object (problem_of says why not).

    An object without the `wanted` fields that holds lists of objects with them, also empty ones, stands for those
    objects.

    Raises:
        UserError: the file is not one value a line, and a value is not valid JSON.
    """
    with open_text() as file:
        one_a_line = _has_one_a_line(file)
    with open_text() as file:
        for text, value in _lines(file) if one_a_line else ((None, value) for value in _Values(file).read()):
            inner = _page(value, wanted) if isinstance(value, dict) else []
            yield from map(_record, inner) if inner else [_record(value, text)]


def problem_of(text: str) -> str:
    """Return why json_records found no object in a text."""
    return text.problem if isinstance(text, Refused) else NO_OBJECT


def _record(value: Any, text: str | None = None) -> tuple[str, dict[str, Any] | None]:
    """Return a value with its text, None for the value if it is not an object that can be used."""
    if isinstance(value, Refused):
        return value, None
    if _is_deep(value):
        return Refused(text or "", TOO_DEEP), None
    text = json.dumps(value, ensure_ascii=False) if text is None else text
    return text, value if isinstance(value, dict) else None


def _is_deep(value: Any) -> bool:
    """Return whether lists and objects are nested more than MOST_NESTED times, without recursion."""
    level = [value]
    for _ in range(MOST_NESTED):
        level = [
            item
            for each in level
            if isinstance(each, dict | list)
            for item in (each.values() if isinstance(each, dict) else each)
            if isinstance(item, dict | list)
        ]
        if not level:
            return False
    return True


def is_array(open_text: Open) -> bool:
    """Return whether a file is one JSON value, or several, that are not one a line."""
    with open_text() as file:
        return not _has_one_a_line(file)


def _has_one_a_line(file: IO[str]) -> bool:
    """Tell by the first value whether each line is a value; damaged lines count as such, to be rejected one by one."""
    start = ""
    while not start and (line := file.readline(BLOCK)):
        start = line.strip(" \t\r\n\ufeff")
    if not start.startswith(("{", "[")):
        return True
    if start.startswith("["):
        return False
    try:
        DECODER.decode(start)
    except (ValueError, RecursionError):
        pass
    else:
        return True
    try:
        return isinstance(next(_Values(file, start=line).read()), Refused)
    except TooLargeError:
        return not line.endswith("\n")
    except UserError:
        return True


def _lines(file: IO[str]) -> Iterator[tuple[str | None, Any]]:
    for line in file:
        if text := line.strip(" \t\r\n\ufeff"):
            try:
                yield (line, None) if isinstance(line, Refused) else (text, DECODER.decode(text))
            except ValueError:
                yield text, None
            except RecursionError:
                yield Refused(text, TOO_DEEP), None


class TooLargeError(UserError):
    """A value that is no item of an array takes too much memory."""


class _Values:
    """Reads the values of a file one after the other, and those in an array; memory holds one value at a time."""

    def __init__(self, file: IO[str], start: str = "") -> None:
        self._file, self._text, self._place, self._count = file, start, 0, 0
        self._ended = self._inside = False
        self._decode = DECODER.raw_decode

    def read(self) -> Iterator[Any]:
        """Yield the values; Refused for an item of an array that is too large or nested too deeply."""
        while sign := self._next_sign():
            if sign == ("]" if self._inside else "["):
                self._inside = not self._inside
                self._place += 1
            else:
                yield self._value()
                self._count += 1
        if self._inside:
            raise UserError(f"the array does not end: it is cut off after {self._count} records; export it again")

    def _next_sign(self) -> str:
        while True:
            found = BETWEEN.match(self._text, self._place)
            self._place = found.end() if found else self._place
            if self._place < len(self._text):
                return self._text[self._place]
            if not self._read_more():
                return ""

    def _value(self) -> Any:
        while True:
            try:
                value, end = self._decode(self._text, self._place)
                complete = end < len(self._text) or not self._read_more()
            except RecursionError:
                return self._skip(TOO_DEEP)
            except json.JSONDecodeError as error:
                cut_off = error.pos >= len(self._text) - NEAR_END or error.msg.startswith("Unterminated string")
                if not cut_off or not self._read_more():
                    raise UserError(
                        f"not valid JSON after {self._count} records ({error.msg}); export it again"
                    ) from None
                complete = False
            if complete:
                self._place = end
                return value
            if self._is_large():
                if not self._inside:
                    raise TooLargeError(
                        f"a JSON value takes more than {LARGEST >> 20} MB; write one record a line (.jsonl)"
                    )
                return self._skip(TOO_LONG)

    def _is_large(self) -> bool:
        """Return whether what was read of a value takes too much memory."""
        counted = sum(size * self._text.count(sign) for sign, size in BYTES_BY_SIGN.items())
        return sys.getsizeof(self._text) > LARGEST or counted > LARGEST_DECODED

    def _skip(self, problem: str) -> Refused:
        """Go to the end of a value without decoding it; return its beginning."""
        start, depth, in_string = self._text[self._place : self._place + LONGEST_LINE], 0, False
        in_number = start[:1] not in ('"', "[", "{")
        while True:
            pattern = NUMBER_END if in_number else INSIDE if in_string else OUTSIDE
            found = pattern.search(self._text, self._place)
            if found is None:
                self._place = len(self._text) - (in_string and self._text.endswith("\\"))
                if not self._read_more():
                    raise UserError(f"a value does not end: it is cut off after {self._count} records; export it again")
                continue
            self._place = found.end()
            if in_number:
                self._place = found.start()
                return Refused(start, problem)
            in_string = (found[0] == '"') != in_string
            if not in_string:
                depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(found[0], 0)
                if not depth:
                    return Refused(start, problem)

    def _read_more(self) -> bool:
        """Read as much again as is held already, so that a large value is not decoded too often."""
        self._text, self._place = self._text[self._place :], 0
        block = "" if self._ended else self._file.read(max(BLOCK, len(self._text)))
        self._ended = not block
        self._text += block
        return bool(block)


def _page(value: dict[str, Any], wanted: Sequence[str]) -> list[Any]:
    """Return the records inside an object that is none itself.

    The records of a page may all lack a field; then the page itself has none of the wanted ones.
    """
    present = [_has(value, name) for name in wanted]
    if all(present):
        return []
    return list(_inner_records(value, wanted, DEPTH, all)) or (
        [] if any(present) else list(_inner_records(value, wanted, DEPTH, any))
    )


def _inner_records(
    value: dict[str, Any], wanted: Sequence[str], depth: int, enough: Callable[[Iterable[bool]], bool]
) -> Iterator[Any]:
    """Yield the items of all lists inside an object in which an object has enough of the wanted fields."""
    for inner in value.values():
        if isinstance(inner, dict) and depth:
            yield from _inner_records(inner, wanted, depth - 1, enough)
        elif isinstance(inner, list) and any(enough(_has(item, name) for name in wanted) for item in inner):
            yield from inner


def _has(record: Any, name: str) -> bool:
    """Tell whether a record has a field, be it empty."""
    above, _, last = name.rpartition(".")
    within = lookup(record, above) if above else record
    return (isinstance(within, dict) and last in within) or lookup(record, name) is not None
