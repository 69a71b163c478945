"""YAML files that people write (task cards, topics, configs): the data, the line of everything in it, one kind of error.

Every problem reads `file:line: found ... (expected ...)`. A key that stands twice is refused; YAML itself would keep
the last one without a word.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, get_args, get_type_hints

import yaml

from etlch.errors import EtlchError, ManyErrors

Keys = tuple[str | int, ...]
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_T = TypeVar("_T")
_STRICT = {"extra": "forbid", "coerce_numbers_to_str": True}
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


def read_folder(
    folder: str | Path, load: Callable[[Path], _T], what: str, family: Callable[[_T], str] | None = None
) -> list[_T]:
    """What `load` makes of each YAML file of a folder, by file name; each needs a `name` of its own (in its family, if that is given).

    Raises EtlchError for a folder without any, ManyErrors with the problems of all the files.
    """
    paths = sorted(Path(folder).glob("*.yaml"))
    if not paths:
        raise EtlchError(f"{folder}: no {what} (expected *.yaml)")
    loaded: dict[tuple[str, str], _T] = {}
    problems: list[str] = []
    for path in paths:
        try:
            item = load(path)
        except ManyErrors as errors:
            problems += errors.problems
            continue
        kin = family(item) if family else ""
        if loaded.setdefault((kin, item.name), item) is not item:
            within = f" in family {kin!r}" if family else ""
            problems.append(f"{path}: name: {item.name!r} again (expected a name of its own{within})")
    if problems:
        raise ManyErrors(problems)
    return list(loaded.values())


def build(kind: type[_T], file: YamlFile, keys: Iterable[str] = ()) -> _T:
    """An instance of a dataclass (of dataclasses), of what a file holds; `keys`: what may stand in it, if not its fields.

    Raises ManyErrors with every unknown key, missing key and value of a wrong type.
    """
    from pydantic import TypeAdapter, ValidationError

    try:
        (built,) = TypeAdapter(tuple[kind], config=_STRICT).validate_python([file.data])
    except ValidationError as error:
        raise ManyErrors([_problem(kind, file, keys, **found) for found in error.errors()]) from None
    return built


def _problem(
    kind: Any, file: YamlFile, keys: Iterable[str], loc: Keys, type: str, msg: str, input: Any, **_: Any
) -> str:
    where = loc[1:]  # without the place in the tuple
    *above, name = [part for part in where if part != "[key]"]
    if type == "unexpected_keyword_argument":
        known = keys if keys and not above else [f.name for f in fields(_at(kind, above))]
        return f"{file.where(*where)}: unknown key {name!r} (expected {', '.join(known)})"
    if type == "missing":
        return f"{file.where(*where)}: {name}: missing"
    at = next((part for part in reversed((*above, name)) if isinstance(part, str)), name)
    expected = msg.removeprefix("Input should be ").replace("tuple", "list").replace("dictionary", "mapping")
    return f"{file.where(*where)}: {at}: found {input!r:.60} (expected {expected})"


def _at(kind: Any, where: Iterable[str | int]) -> Any:
    """The type of what stands under these keys in a dataclass."""
    for part in where:
        kind = get_type_hints(kind)[part] if is_dataclass(kind) else [a for a in get_args(kind) if a is not ...][-1]
    return kind


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
        children: list[tuple[str | int, yaml.Node, yaml.Node]] = []  # key or position, where it is told, value
        if isinstance(node, yaml.SequenceNode):
            children = [(number, value, value) for number, value in enumerate(node.value)]
        elif isinstance(node, yaml.MappingNode):
            children = [(key.value, key, value) for key, value in node.value if isinstance(key, yaml.ScalarNode)]
        first: dict[str | int, int] = {}
        for key, told, value in children:
            lines[*keys, key] = line = told.start_mark.line + 1
            if key in first:
                repeated.append(f"{path}:{line}: found key {key!r} again (expected once; first on line {first[key]})")
            first.setdefault(key, line)
            if id(value) not in seen:
                seen.add(id(value))
                waiting.append(((*keys, key), value))
    return lines, repeated
