"""The knowledge base: one YAML file a topic, sentences in reading order with inline entities and triples.

    topic: 黃金比例
    theme: 自然科學
    split: train
    lang: zh-TW
    sentences:
      - text: "[黃金比例|自然科學]的數值約為[1.618|度量]。"
        also: "約等於[1.618|度量]的數，稱為[黃金比例|自然科學]。"
        triples: [黃金比例－數值約為－1.618]

`[surface|type]` marks an entity and may be nested. `also` is a second wording of the same facts. A triple is written
`head－relation－tail` with the full-width hyphen; its head and tail must stand in every wording of the sentence, so
that any article that holds the sentence also holds the triple. data/knowledge/README.md is the authoring guide.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from etlch.errors import EtlchError, ManyErrors
from etlch.records import Entity, Triple

TYPES = (
    "人物",
    "組織",
    "地理地區",
    "建築結構",
    "產品",
    "生物",
    "醫學",
    "事件",
    "運輸",
    "天文對象",
    "時間",
    "度量",
    "專業",
    "自然科學",
)
"""The 14 entity types: InstructIE's, in Traditional Chinese, with 自然科學 (substances, phenomena, laws, concepts) in
the place of its 文本 (free text)."""

TYPES_EN = (
    "person",
    "organization",
    "location",
    "structure",
    "product",
    "organism",
    "medicine",
    "event",
    "transport",
    "celestial body",
    "time",
    "measure",
    "profession",
    "science",
)
"""The same fourteen for topics with `lang: en`, in the same order."""

THEMES = (
    "人物",
    "地理地區",
    "建築結構",
    "作品",
    "生物",
    "人造物件",
    "自然科學",
    "組織",
    "運輸",
    "事件",
    "天文對象",
    "醫學",
)
"""The twelve themes of InstructIE, Table 2."""

SEPARATOR = "－"
_LEAST_LENGTH = 2  # shorter surfaces (鐵 in 地鐵) are not looked for unmarked


@dataclass(frozen=True, slots=True)
class Wording:
    """One wording of a sentence: plain text, and entities with offsets into it."""

    text: str
    entities: tuple[Entity, ...]


@dataclass(frozen=True, slots=True)
class Sentence:
    """One or two wordings of the same facts, and the triples that each of them states."""

    wordings: tuple[Wording, ...]
    triples: tuple[Triple, ...]
    line: int


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic file."""

    slug: str
    name: str
    theme: str
    split: str
    lang: str
    sentences: tuple[Sentence, ...]


def parse_markup(marked: str) -> Wording:
    """Turn `[surface|type]` markup into plain text and entities, outermost first among those that start together.

    Raises EtlchError saying what is wrong and where.
    """
    plain: list[str] = []
    size = 0
    opened: list[int] = []
    entities: list[tuple[int, int, str]] = []
    position = 0
    for match in re.finditer(r"\[|\|([^\[\]|]*)\]|[\]|]", marked):
        chunk = marked[position : match.start()]
        plain.append(chunk)
        size += len(chunk)
        position = match.end()
        if match[0] == "[":
            opened.append(size)
        elif match[1] is None:
            raise EtlchError(f"found {match[0]!r} alone near {_near(marked, match.start())} (expected [surface|type])")
        elif not opened:
            raise EtlchError(f"found {match[0]!r} without its '[' near {_near(marked, match.start())}")
        else:
            start = opened.pop()
            if start == size:
                raise EtlchError(f"an entity without a surface near {_near(marked, match.start())}")
            entities.append((start, size, match[1]))
    if opened:
        raise EtlchError(f"'[' is never closed near {_near(marked, marked.rfind('['))} (expected [surface|type])")
    plain.append(marked[position:])
    text = "".join(plain)
    entities.sort(key=lambda e: (e[0], -e[1]))
    return Wording(text, tuple(Entity(text[s:e], kind, ((s, e),)) for s, e, kind in entities))


def parse_triple(written: str) -> tuple[str, str, str]:
    """Split `head－relation－tail`. Raises EtlchError unless there are exactly three parts, none empty."""
    parts = [part.strip() for part in str(written).split(SEPARATOR)]
    if len(parts) != 3 or not all(parts):
        raise EtlchError(f"triple {written!r} has {len(parts)} parts (expected head－relation－tail, with two '－')")
    return parts[0], parts[1], parts[2]


