"""`etlch teach`: options, topics and prompts in; a journal while it runs; records and what was set aside out."""

from __future__ import annotations

import asyncio
import sys
from argparse import Namespace
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tqdm import tqdm

from etlch.endpoint.client import Entry
from etlch.endpoint.sender import Sender
from etlch.endpoint.settings import Endpoint, body_of, completion_limit, endpoint_of
from etlch.errors import EtlchError, ManyErrors
from etlch.journal import Journal, read
from etlch.knowledge.topics import load_topics
from etlch.records import dump_json, write_records, write_text
from etlch.tasks import load_card
from etlch.teach import tables, templates
from etlch.teach.pipeline import Outcome, Piece, Pipeline, Plan

KNOWLEDGE = Path("data/knowledge")
JOURNAL, RECORDS, REJECTED, TIES = "journal.jsonl", "records.jsonl", "rejected.jsonl", "ties.jsonl"
LONGEST_TOPIC = 100
_BYTES_PER_TOKEN = 16  # of a journal line, generously: the space held back for answers under way


def teach(options: Namespace) -> int:
    """Run the stages with the command's options; print the table; return 0, or 1 when no record came out.

    Raises EtlchError when the run had to stop; what is finished is then written all the same.
    """
    body = {"temperature": 0.0, "max_tokens": options.max_tokens}
    endpoint = endpoint_of(options, options.model, body, options.seed)
    plan = _plan(options, body)
    path, prices = options.out / JOURNAL, endpoint.prices
    if options.dry_run:
        most = completion_limit(plan.annotating) or options.max_tokens
        print(tables.aligned(tables.forecast(plan, prices, most, read(path, Entry)[0])))
        return 0
    reserve = options.concurrency * (options.max_tokens * _BYTES_PER_TOKEN + 4096)
    with Journal(path, Entry, reserve=reserve) as book:
        outcomes, sender = asyncio.run(_ask_all(endpoint, plan, book))
    rows = tables.summary(len(plan.pieces), len(plan.models), outcomes, sender.tally)
    print(tables.aligned(rows + tables.spending(prices, book.entries)))
    stopped = sender.halt.reason
    saved = sum(outcome.record is not None for outcome in outcomes)
    try:
        _write(options.out, outcomes, len(plan.models) > 1)
    except EtlchError as error:
        stopped, saved = stopped or str(error), 0
    if stopped and book.entries:
        arrived = sum(not entry.lost for entry in book.entries)
        stopped += (
            f"; {options.out} has all {arrived:,} answers that arrived, and {saved:,} of {len(plan.pieces):,} records; the "
            "same command goes on and pays for none of them again"
        )
    if stopped:
        raise EtlchError(stopped)
    return 0 if saved else 1


def read_topics(path: Path) -> list[str]:
    """One topic a line; blank lines and lines that begin with # are skipped. Raises ManyErrors with file and line."""
    topics: dict[str, int] = {}
    problems = []
    for number, line in enumerate(templates.read_text(path).split("\n"), start=1):
        topic = line.strip()
        if not topic or topic.startswith("#"):
            continue
        if len(topic) > LONGEST_TOPIC or not topic.isprintable():
            problems.append(
                f"{path}:{number}: found {topic[:40]!r} (expected at most {LONGEST_TOPIC} printable characters)"
            )
        elif topic in topics:
            problems.append(f"{path}:{number}: topic {topic!r} again (first on line {topics[topic]})")
        topics.setdefault(topic, number)
    if not topics:
        problems.append(f"{path}: no topic (expected one a line)")
    if problems:
        raise ManyErrors(problems)
    return list(topics)


def _plan(options: Namespace, body: dict[str, Any]) -> Plan:
    kge, ner = (load_card(options.tasks / name) for name in ("kge.yaml", "ner.yaml"))
    for name, card, part in (("kge", kge, "triples"), ("ner", ner, "entities")):
        if card.format.part != part:
            raise EtlchError(f"{options.tasks / name}.yaml: format: {card.format.name!r} holds no {part}")
    topics = read_topics(options.topics) if options.topics else _training_topics(ner.language)
    return Plan(
        pieces=tuple(Piece(topic, number + 1) for number in range(options.articles) for topic in topics),
        models=tuple(options.model),
        templates=templates.load(options.prompts),
        kge=kge,
        ner=ner,
        length=options.length,
        writing=body_of(options, body | {"temperature": options.temperature}),
        annotating=body_of(options, body),
    )


def _training_topics(language: str) -> list[str]:
    """Never a test topic: its articles would leak into the test set."""
    found = [t.name for t in load_topics(KNOWLEDGE) if t.split == "train" and t.lang == language]
    if not found:
        raise EtlchError(f"{KNOWLEDGE}: no training topic in {language!r} (give --topics)")
    return list(dict.fromkeys(found))


async def _ask_all(endpoint: Endpoint, plan: Plan, book: Journal[Entry]) -> tuple[list[Outcome], Sender]:
    async with Sender(endpoint, book) as sender:
        with tqdm(total=len(plan.pieces), unit="article", file=sys.stderr, dynamic_ncols=True) as bar:

            def done() -> None:
                tally, budget = sender.tally, sender.budget
                money = f", cost {budget.cost:.4f}" if budget.prices.by_model else ""
                spent = f"{tally.answered} answers, {tally.reasked} asked again, {budget.spent.total:,} tokens{money}"
                bar.set_postfix_str(spent, refresh=False)
                bar.update()

            return await Pipeline(plan, sender, done).run(endpoint.concurrency), sender


def _write(out: Path, outcomes: Sequence[Outcome], voted: bool) -> None:
    write_records(out / RECORDS, (outcome.record for outcome in outcomes if outcome.record))
    _write_rows(out / REJECTED, (asdict(r) for outcome in outcomes for r in outcome.rejections))
    if voted:
        _write_rows(out / TIES, (asdict(tie) for outcome in outcomes for tie in outcome.ties))


def _write_rows(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    write_text(path, "".join(dump_json(row) + "\n" for row in rows))
