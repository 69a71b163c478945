"""The tidy table of per-sample scores, from answers joined with gold, and its summary; every report is a function of it.

Columns: the factors of a run (system, base_model, scale, train_on, draw), its test (task, card), how a sample was asked
(corpus, format, context) and what it was made from (source), then sample, metric, value. Rows are sorted by system and task,
samples stand in the test set's order and metrics in the order of METRICS; the same input gives the same bytes, whatever
`jobs` is. Answers are read, scored and written in chunks, so memory does not grow with their number.

Which metrics a task has follows from its card's formats: validity for JSON formats, `entity_*`, `triple_*` or `field_*`
for the part of the record that they carry (`entity_surface_*` and `pair_*` are entities and triples without their labels), those of eval/metrics/mentions.py for formats of mentions. Gold items are what
the format's own parser reads from the rendered gold record, so gold and answer pass through the same code; a format of
mentions may not hold all that the record has, so its gold is the record's mentions. The rules for no answer, unreadable
answers and empty gold stand in `eval.metrics` and its modules.
"""

from __future__ import annotations

import csv
import gc
import io
import os
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from etlch.embed import Embeddings
from etlch.errors import EtlchError
from etlch.examples import asking
from etlch.examples.rows import Row
from etlch.formats import FormatError, Parsed
from etlch.records import Record, write_text
from etlch.runs import Run
from etlch.tasks import Card
from eval.answers import Answer, Gold, read_answers
from eval.metrics import mentions
from eval.metrics.faithfulness import faithful_counts, faithfulness, hallucinated, values_of
from eval.metrics.matching import (
    Counts,
    field_counts,
    field_counts_by_key,
    micro_of,
    pair_counts,
    sample_scores,
    triple_counts,
    triple_counts_by_relation,
)
from eval.metrics.rouge import rouge, tokenizer_named
from eval.metrics.similarity import cosine
from eval.metrics.spans import entity_counts, entity_counts_by_type, partial_counts
from eval.metrics.validity import validity
from eval.names import PARTS as COUNTED

RUN_COLUMNS = ("system", "base_model", "scale", "train_on", "draw", "task", "card")
SAMPLE_COLUMNS = ("corpus", "format", "context", "source", "sample")
COLUMNS = (*RUN_COLUMNS, *SAMPLE_COLUMNS, "metric", "value")
NUMBERS = {"scale": "int64", "draw": "int64", "value": "float64"}
NAMES = [column for column in COLUMNS if column not in NUMBERS]
CSV_COLUMNS = ("system", "base_model", "scale", "task", "sample", "metric", "value")
PARTS = {"entities": "entity", "triples": "triple", "fields": "field"}
"""Part of the record -> prefix of its metrics."""
METRICS = (
    *("rouge1", "rouge2", "rougeL", "cosine", "json_parse_ok", "json_fence_ok", "json_repair_ok", "schema_ok"),
    *("answered", "readable"),
    *(
        f"{part}_{name}"
        for part in PARTS.values()
        for name in ("tp", "pred", "gold", "f1", "tp_normalised", "f1_normalised", "tp_partial", "f1_partial")
    ),
    *(f"{part}_{name}" for part in ("entity_surface", "pair") for name in ("tp", "pred", "gold", "f1")),
    *("entity_tp_offsets", "entity_f1_offsets"),
    *mentions.COLUMNS,
    *("faithful_found", "faithful_total", "faithfulness", "answer_chars", "prompts", "unread_prompts", "answer_tokens"),
)
"""Every per-sample metric in the order of the table; each task has some of them."""
OTHER = "(other)"
"""Answered labels that no gold item of the run has, together, in the table by label."""

ABOUT, CONFUSIONS = "scoring.json", "confusions.csv"
_CONFUSED = ("system", "train_on", "task", "gold", "answered", "count")
CHUNK = 256
_ROWS_A_GROUP = 200_000
_MOST_LABELS = 10_000
_KEYS = ["system", "base_model", "scale", "task"]
_MATCH = {"entities": entity_counts, "triples": triple_counts, "fields": field_counts}
_MATCH_BARE = {"entities": ("entity_surface", partial(entity_counts, by="surface")), "triples": ("pair", pair_counts)}
"""Part of the record -> prefix and counts of its items without their labels."""
_MATCH_BY_LABEL = {
    "entities": entity_counts_by_type,
    "triples": triple_counts_by_relation,
    "fields": field_counts_by_key,
}

