"""The instruction of the MF-NER paper (Listing 1): dataset guideline line, format line, text.

The paper prints the template, not the format lines; those below are ours. They name the format and the types asked for,
since no model could know either. A `single_*` prompt asks for one type. conv_term asks type by type: in training one
conversation a text, whose turns all count in the loss; at inference one prompt a type without the turns before, as UniNER
does, so that no gold answer stands in a prompt.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

from etlch.formats import FORMATS, FormatError, Schema, terms
from etlch.records import Record

TEMPLATE = (
    "The task you need to complete is named entity recognition. Follow {dataset} guidelines.\n{format}\nText: {text}"
)
TWELVE = tuple(
    name
    for name, form in FORMATS.items()
    if form.part == "entities" and name.startswith(("conv_", "single_", "multi_"))
)
CONVERSATION = "conv_term"
UNRENDERED = "Answer:"  # the label of a test row whose gold the format cannot hold; scoring never reads it

Row = dict[str, object]


@dataclass(frozen=True, slots=True)
class Question:
    """One prompt about a text: the types asked for, and turns (question, answer) before it in the conversation."""

    types: tuple[str, ...]
    prompt: str
    answer: str
    history: tuple[tuple[str, str], ...] = ()


def one_type(name: str) -> bool:
    """Whether a prompt of this format asks for one type."""
    return FORMATS[name].can.types != "many"


def instruction(name: str, dataset: str, types: Sequence[str], text: str) -> str:
    """The prompt for these types; of conv_term the first turn, which asks for the first type."""
    if name == CONVERSATION:
        line = f"Format: {name}, one type a turn."
        return TEMPLATE.format(dataset=dataset, format=line, text=f"{text}\nType: {types[0]}")
    word = "Type" if one_type(name) else "Types"
    return TEMPLATE.format(dataset=dataset, format=f"Format: {name}. {word}: {', '.join(types)}.", text=text)


def training(name: str, record: Record, dataset: str, types: Sequence[str]) -> Question:
    """A training example. `types`: of a `single_*` format the one to ask for, else all of the corpus; mentions of
    other types are left to other prompts.

    Raises FormatError for what the format cannot represent.
    """
    types = tuple(types)
    record = replace(record, entities=tuple(entity for entity in record.entities if entity.type in types))
    prompt = instruction(name, dataset, types, record.text)
    if name != CONVERSATION:
        return Question(types, prompt, FORMATS[name].render(record, Schema(types)))
    first, *rest = terms.turns(record, Schema(types))
    turns = ((prompt, first[1]), *rest)
    return Question(types, turns[-1][0], turns[-1][1], turns[:-1])


def asked(name: str, record: Record, dataset: str, types: Sequence[str]) -> list[Question]:
    """The prompts that ask for all these types: one, or one a type."""
    found = []
    for wanted in [(kind,) for kind in types] if one_type(name) else [tuple(types)]:
        try:
            answer = training(name, record, dataset, wanted).answer
        except FormatError:
            answer = UNRENDERED
        found.append(Question(wanted, instruction(name, dataset, wanted, record.text), answer))
    return found


def row(question: Question, name: str, record: Record, history: bool) -> Row:
    """A LlamaFactory row; `record`, `format` and `types` are for scoring. The id is unique within a file of one format."""
    made: Row = {
        "id": "/".join((record.id, name, *question.types)),
        "record": record.id,
        "format": name,
        "types": json.dumps(question.types, ensure_ascii=False),
        "instruction": question.prompt,
        "input": "",
        "output": question.answer,
    }
    return made | {"history": [list(turn) for turn in question.history]} if history else made
