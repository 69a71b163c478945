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
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from etlch import yamlfile
from etlch.errors import EtlchError, ManyErrors
from etlch.records import Entity, Triple
from etlch.yamlfile import YamlFile

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

TYPES_OF = {"zh-TW": TYPES, "en": TYPES_EN}

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

_HEAD = ("topic", "theme", "split", "lang")
_KEYS = (*_HEAD, "sentences")
_KEYS_OF_SENTENCE = ("text", "also", "triples")
_OF_ONE = ("sentences", "with a second wording", "entity mentions", "nested mentions", "triples", "without a triple")
NO_TOPICS = ("relations.yaml", "review.yaml")
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
    path: Path = Path()


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
    file = yamlfile.read(path, f"the keys {', '.join(_KEYS)}")
    problems = list(_problems_of_head(file))
    found = file.data.get("sentences")
    sentences = []
    for index, item in enumerate(found if isinstance(found, list) else []):
        line = file.lines["sentences", index]
        try:
            sentences.append(_sentence(item, line, TYPES_OF["en" if file.data.get("lang") == "en" else "zh-TW"]))
        except ManyErrors as errors:
            problems += [f"{file.path}:{line}: sentence {index + 1}: {p}" for p in errors.problems]
    if not problems:
        problems += [f"{file.path}:{line}: {what}" for line, what in _inconsistencies(sentences)]
    if problems:
        raise ManyErrors(problems)
    head = (file.data[key] for key in _HEAD)
    return Topic(file.path.stem, *head, tuple(sentences), file.path)


def load_files(paths: Iterable[Path]) -> tuple[list[Topic], list[str]]:
    """The topics of the files that are right, and the problems of all the others, repeated sentences among them."""
    topics: list[Topic] = []
    problems: list[str] = []
    seen: dict[str, str] = {}
    for path in paths:
        try:
            topic = load_topic(path)
        except ManyErrors as errors:
            problems += errors.problems
            continue
        topics.append(topic)
        problems += _repeated(path, topic, seen)
    return topics, problems


def load_topics(folder: str | Path) -> list[Topic]:
    """Read every topic of a folder, sorted by file name. Raises ManyErrors with the problems of all the files."""
    topics, problems = load_files(topic_files(Path(folder)))
    if problems:
        raise ManyErrors(problems)
    return topics


def topic_files(folder: Path) -> list[Path]:
    """The topic files of a folder, by name. Raises EtlchError when there is none."""
    paths = sorted(path for path in folder.glob("*.yaml") if path.name not in NO_TOPICS)
    if not paths:
        raise EtlchError(f"{folder}: no topic file (expected *.yaml)")
    return paths


def _repeated(path: Path, topic: Topic, seen: dict[str, str]) -> Iterator[str]:
    """Sentences that stand in an earlier place too; `seen` maps the sentences so far to their places."""
    for sentence in topic.sentences:
        for wording in sentence.wordings:
            where = f"{path}:{sentence.line}"
            first = seen.setdefault(wording.text, where)
            if first != where:
                yield f"{where}: the same sentence as {first}: {wording.text[:40]}"


def _problems_of_head(file: YamlFile) -> Iterator[str]:
    allowed = {"theme": THEMES, "split": ("train", "validation", "test"), "lang": ("zh-TW", "en")}
    for key in _HEAD:
        value = file.data.get(key)
        if not isinstance(value, str) or not value:
            yield f"{file.where(key)}: {key}: found {value!r} (expected a string)"
        elif key in allowed and value not in allowed[key]:
            yield f"{file.where(key)}: {key}: found {value!r} (expected one of {', '.join(allowed[key])})"
    for key in file.data:
        if key not in _KEYS:
            yield f"{file.where(key)}: unknown key {key!r} (expected {', '.join(_KEYS)})"
    sentences = file.data.get("sentences")
    if not isinstance(sentences, list) or not sentences:
        yield f"{file.where('sentences')}: sentences: found {sentences!r:.40} (expected a list)"