Labels = dict[str, tuple[int, int, int]]
Confusions = Counter[tuple[str, str]]
Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Block:
    """The scores of consecutive answers of one run: metric -> one value a sample, in the order of METRICS."""

    run: Run
    answers: list[Answer]
    columns: dict[str, np.ndarray]
    labels: Labels
    confusions: Confusions

    def matrix(self) -> np.ndarray:
        """Samples by metrics."""
        return np.stack(list(self.columns.values()), axis=1)


def gold_text(row: Row, record: Record) -> str:
    """The gold answer as the row asked for it; what stands for one that its format cannot hold."""
    try:
        return row.form.render(asking.restricted(record, row.form, row.schema), row.asks)
    except FormatError:
        return asking.UNRENDERED


def _gold(row: Row, record: Record, text: str) -> Parsed:
    """The gold items of a row."""
    if not row.form.can.repeats:
        return row.form.parse(text, row.asks, record.text)
    return Parsed("ok", entities=tuple(dict.fromkeys(asking.restricted(record, row.form, row.schema).entities)))


def _together(parts: Sequence[Parsed]) -> Parsed:
    """What several answers about one record say."""
    if len(parts) == 1:
        return parts[0]
    status = "invalid" if any(part.status == "invalid" for part in parts) else "ok"
    entities, triples, fields = (
        tuple(item for part in parts for item in getattr(part, name)) for name in ("entities", "triples", "fields")
    )
    return Parsed(status, (), entities, triples, fields)


def score_answers(
    card: Card, answers: Sequence[Answer], tokenizer: str = "char"
) -> tuple[dict[str, np.ndarray], Labels, Confusions]:
    """Score answers to a card's records: the columns but for `cosine`, the counts by label, the labels confused."""
    golds = [[gold_text(row, answer.record) for row in answer.rows] for answer in answers]
    gold = [
        _together([_gold(row, a.record, text) for row, text in zip(a.rows, texts, strict=True)])
        for a, texts in zip(answers, golds, strict=True)
    ]
    read = [
        [row.form.parse(text, row.asks, a.record.text) for row, text in zip(a.rows, a.texts, strict=True)]
        for a in answers
    ]
    parsed = [_together(parts) for parts in read]
    gold_texts, texts = ["\n".join(some) for some in golds], [a.text for a in answers]
    said = np.array([all(text.strip() for text in a.texts) for a in answers])
    readable = np.array([p.status != "invalid" for p in parsed]) & said

    columns = {kind: values[:, 2] for kind, values in rouge(gold_texts, texts, tokenizer_named(tokenizer)).items()}
    columns |= _validity_columns(card, answers, texts)
    columns["answered"] = said.astype(float)
    columns["readable"] = readable.astype(float)
    columns |= _part_columns(card.part, gold, parsed, readable, [a.record.text for a in answers])

    found, total = faithful_counts([values_of(p) for p in parsed], [a.record.text for a in answers])
    gold_total = np.array([len(values_of(g)) for g in gold], dtype=float)
    columns |= {"faithful_found": found, "faithful_total": total}
    columns["faithfulness"] = faithfulness(found, total, gold_total, readable)
    columns["answer_chars"] = np.array([len(text) for text in texts], dtype=float)

    confusions: Confusions = Counter()
    if any(form.can.repeats for form in card.formats):
        columns["prompts"] = np.array([len(a.rows) for a in answers], dtype=float)
        columns["unread_prompts"] = np.array([sum(p.status == "invalid" for p in parts) for parts in read], dtype=float)
        sides = [p.entities for p in gold], [p.entities for p in parsed]
        places = entity_counts(*sides, "offsets")
        columns |= {"entity_tp_offsets": places.tp, "entity_f1_offsets": sample_scores(places, readable)[2]}
        extra, confusions = mentions.columns(*sides, all(row.form.can.offsets for a in answers for row in a.rows))
        columns |= extra
    items = [[getattr(p, card.part) for p in side] for side in (gold, parsed)]
    return _ordered(columns), _MATCH_BY_LABEL[card.part](*items), confusions


def _ordered(columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: columns[name] for name in METRICS if name in columns}


def _validity_columns(card: Card, answers: Sequence[Answer], texts: Sequence[str]) -> dict[str, np.ndarray]:
    """Validity where the format is JSON; of a card with other formats, too, nothing (NaN) for those."""
    if not any(form.is_json for form in card.formats):
        return {}
    keys = [a.rows[0].schema for a in answers] if card.part == "fields" else None
    columns = validity(texts, keys)
    if not all(form.is_json for form in card.formats):
        json = np.array([all(row.form.is_json for row in a.rows) for a in answers])
        columns = {name: np.where(json, values, np.nan) for name, values in columns.items()}
    return columns


