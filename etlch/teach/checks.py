"""Is an answer good enough? Every stage is read with the parsers that score models, and found again in the article."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TypeVar

from etlch.formats import FORMATS, FormatError, Parsed, Schema
from etlch.formats.surface import names
from etlch.records import Entity, Record, Triple
from etlch.tasks import Card

_HARMLESS = ("text around the JSON object", "the same again")
_FIELDS = FORMATS["json_fields"]
_SHOWN = 5  # so many problems are told to the teacher

EMPTY, CUT, LENGTH = "empty answer", "cut at the token limit", "length"
FORM, ABSENT, NOTHING = "not the format", "not in the article", "nothing found"

Item = TypeVar("Item")


class AnswerError(Exception):
    """An answer that is not good enough. `kind` is counted, `reason` is told to the teacher."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind, self.reason = kind, reason


def answer_text(answer: str, finish: str) -> str:
    """The answer without the thoughts that some models put before it. Raises AnswerError when it is empty or cut."""
    text = answer.rpartition("</think>")[2].replace("\r\n", "\n").strip()
    if finish == "length":
        raise AnswerError(CUT, "the answer was too long and was cut")
    if not text:
        raise AnswerError(EMPTY, "the answer is empty")
    return text


def article_text(text: str, wanted: int) -> str:
    """An article of a quarter to four times the wanted length, in characters."""
    if not wanted / 4 <= len(text) <= wanted * 4:
        raise AnswerError(LENGTH, f"the article has {len(text)} characters (expected about {wanted})")
    return text


def instruction_and_keys(text: str) -> tuple[str, tuple[str, ...]]:
    """What to extract from an article (the paper's section 4, 1.2): an instruction that names each of its keys and states the
    schema rule."""
    parsed = _FIELDS.parse(text, Schema(("keys", "instruction")), "")
    _demand_form(parsed)
    fields = dict(parsed.fields)
    keys, words = fields["keys"], " ".join(fields["instruction"]).strip()
    if not keys or not words:
        raise AnswerError(NOTHING, "keys and instruction may not be empty")
    for key in keys:
        if not key.strip() or keys.count(key) > 1:
            raise AnswerError(FORM, f"key {key!r} is blank or stands twice")
        if key not in words:
            raise AnswerError(FORM, f"the instruction does not name the key {key!r}")
    if "list" not in words.lower():
        raise AnswerError(FORM, "the instruction does not state the rule that every value is a list without nesting")
    return words, keys


def gold_pairs(text: str, keys: tuple[str, ...], source: str) -> list[tuple[str, str]]:
    """(key, value) of an answer that has exactly these keys."""
    parsed = _FIELDS.parse(text, Schema(keys), source)
    pairs = [(key, value) for key, values in parsed.fields for value in values]
    return _grounded(parsed, pairs, [value for _, value in pairs], source)


def entities(text: str, card: Card, record: Record) -> list[Entity]:
    """The (type, surface) pairs of an answer, each once, without spans."""
    parsed = card.parse(text, record)
    found = _grounded(parsed, parsed.entities, [entity.text for entity in parsed.entities], record.text)
    if any(not entity.type.strip() for entity in found):
        raise AnswerError(FORM, "a type is blank")
    return found


def triples(text: str, card: Card, record: Record) -> list[Triple]:
    """The triples of an answer, each once, of parts that the format can carry."""
    parsed = card.parse(text, record)
    ends = [part for triple in parsed.triples for part in (triple.head, triple.tail)]
    found = _grounded(parsed, parsed.triples, ends, record.text)
    try:
        card.answer(Record(id=record.id, text=record.text, triples=parsed.triples))
    except FormatError as error:
        raise AnswerError(FORM, str(error)) from None
    return found


def occurrences(surface: str, text: str) -> list[tuple[int, int]]:
    """Where a surface stands in a text, as [start, end); a Latin word or number not inside a longer one."""
    before = r"(?<![A-Za-z0-9])" if surface[:1].isascii() and surface[:1].isalnum() else ""
    after = r"(?![A-Za-z0-9])" if surface[-1:].isascii() and surface[-1:].isalnum() else ""
    return [match.span() for match in re.finditer(before + re.escape(surface) + after, text)]


def _demand_form(parsed: Parsed) -> None:
    problems = [problem for problem in parsed.problems if not problem.startswith(_HARMLESS)]
    if parsed.status == "invalid" or problems:
        raise AnswerError(FORM, "; ".join(problems[:_SHOWN]))


def _grounded(parsed: Parsed, items: Iterable[Item], surfaces: Sequence[str], source: str) -> list[Item]:
    """The items of an answer in its format that has some, all surfaces of which stand in the article."""
    _demand_form(parsed)
    if not surfaces:
        raise AnswerError(NOTHING, "there is nothing in the answer")
    absent = [s for s in dict.fromkeys(surfaces) if s != s.strip() or not names(s) or not occurrences(s, source)]
    if absent:
        shown = ", ".join(repr(surface[:40]) for surface in absent[:_SHOWN])
        raise AnswerError(ABSENT, f"not found in the article letter for letter: {shown}")
    return list(dict.fromkeys(items))
