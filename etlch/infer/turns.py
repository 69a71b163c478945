"""What is said in a LlamaFactory row before its answer: one reading of `history` and `system` for engines, servers and joins."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from etlch.errors import EtlchError
from etlch.examples.rows import COLUMNS

Turn = tuple[str, str]
MESSAGES = {"messages": "conversations"}
TAGS = {
    "role_tag": "from",
    "content_tag": "value",
    "user_tag": "human",
    "assistant_tag": "gpt",
    "observation_tag": "observation",
    "function_tag": "function_call",
    "system_tag": "system",
}


def turns(
    row: Mapping[str, Any], columns: Mapping[str, str] | None = None, tags: Mapping[str, str] | None = None
) -> list[Turn]:
    """(role, text) of each turn before the answer, as LlamaFactory 0.9.5 reads a row: system, if any, then user, assistant, ..., user.

    columns, tags: what the dataset's entry in dataset_info.json says; LlamaFactory's own where it says nothing. With a column
    `messages` all turns are in it and the last is the answer, which is left out; else the turns are the pairs of the column
    `history` and then the question. Raises EtlchError naming the column for turns that are not of that form.
    """
    columns, tags = COLUMNS if columns is None else columns, TAGS if tags is None else tags
    system = row.get(columns.get("system")) or ""
    if "messages" in columns:
        said = _messages(row, columns["messages"], tags)
        if said and said[0][0] == "system":
            system, said = said[0][1], said[1:]
        said = said[:-1]
    else:
        said = _history(row, columns.get("history"))
        parts = (row.get(columns.get(part)) for part in ("prompt", "query"))
        said.append(("user", "\n".join(part for part in parts if part)))
    return [("system", system), *said] if system else said


def turns_of(row: Mapping[str, Any], entry: Mapping[str, Any]) -> list[Turn]:
    """The turns of a row of the dataset with this entry in dataset_info.json."""
    columns = entry.get("columns")
    if columns is None and entry.get("formatting", "alpaca") != "alpaca":
        columns = MESSAGES
    return turns(row, columns, entry.get("tags"))


def _history(row: Mapping[str, Any], column: str | None) -> list[Turn]:
    pairs = row.get(column) or []
    if not (isinstance(pairs, list) and all(isinstance(pair, (list, tuple)) and len(pair) == 2 for pair in pairs)):
        raise EtlchError(f"{column}: found {str(pairs)[:60]} (expected a list of [question, answer])")
    return [turn for asked, said in pairs for turn in (("user", asked), ("assistant", said))]


def _messages(row: Mapping[str, Any], column: str, tags: Mapping[str, str]) -> list[Turn]:
    roles = {
        tags[f"{role}_tag"]: role
        for role in ("user", "assistant", "observation", "function", "system")
        if f"{role}_tag" in tags
    }
    try:
        return [(roles[message[tags["role_tag"]]], message[tags["content_tag"]]) for message in row[column]]
    except (KeyError, TypeError) as error:
        expected = f"messages with {tags.get('role_tag')} (one of {', '.join(roles)}) and {tags.get('content_tag')}"
        raise EtlchError(f"{column}: {error} is missing or unknown (expected {expected})") from None