def _part_columns(
    part: str, gold: list[Parsed], parsed: list[Parsed], readable: np.ndarray, sources: list[str]
) -> dict[str, np.ndarray]:
    name = PARTS[part]
    wanted = [getattr(p, part) for p in gold]
    found = [getattr(p, part) for p in parsed]
    exact = _MATCH[part](wanted, found)
    loose = entity_counts(wanted, found, "normalised") if part == "entities" else _MATCH[part](wanted, found, True)
    columns = {f"{name}_tp": exact.tp, f"{name}_pred": exact.predicted, f"{name}_gold": exact.gold}
    kinds: list[tuple[str, Counts]] = [("", exact), ("_normalised", loose)]
    if part == "entities":
        kinds.append(("_partial", partial_counts(wanted, found, sources)))
    for suffix, counts in kinds:
        columns[f"{name}_tp{suffix}"] = counts.tp
        columns[f"{name}_f1{suffix}"] = sample_scores(counts, readable)[2]
    if part in _MATCH_BARE:
        name, count = _MATCH_BARE[part]
        bare = count(wanted, found)
        columns |= {f"{name}_tp": bare.tp, f"{name}_pred": bare.predicted, f"{name}_gold": bare.gold}
        columns[f"{name}_f1"] = sample_scores(bare, readable)[2]
    return columns


def collect_rarely() -> None:
    """Let Python look for cyclic garbage every 100,000 new objects instead of every 700.

    Scoring makes many objects and next to no cycles. With the default a large test set, whose records come and go, cost up
    to half as much again for each answer as a small one.
    """
    gc.set_threshold(100_000, 20, 20)


def score_runs(
    runs: Sequence[Run],
    gold: dict[str, Gold],
    tokenizer: str = "char",
    embeddings: Embeddings | None = None,
    jobs: int = 1,
    progress: Progress | None = None,
    unread: Collection[str] = (),
) -> Iterator[Block]:
    """Score runs chunk by chunk, in the order given. `progress` is told how many answers are done. Tasks that are `unread`
    by the encoder of `embeddings` get no `cosine`.

    Raises EtlchError for answers that do not fit their gold (see `eval.answers.read_answers`).
    """
    collect_rarely()
    chunks = ((run, chunk) for run in runs for chunk in _chunks(read_answers(run, gold[run.card])))
    done = 0
    for run, chunk, (columns, labels, confusions) in _scored(chunks, gold, tokenizer, jobs):
        if embeddings is not None and run.task not in unread:
            golds = ["\n".join(gold_text(row, a.record) for row in a.rows) for a in chunk]
            vectors = partial(embeddings.of, progress=_share(progress, done, len(chunk)))
            columns["cosine"] = cosine(golds, [a.text for a in chunk], vectors)
        if tokens := _tokens_a_row(run):
            columns["answer_tokens"] = np.array([tokens * len(a.rows) for a in chunk])
        done += len(chunk)
        if progress:
            progress(done)
        yield Block(run, chunk, _ordered(columns), labels, confusions)


def _share(progress: Progress | None, done: int, answers: int) -> Callable[[int, int], None] | None:
    """Told how many of some texts are encoded, tells how many of so many answers, behind those that are done, are."""
    return progress and (lambda texts, of: progress(done + answers * texts // of))


def _tokens_a_row(run: Run) -> float:
    """Tokens of a row's answer on average, where they were counted."""
    count = (run.info.get("tokens") or {}).get("answer")
    return count / run.samples if count and run.samples else 0.0


def _chunks(answers: Iterator[Answer]) -> Iterator[list[Answer]]:
    while chunk := list(islice(answers, CHUNK)):
        yield chunk


def _scored(
    chunks: Iterable[tuple[Run, list[Answer]]], gold: dict[str, Gold], tokenizer: str, jobs: int
) -> Iterator[tuple[Run, list[Answer], tuple[dict[str, np.ndarray], Labels, Confusions]]]:
    """Each chunk with its scores, in order; with several jobs, at most two chunks a process wait."""
    if jobs <= 1:
        for run, chunk in chunks:
            yield run, chunk, score_answers(gold[run.card].card, chunk, tokenizer)
        return
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    # spawned, not forked: the parent may hold torch's threads
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), initializer=collect_rarely) as pool:
        waiting: deque = deque()
        for run, chunk in chunks:
            waiting.append((run, chunk, pool.submit(score_answers, gold[run.card].card, chunk, tokenizer)))
            if len(waiting) > 2 * jobs:
                first = waiting.popleft()
                yield first[0], first[1], first[2].result()
        while waiting:
            first = waiting.popleft()
            yield first[0], first[1], first[2].result()