def _sentence(item: Any, line: int, types: tuple[str, ...]) -> Sentence:
    """One sentence; raises ManyErrors with its problems."""
    if not isinstance(item, dict) or "text" not in item:
        raise ManyErrors([f"found {item!r:.60} (expected keys text, also, triples)"])
    problems = [f"unknown key {k!r} (expected text, also, triples)" for k in item if k not in _KEYS_OF_SENTENCE]
    wordings: dict[str, Wording] = {}
    for key in ("text", "also"):
        if key in item:
            try:
                wordings[key] = _wording(item[key], types)
            except EtlchError as error:
                problems.append(f"{key}: {error}")
    triples = []
    for written in _list(item, "triples", problems):
        try:
            triples.append(_triple(written, wordings))
        except EtlchError as error:
            problems.append(str(error))
    if len({wording.text for wording in wordings.values()}) < len(wordings):
        problems.append("also: the same words as text (expected a second wording)")
    if problems:
        raise ManyErrors(problems)
    return Sentence(tuple(wordings.values()), tuple(dict.fromkeys(triples)), line)


def _list(item: dict[str, Any], key: str, problems: list[str]) -> list[Any]:
    value = item.get(key) or []
    if not isinstance(value, list):
        problems.append(f"{key}: found {value!r:.40} (expected a list)")
        return []
    return value


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


def _triple(written: Any, wordings: dict[str, Wording]) -> Triple:
    head, relation, tail = parse_triple(written)
    for role, value in (("head", head), ("tail", tail)):
        for name, wording in wordings.items():
            if value not in wording.text:
                raise EtlchError(f"triple {written!r}: {role} {value!r} is not in {name!r}: {wording.text}")
    types = {e.text: e.type for wording in wordings.values() for e in wording.entities}
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
    """The counts of these topics. An alias is the tail of a triple 別名 (in English "also known as")."""
    sentences = [s for t in topics for s in t.sentences]
    first = [s.wordings[0] for s in sentences]
    triples = [triple for s in sentences for triple in s.triples]
    return {
        "topics": len(topics),
        "test topics": sum(t.split == "test" for t in topics),
        "themes": len({t.theme for t in topics}),
        "sentences": len(sentences),
        "with a second wording": sum(len(s.wordings) == 2 for s in sentences),
        "without a triple": sum(not s.triples for s in sentences),
        "with three triples or more": sum(len(s.triples) >= 3 for s in sentences),
        "entity mentions": sum(len(w.entities) for w in first),
        "entity types": len({e.type for w in first for e in w.entities}),
        "nested mentions": sum(map(_nested, first)),
        "triples": len(triples),
        "relations": len({t.relation for t in triples}),
        "aliases": sum(t.relation in ("別名", "also known as") for t in triples),
        "characters": sum(len(w.text) for w in first),
    }


def _nested(wording: Wording) -> int:
    spans = [e.spans[0] for e in wording.entities]
    return sum(any(o != s and o[0] <= s[0] and s[1] <= o[1] for o in spans) for s in spans)


def by_language(topics: list[Topic]) -> dict[str, dict[str, int]]:
    """The counts of the topics of each language, Traditional Chinese first."""
    languages = sorted({t.lang for t in topics}, reverse=True)
    return {lang: summary([t for t in topics if t.lang == lang]) for lang in languages}


def table(topics: list[Topic]) -> str:
    """The counts, one a line, a column for each language."""
    counts = by_language(topics)
    rows = [("", *counts)]
    rows += [(name, *(f"{of_one[name]:,}" for of_one in counts.values())) for name in summary([])]
    return "\n".join(f"{name:<28}" + "".join(f"{cell:>9}" for cell in cells) for name, *cells in rows)


def line(topic: Topic) -> str:
    """The counts of one topic, in a line."""
    counts = summary([topic])
    return f"{topic.slug}: " + ", ".join(f"{counts[name]} {name}" for name in _OF_ONE)
