"""What every output format offers: `render` a Record to an answer, `parse` an answer back, never raising."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from etlch.errors import EtlchError
from etlch.records import Entity, Record, Triple


class FormatError(EtlchError):
    """A record that a format cannot represent; raised by `render`, never by `parse`."""


@dataclass(frozen=True, slots=True)
class Schema:
    """What a prompt asks for: entity types, field keys or relations, in the order in which the prompt names them.

    Empty means "whatever is there" (the paper's NER and KGE prompts name no label).
    """

    keys: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Parsed:
    """What could be read from an answer.

    status: `ok` (the format to the letter), `repaired` (items were read, see problems) or `invalid` (it is not this
    format at all). problems: one short line each.
    """

    status: str
    problems: tuple[str, ...] = ()
    entities: tuple[Entity, ...] = ()
    triples: tuple[Triple, ...] = ()
    fields: tuple[tuple[str, tuple[str, ...]], ...] = ()


@dataclass(frozen=True, slots=True)
class Format:
    """A named pair of functions. `part` says which part of the Record it carries: entities, triples or fields."""

    name: str
    part: str
    render: Callable[[Record, Schema], str]
    parse: Callable[[str, Schema, str], Parsed]
    is_json: bool = False


MAX_PROBLEMS = 20


def status_of(problems: list[str], readable: bool) -> str:
    """`invalid` when the answer could not be read at all, else `ok` without problems and `repaired` with some."""
    if not readable:
        return "invalid"
    return "repaired" if problems else "ok"