# ---- tables ----------------------------------------------------------------------------------------------------------


def _frame(block: Block) -> pd.DataFrame:
    """A block as rows of the tidy table, with COLUMNS."""
    metrics = np.array(list(block.columns), dtype=object)
    n, m = len(block.answers), len(metrics)
    constant = {column: getattr(block.run, column) for column in RUN_COLUMNS}
    asked = {
        "sample": [a.record.id for a in block.answers],
        "source": [a.record.source for a in block.answers],
        **{key: [getattr(a.rows[0], key) for a in block.answers] for key in ("corpus", "format", "context")},
    }
    return pd.DataFrame(
        {key: np.full(n * m, value, dtype=NUMBERS.get(key, object)) for key, value in constant.items()}
        | {key: np.repeat(np.array(asked[key], dtype=object), m) for key in SAMPLE_COLUMNS}
        | {"metric": np.tile(metrics, n), "value": block.matrix().ravel()}
    )


def summarise(tidy: pd.DataFrame) -> pd.DataFrame:
    """One row a (system, base_model, scale, task): see `Summary`."""
    summary = Summary()
    summary.add_rows(tidy)
    return summary.frame()


@dataclass(slots=True)
class Summary:
    """Sums of per-sample scores and the table made of them.

    Columns: system, base_model, scale, task, samples, unanswered, invalid (unreadable, the unanswered ones included),
    then the mean of each metric, but for `<part>_f1`, `<part>_f1_normalised` and `<part>_f1_partial`, which are micro F1
    from summed counts (with `<part>_precision` and `<part>_recall`), and `faithfulness`, which is values found over
    values answered. The means of the samples' own values of these are `<metric>_macro`. Where there is nothing to
    divide by, no gold and nothing answered in any sample, the ratio is that mean.
    """

    sums: dict[tuple[str, str, int, str], dict[str, tuple[float, int]]] = field(default_factory=dict)

    def add(self, key: tuple[str, str, int, str], metric: str, total: float, count: int) -> None:
        """Add the sum of `count` samples' values."""
        row = self.sums.setdefault(key, {})
        before = row.get(metric, (0.0, 0))
        row[metric] = (before[0] + total, before[1] + count)

    def add_rows(self, tidy: pd.DataFrame) -> None:
        """Add rows of a tidy table."""
        groups = tidy.groupby([*_KEYS, "metric"], sort=False, dropna=False, observed=True)["value"]
        for (system, base_model, scale, task, metric), total, count in groups.agg(["sum", "count"]).itertuples(
            name=None
        ):
            self.add((system, base_model, int(scale), task), metric, float(total), int(count))

    def add_block(self, block: Block) -> None:
        """Add the scores of some answers."""
        key = tuple(getattr(block.run, column) for column in _KEYS)
        for metric, values in block.columns.items():
            there = ~np.isnan(values)
            self.add(key, metric, float(values[there].sum()), int(there.sum()))

    def frame(self) -> pd.DataFrame:
        """The table, sorted by system, scale and task."""
        rows = [self._row(key) for key in sorted(self.sums, key=lambda key: (key[0], key[2], key[3], key[1]))]
        present = {column for row in rows for column in row}
        head = [*_KEYS, "samples", "unanswered", "invalid"]
        order = head + [name for metric in METRICS for name in (metric, f"{metric}_macro")]
        for part in COUNTED:
            order.insert(order.index(f"{part}_f1"), f"{part}_precision")
            order.insert(order.index(f"{part}_f1"), f"{part}_recall")
        extra = sorted(present - set(order))
        return pd.DataFrame(rows, columns=[c for c in [*order, *extra] if c in present or c in head])

    def _row(self, key: tuple[str, str, int, str]) -> dict[str, Any]:
        sums = self.sums[key]
        total = {metric: value for metric, (value, _) in sums.items()}
        row: dict[str, Any] = dict(zip(_KEYS, key, strict=True))
        samples = row["samples"] = max(count for _, count in sums.values())
        row["unanswered"] = samples - round(total.get("answered", samples))
        row["invalid"] = samples - round(total.get("readable", samples))
        row |= {metric: value / count if count else float("nan") for metric, (value, count) in sums.items()}
        for part in COUNTED:
            if f"{part}_tp" not in total:
                continue
            weight = total[f"{part}_pred"] + total[f"{part}_gold"]
            for suffix in ("", "_normalised", "_partial"):
                if f"{part}_f1{suffix}" not in row:
                    continue
                row[f"{part}_f1{suffix}_macro"] = row[f"{part}_f1{suffix}"]
                if weight:
                    row[f"{part}_f1{suffix}"] = 2 * total[f"{part}_tp{suffix}"] / weight
            precision, recall, _ = micro_of(*(total[f"{part}_{name}"] for name in ("tp", "pred", "gold")))
            row[f"{part}_precision"] = precision if weight else row[f"{part}_f1"]
            row[f"{part}_recall"] = recall if weight else row[f"{part}_f1"]
        if "faithfulness" in total:
            row["faithfulness_macro"] = row["faithfulness"]
            if total["faithful_total"]:
                row["faithfulness"] = total["faithful_found"] / total["faithful_total"]
        return row