def load_topic(path: str | Path) -> Topic:
    """Read and check one topic file. Raises ManyErrors with every problem as `file:line: ...`."""
    path = Path(path)
    row, lines = _load_yaml(path)
    problems: list[str] = []
    _check_head(path, row, problems)
    sentences = []
    for index, item in enumerate(row.get("sentences") or []):
        line = lines[index] if index < len(lines) else 1
        try:
            sentences.append(_sentence(item, line, TYPES_EN if row.get("lang") == "en" else TYPES))
        except ManyErrors as errors:
            problems += [f"{path}:{line}: sentence {index + 1}: {p}" for p in errors.problems]
    if not problems:
        problems += [f"{path}:{line}: {what}" for line, what in _inconsistencies(sentences)]
    if problems:
        raise ManyErrors(problems)
    return Topic(path.stem, row["topic"], row["theme"], row["split"], row["lang"], tuple(sentences))


def load_topics(folder: str | Path) -> list[Topic]:
    """Read every topic of a folder, sorted by file name. Raises ManyErrors with the problems of all the files."""
    folder = Path(folder)
    paths = sorted(folder.glob("*.yaml"))
    if not paths:
        raise EtlchError(f"{folder}: no topic file (expected *.yaml)")
    topics, problems = [], []
    for path in paths:
        try:
            topics.append(load_topic(path))
        except ManyErrors as errors:
            problems += errors.problems
        except EtlchError as error:
            problems.append(str(error))
    seen: dict[str, str] = {}
    for topic in topics:
        for sentence in topic.sentences:
            for wording in sentence.wordings:
                where = f"{folder / topic.slug}.yaml:{sentence.line}"
                first = seen.setdefault(wording.text, where)
                if first != where:
                    problems.append(f"{where}: the same sentence as {first}: {wording.text[:40]}")
    if problems:
        raise ManyErrors(problems)
    return topics


