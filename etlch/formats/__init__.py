"""Output formats. Each renders a Record to the text a model is taught, and parses any answer back into records."""

from etlch.formats import bio_layers, code, json_lists, lines, tags, terms, triple_lines
from etlch.formats.base import Can, Format, FormatError, Parsed, Schema

FORMATS: dict[str, Format] = {
    f.name: f
    for f in (
        json_lists.FIELDS,
        json_lists.ENTITIES,
        triple_lines.TRIPLES,
        terms.CONV_TERM,
        tags.SINGLE_TAG,
        tags.MULTI_TAG,
        code.SINGLE_CODE,
        code.MULTI_CODE,
        terms.SINGLE_TERM,
        terms.MULTI_TERM,
        terms.SINGLE_SPAN,
        terms.MULTI_SPAN,
        lines.MULTI_TRIPLE,
        bio_layers.MULTI_BIO,
        lines.MULTI_BRAT,
    )
}

__all__ = ["FORMATS", "Can", "Format", "FormatError", "Parsed", "Schema"]
