"""Output formats. Each renders a Record to the text a model is taught, and parses any answer back into records."""

from etlch.formats import json_lists, triple_lines
from etlch.formats.base import Format, FormatError, Parsed, Schema

FORMATS: dict[str, Format] = {f.name: f for f in (json_lists.FIELDS, json_lists.ENTITIES, triple_lines.TRIPLES)}

__all__ = ["FORMATS", "Format", "FormatError", "Parsed", "Schema"]