def _load_yaml(path: Path) -> tuple[dict[str, Any], list[int]]:
    """The decoded file and the line of each sentence."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise EtlchError(f"{path}: cannot be read ({error.strerror or error})") from None
    except UnicodeDecodeError as error:
        raise EtlchError(f"{path}: not UTF-8 ({error.reason} at byte {error.start + 1})") from None
    try:
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)(text)
        node = loader.get_single_node()
        row = loader.construct_document(node) if node else None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else 1
        raise EtlchError(f"{path}:{line}: not YAML ({getattr(error, 'problem', None) or error})") from None
    if not isinstance(row, dict):
        raise EtlchError(f"{path}:1: found {type(row).__name__} (expected keys topic, theme, split, lang, sentences)")
    lines = []
    for key, value in node.value:
        if key.value == "sentences" and isinstance(value, yaml.SequenceNode):
            lines = [item.start_mark.line + 1 for item in value.value]
    return row, lines


def _check_head(path: Path, row: dict[str, Any], problems: list[str]) -> None:
    allowed = {"theme": THEMES, "split": ("train", "test"), "lang": ("zh-TW", "en")}
    for key in ("topic", "theme", "split", "lang"):
        value = row.get(key)
        if not isinstance(value, str) or not value:
            problems.append(f"{path}:1: {key}: found {value!r} (expected a string)")
        elif key in allowed and value not in allowed[key]:
            problems.append(f"{path}:1: {key}: found {value!r} (expected one of {', '.join(allowed[key])})")
    for key in sorted(set(row) - {"topic", "theme", "split", "lang", "sentences"}):
        problems.append(f"{path}:1: unknown key {key!r} (expected topic, theme, split, lang, sentences)")
    sentences = row.get("sentences")
    if not isinstance(sentences, list) or not sentences:
        problems.append(f"{path}:1: sentences: found {type(sentences).__name__} (expected a list)")
        row["sentences"] = []


def _sentence(item: Any, line: int, types: tuple[str, ...]) -> Sentence:
    """One sentence; raises ManyErrors with its problems."""
    if not isinstance(item, dict) or not isinstance(item.get("text"), str):
        raise ManyErrors([f"found {item!r:.60} (expected keys text, also, triples)"])
    problems = [
        f"unknown key {k!r} (expected text, also, triples)" for k in item if k not in ("text", "also", "triples")
    ]
    wordings = []
    for key in ("text", "also"):
        if key in item:
            try:
                wordings.append(_wording(item[key], types))
            except EtlchError as error:
                problems.append(f"{key}: {error}")
    triples = []
    for written in item.get("triples") or []:
        try:
            triples.append(_triple(written, wordings))
        except EtlchError as error:
            problems.append(str(error))
    if len(wordings) == 2 and wordings[0].text == wordings[1].text:
        problems.append("also: the same words as text (expected a second wording)")
    if problems:
        raise ManyErrors(problems)
    return Sentence(tuple(wordings), tuple(dict.fromkeys(triples)), line)


def _wording(marked: Any, types: tuple[str, ...]) -> Wording:
    if not isinstance(marked, str) or not marked.strip():
        raise EtlchError(f"found {marked!r} (expected a sentence)")
    wording = parse_markup(marked.strip())
    for entity in wording.entities:
        if entity.type not in types:
            raise EtlchError(f"unknown type {entity.type!r} of {entity.text!r} (expected one of {', '.join(types)})")
        if entity.text != entity.text.strip():
            raise EtlchError(f"entity {entity.text!r} begins or ends with a blank")
    if wording.text[-1] not in "。！？.!?」”\"'":
        raise EtlchError(f"found no full stop at the end of {wording.text[-12:]!r}")
    return wording


def _triple(written: Any, wordings: list[Wording]) -> Triple:
    head, relation, tail = parse_triple(written)
    for role, value in (("head", head), ("tail", tail)):
        for number, wording in enumerate(wordings):
            if value not in wording.text:
                name = ("text", "also")[number]
                raise EtlchError(f"triple {written!r}: {role} {value!r} is not in {name!r}: {wording.text}")
    types = {e.text: e.type for wording in wordings for e in wording.entities}
    return Triple(head, relation, tail, types.get(head, ""), types.get(tail, ""))


def _inconsistencies(sentences: list[Sentence]) -> Iterator[tuple[int, str]]:
    """Surfaces with two types, and surfaces marked in one place and left unmarked in another."""
    kinds: dict[str, str] = {}
    for sentence in sentences:
        for wording in sentence.wordings:
            for entity in wording.entities:
                if kinds.setdefault(entity.text, entity.type) != entity.type:
                    yield (
                        sentence.line,
                        f"{entity.text!r} is {entity.type} here and {kinds[entity.text]} elsewhere (expected one type a topic)",
                    )
    surfaces = sorted((s for s in kinds if len(s) >= _LEAST_LENGTH), key=len, reverse=True)
    if not surfaces:
        return
    pattern = re.compile("|".join(map(_whole_word, surfaces)))
    for sentence in sentences:
        for wording in sentence.wordings:
            covered = bytearray(len(wording.text))
            for entity in wording.entities:
                for start, end in entity.spans:
                    covered[start:end] = b"\1" * (end - start)
            for match in pattern.finditer(wording.text):
                if not any(covered[match.start() : match.end()]):
                    yield (
                        sentence.line,
                        f"{match[0]!r} is marked elsewhere as {kinds[match[0]]} but not here: {wording.text}",
                    )


def _whole_word(surface: str) -> str:
    """A pattern that finds a surface, but no Latin word or number inside a longer one."""
    before = r"(?<![A-Za-z0-9])" if surface[0].isascii() else ""
    after = r"(?![A-Za-z0-9])" if surface[-1].isascii() else ""
    return before + re.escape(surface) + after


def _near(text: str, position: int) -> str:
    return repr(text[max(0, position - 8) : position + 8])


def summary(topics: list[Topic]) -> dict[str, int]:
    """Counts that the authoring guide asks for."""
    sentences = [s for t in topics for s in t.sentences]
    return {
        "topics": len(topics),
        "test topics": sum(t.split == "test" for t in topics),
        "sentences": len(sentences),
        "with a second wording": sum(len(s.wordings) == 2 for s in sentences),
        "without a triple": sum(not s.triples for s in sentences),
        "entity mentions": sum(len(s.wordings[0].entities) for s in sentences),
        "nested mentions": sum(_nested(s.wordings[0]) for s in sentences),
        "triples": sum(len(s.triples) for s in sentences),
        "characters": sum(len(s.wordings[0].text) for s in sentences),
    }


def _nested(wording: Wording) -> int:
    spans = [e.spans[0] for e in wording.entities]
    return sum(any(o != s and o[0] <= s[0] and s[1] <= o[1] for o in spans) for s in spans)


def main(arguments: list[str]) -> int:
    """`python -m etlch.sources.knowledge FILE...`: check topic files and print their counts."""
    import sys

    failed = False
    topics = []
    for name in arguments:
        try:
            topics.append(load_topic(name))
        except EtlchError as error:
            failed = True
            print(error, file=sys.stderr)
    for topic in topics:
        print(topic.slug, " ".join(f"{k}={v}" for k, v in list(summary([topic]).items())[2:]))
    if len(topics) > 1:
        print("all", " ".join(f"{k}={v}" for k, v in summary(topics).items()))
    return 1 if failed else 0


if __name__ == "__main__":
    import sys

    raise SystemExit(main(sys.argv[1:]))
