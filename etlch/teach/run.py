"""`etlch teach`: settings, topics and prompts in; a journal while it runs; records and what was set aside out."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from etlch.endpoint import journal
from etlch.endpoint.budget import Budget
from etlch.endpoint.client import Endpoint, Where, completion_limit
from etlch.endpoint.halt import Halt
from etlch.endpoint.sender import Patience, Sender, Tally
from etlch.errors import EtlchError, ManyErrors
from etlch.knowledge.topics import load_topics
from etlch.records import dump_json, write_records, write_text
from etlch.tasks import load_card
from etlch.teach import tables, templates
from etlch.teach.asking import Asker
from etlch.teach.estimate import estimate
from etlch.teach.pipeline import Outcome, Piece, Pipeline, Plan
from etlch.teach.settings import Settings

KNOWLEDGE = Path("data/knowledge")
JOURNAL, RECORDS, REJECTED, TIES = "journal.jsonl", "records.jsonl", "rejected.jsonl", "ties.jsonl"
LONGEST_TOPIC = 100
_BYTES_PER_TOKEN = 16  # of a journal line, generously: the space held back for answers under way


def teach(settings: Settings) -> int:
    """Run the stages; print the table; return 0, or 1 when no record came out.

    Raises EtlchError when the run had to stop; what is finished is then written all the same.
    """
    plan = _plan(settings)
    if settings.dry_run:
        print(_forecast(settings, plan))
        return 0
    where = _where(settings)
    path = settings.out / JOURNAL
    reserve = settings.concurrency * (settings.max_tokens * _BYTES_PER_TOKEN + 4096)
    with journal.Journal(path, reserve) as book:
        result = asyncio.run(_ask_all(settings, plan, where, book))
    rows = tables.summary(len(plan.pieces), len(plan.models), result.outcomes, result.tally)
    print(tables.aligned(rows + tables.spending(settings.prices, book.entries)))
    stopped = result.stopped
    saved = sum(outcome.record is not None for outcome in result.outcomes)
    try:
        _write(settings.out, result.outcomes, len(plan.models) > 1)
    except EtlchError as error:
        stopped, saved = stopped or str(error), 0
    if stopped and not book.entries:
        raise EtlchError(stopped)
    if stopped:
        raise EtlchError(
            f"{stopped}; {settings.out} has all {len(book.answers):,} answers that arrived, and {saved:,} of "
            f"{len(plan.pieces):,} records; the same command goes on and pays for none of them again"
        )
    return 0 if saved else 1


def read_topics(path: Path) -> list[str]:
    """One topic a line; blank lines and lines that begin with # are skipped. Raises ManyErrors with file and line."""
    try:
        lines = path.read_bytes().decode("utf-8-sig").split("\n")
    except OSError as error:
        raise EtlchError(f"{path}: cannot be read ({error.strerror or error})") from None
    except UnicodeDecodeError as error:
        raise EtlchError(f"{path}: not UTF-8 ({error.reason} at byte {error.start + 1})") from None
    topics: dict[str, int] = {}
    problems = []
    for number, line in enumerate(lines, start=1):
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


def _forecast(settings: Settings, plan: Plan) -> str:
    limit = completion_limit(settings.sampling(0)) or settings.max_tokens
    guess = estimate(plan, settings.prices, limit)
    entries, _ = journal.read(settings.out / JOURNAL)
    return tables.aligned(tables.forecast(len(plan.pieces), guess, settings.prices, entries))


def _plan(settings: Settings) -> Plan:
    kge, ner = (load_card(settings.tasks / name) for name in ("kge.yaml", "ner.yaml"))
    for name, card, part in (("kge", kge, "triples"), ("ner", ner, "entities")):
        if card.format.part != part:
            raise EtlchError(f"{settings.tasks / name}.yaml: format: {card.format.name!r} holds no {part}")
    topics = read_topics(settings.topics) if settings.topics else _training_topics(ner.language)
    return Plan(
        pieces=tuple(Piece(topic, number + 1) for number in range(settings.articles) for topic in topics),
        models=tuple(settings.model),
        templates=templates.load(settings.prompts),
        kge=kge,
        ner=ner,
        length=settings.length,
        writing=settings.sampling(settings.temperature),
        annotating=settings.sampling(0.0),
    )


def _training_topics(language: str) -> list[str]:
    """Never a test topic: its articles would leak into the test set."""
    found = [t.name for t in load_topics(KNOWLEDGE) if t.split == "train" and t.lang == language]
    if not found:
        raise EtlchError(f"{KNOWLEDGE}: no training topic in {language!r} (give --topics)")
    return list(dict.fromkeys(found))


def _where(settings: Settings) -> Where:
    key = os.environ.get(settings.key_env, "").strip()
    if not (key.isascii() and key.isprintable()):
        raise EtlchError(f"${settings.key_env}: found characters that no key has (expected printable ASCII)")
    return Where(settings.base_url, key, settings.key_env, settings.timeout)


@dataclass(frozen=True, slots=True)
class _Result:
    outcomes: list[Outcome]
    tally: Tally
    stopped: str


async def _ask_all(settings: Settings, plan: Plan, where: Where, book: journal.Journal) -> _Result:
    halt = Halt()
    budget = Budget(settings.prices, settings.budget_tokens, settings.budget_cost, halt)
    for entry in book.entries:
        budget.charge(entry.model, entry.usage)
    patience = Patience(settings.concurrency, settings.retries, settings.backoff, settings.seed)
    async with Endpoint(where, halt) as endpoint:
        asker = Asker(Sender(endpoint, book, budget, halt, patience), plan.templates)
        with tqdm(total=len(plan.pieces), unit="article", file=sys.stderr, dynamic_ncols=True) as bar:

            def done() -> None:
                bar.set_postfix_str(_postfix(asker.tally, budget), refresh=False)
                bar.update()

            outcomes = await Pipeline(plan, asker, done).run(settings.concurrency)
    return _Result(outcomes, asker.tally, halt.reason)


def _postfix(tally: Tally, budget: Budget) -> str:
    money = f", cost {budget.cost:.4f}" if budget.prices.by_model else ""
    return f"{tally.answered} answers, {tally.reasked} asked again, {budget.spent.total:,} tokens{money}"


def _write(out: Path, outcomes: Sequence[Outcome], voted: bool) -> None:
    write_records(out / RECORDS, (outcome.record for outcome in outcomes if outcome.record))
    _write_rows(out / REJECTED, (asdict(r) for outcome in outcomes for r in outcome.rejections))
    if voted:
        _write_rows(out / TIES, (asdict(tie) for outcome in outcomes for tie in outcome.ties))


def _write_rows(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    write_text(path, "".join(dump_json(row) + "\n" for row in rows))
