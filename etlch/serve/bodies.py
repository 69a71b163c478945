"""The bodies of requests and answers, as OpenAPI documents them; values and triples are those of `etlch extract`."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from etlch.extract.values import Relation, Value

EXAMPLE_TEXT = "林靖雯於2019年進入臺灣大學醫學院任教，主要研究睡眠與記憶。"
_PERSON = {"label": "人物", "text": "林靖雯", "span": [0, 3], "fragments": [], "answer": ""}
_REPLY = {
    "system": "gemma_300",
    "task": "ner",
    "status": "ok",
    "problems": [],
    "values": [_PERSON],
    "triples": [],
    "record": {
        "id": "text-1",
        "text": EXAMPLE_TEXT,
        "entities": [{"text": "林靖雯", "type": "人物", "spans": [[0, 3]]}],
    },
}


class _Asked(BaseModel):
    model_config = ConfigDict(extra="forbid")

    task: str = Field(description="A task of GET /v1/tasks.", examples=["ner"])
    system: str | None = Field(None, description="A system of GET /v1/tasks; the first one when left out.")
    keys: list[Annotated[str, Field(min_length=1, max_length=100)]] = Field(
        [], description="For tasks that need them: the names of the values wanted.", max_length=64, examples=[["人物"]]
    )


class Request(_Asked):
    """One text."""

    text: str = Field(min_length=1, examples=[EXAMPLE_TEXT])


class BatchRequest(_Asked):
    """Several texts for the same task."""

    texts: list[Annotated[str, Field(min_length=1)]] = Field(min_length=1, examples=[[EXAMPLE_TEXT]])


class Reply(BaseModel):
    """What was extracted from one text."""

    model_config = ConfigDict(json_schema_extra={"examples": [_REPLY]})

    system: str
    task: str
    status: str = Field(
        description="`ok`; `repaired` or `invalid`: see problems; in a batch also `failed`: the text cannot be asked about."
    )
    problems: list[str]
    values: list[Value] = Field(description="Entities or fields, or the ends of the triples.")
    triples: list[Relation]
    record: dict[str, Any] = Field(description="The same as a Record, a line of the JSONL that task cards read.")


class BatchReply(BaseModel):
    """What was extracted, in the order of the texts."""

    results: list[Reply]


class Task(BaseModel):
    """A task that is served."""

    name: str = Field(examples=["ner"])
    title: str = Field(examples=["命名實體辨識"])
    language: str = Field(examples=["zh-TW"])
    part: str = Field(description="What it yields: entities, triples or fields.", examples=["entities"])
    needs_keys: bool


class About(BaseModel):
    """What is served, and what may be asked."""

    systems: list[str] = Field(examples=[["gemma_100", "gemma_300"]])
    tasks: list[Task]
    limits: dict[str, float] = Field(examples=[{"body": 4194304, "texts": 32, "chars": 20000, "seconds": 60}])


class State(BaseModel):
    """Whether requests are taken."""

    status: str = Field(examples=["ready"])
    waiting: int = Field(description="Texts in the queue.")


class Problem(BaseModel):
    """Any error."""

    error: str = Field(examples=["text: empty (expected a text of 1 to 20,000 characters)"])