# ---- files -----------------------------------------------------------------------------------------------------------


def write_scores(blocks: Iterable[Block], out: str | Path) -> None:
    """Write scores.parquet, scores.csv (without the factors), summary.csv, by_label.csv and confusions.csv.

    Nothing written before is touched until all answers are scored. Then the old `scoring.json` goes first; the caller
    writes the new one last, so where it stands the tables beside it are whole.
    """
    out = Path(out)
    by_label: dict[tuple[str, int, str], Labels] = {}
    confused: Counter[tuple[str, str, str, str, str]] = Counter()
    try:
        out.mkdir(parents=True, exist_ok=True)
        parquet, table = (out / f".{name}.{os.getpid()}.tmp" for name in ("scores.parquet", "scores.csv"))
        try:
            _stream(blocks, parquet, table, by_label, confused)
            (out / ABOUT).unlink(missing_ok=True)
            parquet.replace(out / "scores.parquet")
            table.replace(out / "scores.csv")
        finally:
            parquet.unlink(missing_ok=True)
            table.unlink(missing_ok=True)
    except OSError as error:
        raise EtlchError(f"{out}: scores cannot be written ({error.strerror or error})") from None
    write_text(out / "summary.csv", stored_summary(out).to_csv(index=False, float_format="%.10g", lineterminator="\n"))
    write_text(out / "by_label.csv", _label_table(by_label))
    (out / CONFUSIONS).unlink(missing_ok=True)
    if confused:
        write_text(out / CONFUSIONS, _csv(_CONFUSED, [(*key, count) for key, count in sorted(confused.items())]))


def read_scores(out: str | Path) -> pd.DataFrame:
    """The tidy table that `write_scores` wrote, its names as categories. Raises EtlchError where there is none."""
    path = Path(out) / "scores.parquet"
    try:
        return pd.read_parquet(path, read_dictionary=NAMES)
    except (OSError, ValueError) as error:
        reason = "no such file" if isinstance(error, FileNotFoundError) else error
        raise EtlchError(f"{path}: {reason} (expected what `etlch score` writes)") from None


def stored_summary(out: str | Path) -> pd.DataFrame:
    """The summary of the table that `write_scores` wrote, read in parts."""
    import pyarrow.parquet as pq

    summary = Summary()
    with pq.ParquetFile(Path(out) / "scores.parquet", read_dictionary=NAMES) as file:
        for group in range(file.num_row_groups):
            summary.add_rows(file.read_row_group(group).to_pandas())
    return summary.frame()


