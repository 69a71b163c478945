"""Is the answer JSON, and the JSON that was asked for? Four columns of 0 and 1, never mixed up.

- `json_parse_ok`: Python's `json.loads` takes the answer as it stands. This is the ETLCH paper's JSON_Parse_OK (section 7).
- `json_fence_ok`: so it does, or it takes the inside of the first Markdown code fence (an unclosed one reaches to the end).
- `json_repair_ok`: so it does, or the library json_repair makes a non-empty object or array of the answer. Its time grows
  with the square of the length, so broken answers above REPAIR_LIMIT characters are not handed to it and count as 0.
- `schema_ok`: the answer *as it stands* is an object whose values are all flat lists of strings, no key twice, every
  required key present. Further keys are allowed here; they cost precision in `fields` and `spans`.

Each column implies the next of the first three, and `schema_ok` implies `json_parse_ok`.

Rules, the same for every system: no answer is 0 in all four; nesting deeper than Python's recursion limit and integers
longer than its 4,300 digits are not JSON to `json.loads`, hence 0; NaN and Infinity are JSON to it, hence 1.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import json_repair
import numpy as np

COLUMNS = ("json_parse_ok", "json_fence_ok", "json_repair_ok", "schema_ok")
REPAIR_LIMIT = 5_000


class _Pairs(list):
    """The pairs of a JSON object, repeated keys included."""


_FAILED = object()


def validity(answers: Sequence[str], required: Sequence[Sequence[str]] | None = None) -> dict[str, np.ndarray]:
    """The four columns. `required` holds the keys that each sample's object must have (none when left out)."""
    rows = np.zeros((len(answers), len(COLUMNS)))
    for n, answer in enumerate(answers):
        value = _loads(answer)
        raw = value is not _FAILED
        fence = raw or ("```" in answer and _loads(inside_fence(answer)) is not _FAILED)
        schema = raw and follows_schema(value, required[n] if required is not None else ())
        rows[n] = raw, fence, fence or repairable(answer), schema
    return {column: rows[:, k] for k, column in enumerate(COLUMNS)}


def inside_fence(text: str) -> str:
    """What stands inside the first Markdown code fence; the text itself where there is none."""
    start = text.find("```")
    line_end = text.find("\n", start)
    if start < 0 or line_end < 0:
        return text
    end = text.find("```", line_end)
    return text[line_end + 1 : end if end >= 0 else len(text)]


def repairable(text: str) -> bool:
    """Does json_repair make a non-empty object or array of it? Longer than REPAIR_LIMIT: not tried, False."""
    if len(text) > REPAIR_LIMIT:
        return False
    try:
        value = json_repair.repair_json(text, return_objects=True, skip_json_loads=True)
    except (ValueError, RecursionError, ArithmeticError, LookupError, TypeError, AttributeError):
        return False  # it was not written for hostile input, and whatever stops it means "not repaired"
    return isinstance(value, (dict, list)) and bool(value)


def follows_schema(value: Any, required: Sequence[str] = ()) -> bool:
    """Is a value of `_loads` an object of flat lists of strings, each key once, the required ones among them?"""
    if not isinstance(value, _Pairs):
        return False
    keys = [key for key, _ in value]
    return (
        len(set(keys)) == len(keys)
        and set(required) <= set(keys)
        and all(type(items) is list and all(type(item) is str for item in items) for _, items in value)
    )


def _loads(text: str) -> Any:
    """What json.loads makes of it, objects as _Pairs; _FAILED where it refuses."""
    try:
        return json.loads(text, object_pairs_hook=_Pairs)
    except (ValueError, RecursionError):
        return _FAILED
