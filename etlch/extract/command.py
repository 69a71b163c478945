"""`etlch extract`: documents in, a file of values out; 0 fine, 1 some documents failed, 2 an error."""

from __future__ import annotations

import argparse
import contextlib
import itertools
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from etlch.errors import EtlchError
from etlch.extract import documents, writers
from etlch.extract.documents import Document
from etlch.extract.extractor import Extractor
from etlch.extract.values import Extraction


def run(options: argparse.Namespace) -> int:
    """Run the command. Raises EtlchError for anything that is wrong as a whole; nothing is then written to --out."""
    texts = (Document(f"text-{number}", text) for number, text in enumerate(options.text, start=1))
    asked = itertools.chain(texts, documents.read(options.sources, options.text_column, options.encoding))
    extractor = Extractor(
        options.task,
        options.model,
        options.adapter,
        system=options.system,
        config=options.config,
        keys=[key for key in options.keys.split(",") if key] if options.keys else (),
        schema=options.schema,
        lang=options.lang,
        chunk_tokens=options.chunk_tokens,
        overlap_tokens=options.overlap_tokens,
    )
    writer = writers.writer(options.format, options.out, extractor.card.format.part == "triples")
    first = next(asked, None)
    if first is None:
        raise EtlchError("no document (expected files, folders, - for standard input, or --text TEXT)")
    try:
        with _engine(options, extractor):
            return _write(options, extractor, itertools.chain([first], asked), writer)
    except BrokenPipeError:  # whoever read standard output has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


@contextlib.contextmanager
def _engine(options: argparse.Namespace, extractor: Extractor) -> Iterator[None]:
    """A server in the model's place, if one is to answer. What it was paid for is kept beside --out until that is whole;
    what went to standard output cannot be taken up again."""
    if options.engine != "endpoint":
        yield
        return
    from etlch.infer.remote import PAID, remote_engine

    with tempfile.TemporaryDirectory() as passing:
        paid = options.out.with_name(f".{options.out.name}.{PAID}") if options.out else Path(passing) / PAID
        extractor.engine = remote_engine(options, extractor.loaded.config, paid)
        yield
        paid.unlink(missing_ok=True)


def _write(options: argparse.Namespace, extractor: Extractor, asked: Iterable[Document], writer: writers.Writer) -> int:
    from tqdm import tqdm

    count: Counter[str] = Counter()
    began = time.monotonic()

    def kept() -> Iterator[Extraction]:
        """What is written, counted; and why the others are not."""
        for found in tqdm(extractor.extract_many(asked), unit=" documents", disable=None, dynamic_ncols=True):
            if options.strict:
                found = found.found_only()
            failed = found.status not in ("ok", "repaired")
            count.update(documents=1, failed=failed, values=len(found.values), tokens=found.tokens)
            count["absent"] += sum(value.span is None for value in found.values)
            if failed:
                why = found.problems[0] if found.problems else "the answer could not be read"
                print(f"failed: {found.id}: {why}", file=sys.stderr)
            if found.status != "failed":
                yield found
                handle.flush()

    with writers.opened(options.out) as handle:
        writer(handle, kept())
        if count["failed"] == count["documents"]:
            raise EtlchError("no document could be extracted from")
    seconds = time.monotonic() - began
    print(
        f"{count['documents']:,} document{'s' * (count['documents'] != 1)}, {count['failed']:,} failed; "
        f"{count['values']:,} values, {count['absent']:,} of them not found in the text; {seconds:.1f} s, "
        f"{count['tokens'] / max(seconds, 1e-9):,.0f} answer tokens/s",
        file=sys.stderr,
    )
    return 1 if count["failed"] else 0