def _stream(
    blocks: Iterable[Block],
    parquet: Path,
    table: Path,
    by_label: dict[tuple[str, int, str], Labels],
    confused: Counter[tuple[str, str, str, str, str]],
) -> None:
    """Write each block as it comes; parquet in groups of rows of a fixed size."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = [pa.field(c, pa.type_for_alias(NUMBERS.get(c, "string"))) for c in COLUMNS]
    waiting: list[pd.DataFrame] = []
    rows = 0
    schema = pa.schema(names)
    with pq.ParquetWriter(parquet, schema) as writer, table.open("w", encoding="utf-8", newline="") as handle:
        handle.write(",".join(CSV_COLUMNS) + "\n")

        def flush() -> None:
            frame = pd.concat(waiting, ignore_index=True)
            writer.write_table(
                pa.Table.from_pandas(frame, schema=schema, preserve_index=False).replace_schema_metadata()
            )
            waiting.clear()

        for block in blocks:
            run = block.run
            _add_labels(by_label.setdefault((run.system, run.scale, run.task), {}), block.labels)
            for (wanted, named), count in block.confusions.items():
                confused[run.system, run.train_on, run.task, wanted, named] += count
            frame = _frame(block)
            frame[list(CSV_COLUMNS)].to_csv(
                handle, header=False, index=False, float_format="%.10g", lineterminator="\n"
            )
            waiting.append(frame)
            rows += len(frame)
            if rows >= _ROWS_A_GROUP:
                flush()
                rows = 0
        if waiting:
            flush()


def _add_labels(totals: Labels, labels: Labels) -> None:
    for label, counts in labels.items():
        if label not in totals and len(totals) >= _MOST_LABELS:
            label = OTHER
        totals[label] = tuple(a + b for a, b in zip(totals.get(label, (0, 0, 0)), counts, strict=True))


def _label_table(by_label: dict[tuple[str, int, str], Labels]) -> str:
    """Matched, answered and gold items and P, R, F1 of each gold label of each run."""
    lines: list[Sequence[Any]] = []
    for key in sorted(by_label):
        known = {label: counts for label, counts in by_label[key].items() if counts[2]}
        invented = Counter()
        for counts in by_label[key].values():
            if not counts[2]:
                invented.update(predicted=counts[1])
        rows = [*sorted(known.items()), (OTHER, (0, invented["predicted"], 0))] if invented else sorted(known.items())
        for label, counts in rows:
            lines.append([*key, label, *counts, *(f"{value:.10g}" for value in micro_of(*counts))])
    head = ["system", "scale", "task", "label", "tp", "predicted", "gold", "precision", "recall", "f1"]
    return _csv(head, lines)


def _csv(head: Sequence[str], lines: Iterable[Sequence[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([head, *lines])
    return text.getvalue()


# ---- samples for reading ---------------------------------------------------------------------------------------------


def read_samples(
    runs: Sequence[Run], gold: dict[str, Gold], tidy: pd.DataFrame, every: int = 1
) -> Iterator[dict[str, Any]]:
    """The answers to every so many-th sample with what is needed to look at them, in the tidy table's order.

    Keys: system, scale, task, sample, prompt (the question without the text), source_text, gold_answer, answer, gold and
    parsed (items as [type, surface], [head, relation, tail] or [key, value]), hallucinated (the answered values that the
    source does not have, as [label, value]), status, problems, scores (metric -> value).
    """
    tables = dict(iter(tidy.groupby(["system", "task"], sort=False, observed=True)))
    for run in runs:
        part = tables.get((run.system, run.task))
        if part is None:
            raise EtlchError(f"{run.file}: has no rows in the table of scores (expected {run.system!r}, {run.task!r})")
        metrics = list(dict.fromkeys(part["metric"]))
        values = part["value"].to_numpy().reshape(-1, len(metrics))
        for number, answer in enumerate(read_answers(run, gold[run.card])):
            if number % every:
                continue
            record, rows = answer.record, answer.rows
            golds = [gold_text(row, record) for row in rows]
            parsed = _together(
                [row.form.parse(text, row.asks, record.text) for row, text in zip(rows, answer.texts, strict=True)]
            )
            yield {
                "task": run.task,
                "sample": record.id,
                "prompt": "\n".join(row.instruction for row in rows),
                "source_text": record.text,
                "gold_answer": "\n".join(golds),
                "gold": _items(_together([_gold(row, record, text) for row, text in zip(rows, golds, strict=True)])),
                "system": run.system,
                "scale": run.scale,
                "answer": answer.text,
                "parsed": _items(parsed),
                "hallucinated": _invented(parsed, record.text),
                "status": parsed.status,
                "problems": list(parsed.problems),
                "scores": dict(zip(metrics, values[number].tolist(), strict=True)),
            }


def _items(parsed: Parsed) -> list[list[str]]:
    items = [[e.type, e.text] for e in parsed.entities]
    items += [[t.head, t.relation, t.tail] for t in parsed.triples]
    items += [[key, value] for key, values in parsed.fields for value in values]
    return items


def _invented(parsed: Parsed, source_text: str) -> list[list[str]]:
    """[label, value] of each value that the source does not have."""
    pairs = [(e.type, e.text) for e in parsed.entities]
    pairs += [(t.relation, value) for t in parsed.triples for value in (t.head, t.tail)]
    pairs += [(key, value) for key, values in parsed.fields for value in values]
    missing = set(hallucinated([value for _, value in pairs], source_text))
    return [[label, value] for label, value in pairs if value in missing]
