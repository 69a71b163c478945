"""The bodies of requests and answers, as OpenAPI documents them."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

EXAMPLE_TEXT = "林靖雯於2019年進入臺灣大學醫學院任教，主要研究睡眠與記憶。"

Task = Annotated[str, Field(description="A task of GET /v1/tasks.", examples=["ner"])]
System = Annotated[
    str | None, Field(description="A system of GET /v1/tasks; the first one when left out.", examples=[None])
]
Keys = Annotated[
    list[Annotated[str, Field(min_length=1, max_length=100)]],
    Field(description="For tasks that need them: the names of the values wanted.", max_length=64, examples=[["人物"]]),
]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Request(_Body):
    """One text."""

    text: str = Field(min_length=1, examples=[EXAMPLE_TEXT])
    task: Task
    system: System = None
    keys: Keys = []


class BatchRequest(_Body):
    """Several texts for the same task."""

    texts: list[Annotated[str, Field(min_length=1)]] = Field(min_length=1, examples=[[EXAMPLE_TEXT]])
    task: Task
    system: System = None
    keys: Keys = []


class Value(BaseModel):
    """An extracted value and where it stands in the text."""

    label: str = Field(examples=["人物"])
    text: str = Field(examples=["林靖雯"])
    span: tuple[int, int] | None = Field(
        description="Start and end in Unicode code points, end-exclusive; null when the text does not hold the value.",
        examples=[(0, 3)],
    )
    fragments: list[tuple[int, int]] = Field(
        [], description="The parts of a value that others interrupt.", examples=[[]]
    )
    answer: str = Field("", description="What the model wrote, where that differs from the text.", examples=[""])


class Relation(BaseModel):
    """A triple; its ends have their places."""

    head: Value
    relation: str = Field(examples=["任教於"])
    tail: Value


class Reply(BaseModel):
    """What was extracted from one text."""

    system: str = Field(examples=["gemma_300"])
    task: str = Field(examples=["ner"])
    status: str = Field(
        description="`ok`; `repaired` or `invalid`: see problems; in a batch also `failed`: the text cannot be asked about.",
        examples=["ok"],
    )
    problems: list[str] = Field(examples=[[]])
    values: list[Value] = Field(description="Entities or fields, or the ends of the triples.")
    triples: list[Relation]
    record: dict[str, Any] = Field(
        description="The same as a Record, a line of the JSONL that task cards read.",
        examples=[
            {
                "id": "text-1",
                "text": EXAMPLE_TEXT,
                "entities": [{"text": "林靖雯", "type": "人物", "spans": [[0, 3]]}],
            }
        ],
    )


class BatchReply(BaseModel):
    """What was extracted, in the order of the texts."""

    results: list[Reply]


class TaskAbout(BaseModel):
    """A task that is served."""

    name: str = Field(examples=["ner"])
    title: str = Field(examples=["命名實體辨識"])
    language: str = Field(examples=["zh-TW"])
    part: str = Field(description="What it yields: entities, triples or fields.", examples=["entities"])
    needs_keys: bool = Field(examples=[False])


class About(BaseModel):
    """What is served, and what may be asked."""

    systems: list[str] = Field(examples=[["gemma_100", "gemma_300"]])
    tasks: list[TaskAbout]
    limits: dict[str, float] = Field(examples=[{"body": 4194304, "texts": 32, "chars": 20000, "seconds": 60}])


class State(BaseModel):
    """Whether requests are taken."""

    status: str = Field(examples=["ready"])
    waiting: int = Field(description="Texts in the queue.", examples=[0])


class Problem(BaseModel):
    """Any error."""

    error: str = Field(examples=["text: empty (expected a text of 1 to 20,000 characters)"])
