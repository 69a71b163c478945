"""What an answer in JSON may look like: the task card's schema, as every engine that can constrain an answer is given it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING

from etlch.errors import EtlchError
from etlch.records import Record, read_records
from etlch.tasks import Card, load_cards
from etlch.trainer import configs

if TYPE_CHECKING:
    from etlch.infer.loading import Prompt
    from etlch.infer.predict import Job


@dataclass(frozen=True, slots=True)
class Shape:
    """An object whose values are lists of strings, written as `json.dumps` does.

    keys: in the order in which they are written. optional: each may be left out; with no keys, any distinct keys may be
    written.
    """

    keys: tuple[str, ...] = ()
    optional: bool = True


def shape_of(card: Card, record: Record) -> Shape | None:
    """The shape of the answer to this record's prompt; None when the card's format is not a JSON object of lists."""
    keys = tuple(dict.fromkeys(card.schema(record).keys))
    if card.format.name == "json_fields":
        return Shape(keys, optional=not keys)
    return Shape(keys) if card.format.name == "json_entities" else None


def attach(job: Job, prompts: Sequence[Prompt]) -> list[Prompt]:
    """Give each prompt of a job's test sets its shape. Raises EtlchError where prompts and records do not match."""
    cards = {card.dataset("test"): card for card in load_cards()}
    shapes: list[Shape | None] = []
    for name in job.names:
        if name not in cards:
            raise EtlchError(f"eval_dataset: no card for {name!r} (expected the test set of a card in tasks/)")
        shapes += _shapes(cards[name], configs.rows_of(job.files[name]), job.config.get("max_samples"))
    if len(shapes) != len(prompts):
        raise EtlchError(
            f"{job.path}: found {len(prompts)} prompts (expected {len(shapes)}, the rows of the test sets)"
        )
    return [replace(prompt, shape=shape) for prompt, shape in zip(prompts, shapes, strict=True)]


def _shapes(card: Card, rows: list[dict[str, str]], most: int | None) -> list[Shape | None]:
    records = {record.id: record for record in read_records(card.test)}
    found = []
    for row in islice(rows, int(most) if most else None):
        if row.get("id") not in records:
            raise EtlchError(
                f"{card.test}: no record {row.get('id')!r} (expected one for each test row); run `make data`"
            )
        found.append(shape_of(card, records[row["id"]]))
    return found
