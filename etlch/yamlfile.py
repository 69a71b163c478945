"""YAML files that people write (task cards, topics, configs): the data, the line of everything in it, one kind of error.

Every problem reads `file:line: found ... (expected ...)`. A key that stands twice is refused; YAML itself would keep
the last one without a word.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from etlch.errors import ManyErrors

Keys = tuple[str | int, ...]
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DEEPEST = 50  # the C loader dies of tens of thousands of brackets; no file here needs more than five


@dataclass(frozen=True, slots=True)
class YamlFile:
    """A mapping read from a file. `lines` has the line of each value by the keys and positions that lead to it."""

    path: Path
    data: dict[str, Any]
    lines: dict[Keys, int]

    def where(self, *keys: str | int) -> str:
        """`file:line` of what stands under these keys, or of the nearest thing above it where nothing does."""
        while keys not in self.lines:
            keys = keys[:-1]
        return f"{self.path}:{self.lines[keys]}"


def read(path: str | Path, expected: str) -> YamlFile:
    """Read a file that holds a mapping; `expected` says in an error of which keys.

    Raises ManyErrors for a file that cannot be read, is not UTF-8, not YAML or no mapping, or has a key twice.
    """
    path = Path(path)
    text = _text(path)
    try:
        _demand_shallow(path, text)
        loader = _Loader(text)
        node = loader.get_single_node()
        lines, repeated = _lines(path, node)
        data = loader.construct_document(node) if node else None
    except yaml.YAMLError as error:
        raise ManyErrors([f"{path}:{_line_of(error, text)}: not YAML: {_what(error)} (expected {expected})"]) from None
    except ValueError as error:  # a date such as 2020-13-01
        raise ManyErrors([f"{path}: not YAML: {error} (expected {expected})"]) from None
    if not isinstance(data, dict):
        found = "nothing" if data is None else type(data).__name__
        raise ManyErrors([f"{path}:1: found {found} (expected {expected})"])
    if repeated:
        raise ManyErrors(repeated)
    return YamlFile(path, data, lines)


def _text(path: Path) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ManyErrors([f"{path}: cannot be read ({error.strerror or error})"]) from None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        found = f"byte 0x{error.object[error.start]:02X}, {error.reason}"
        raise ManyErrors([f"{path}:{line}: not UTF-8: found {found} (expected UTF-8)"]) from None


def _demand_shallow(path: Path, text: str) -> None:
    depth = 0
    for event in yaml.parse(text, _Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > _DEEPEST:
            line = event.start_mark.line + 1
            raise ManyErrors([f"{path}:{line}: found nesting of more than {_DEEPEST} levels (expected fewer)"])


def _line_of(error: yaml.YAMLError, text: str) -> int:
    mark = getattr(error, "problem_mark", None)
    if mark:
        return min(mark.line + 1, max(1, len(text.splitlines())))  # the end of a file is not on the line after it
    return text.count("\n", 0, getattr(error, "position", 0)) + 1


def _what(error: yaml.YAMLError) -> str:
    return " ".join(str(getattr(error, "problem", None) or getattr(error, "reason", None) or error).split())


def _lines(path: Path, root: yaml.Node | None) -> tuple[dict[Keys, int], list[str]]:
    """The line of every value by its keys, and each key that stands twice in its mapping."""
    lines: dict[Keys, int] = {(): 1}
    repeated: list[str] = []
    seen = {id(root)}  # an anchor may be named again, even inside itself
    waiting: list[tuple[Keys, yaml.Node | None]] = [((), root)]
    for keys, node in waiting:
        first: dict[str | int, int] = {}
        for key, line, value in _children(node):
            lines[*keys, key] = line
            if key in first:
                repeated.append(f"{path}:{line}: found key {key!r} again (expected once; first on line {first[key]})")
            first.setdefault(key, line)
            if id(value) not in seen:
                seen.add(id(value))
                waiting.append(((*keys, key), value))
    return lines, repeated


def _children(node: yaml.Node | None) -> Iterator[tuple[str | int, int, yaml.Node]]:
    """(key or position, line, value) of what a mapping or a list holds."""
    if isinstance(node, yaml.SequenceNode):
        for number, value in enumerate(node.value):
            yield number, value.start_mark.line + 1, value
    elif isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode):
                yield key.value, key.start_mark.line + 1, value
