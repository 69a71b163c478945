"""The tidy table of per-sample scores, from answers joined with gold, and its summary; every report is a function of it.

Columns: system, base_model, scale, task, sample, metric, value. Rows are sorted by system and task, samples stand in the
test set's order and metrics in the order of METRICS; the same input gives the same bytes, whatever `jobs` is. Answers are
read, scored and written in chunks, so memory does not grow with their number.

Which metrics a task has follows from its card's format alone: validity for JSON formats, `entity_*`, `triple_*` or
`field_*` for the part of the record that the format carries. Gold items are what the format's own parser reads from the
rendered gold record, so gold and answer pass through the same code. The rules for no answer, unreadable answers and empty
gold stand in `eval.metrics` and its modules.
"""

from __future__ import annotations

import csv
import gc
import io
import os
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from etlch.errors import EtlchError
from etlch.formats import Parsed
from etlch.records import Record, read_records, record_from_json, write_text
from etlch.tasks import Card
from eval.answers import Answer, Gold, Run, read_answers
from eval.metrics.faithfulness import faithful_counts, faithfulness, hallucinated, values_of
from eval.metrics.fields import field_counts, field_counts_by_key
from eval.metrics.matching import Counts, micro_of, sample_scores
from eval.metrics.rouge import rouge, tokenizer_named
from eval.metrics.similarity import Similarity
from eval.metrics.spans import entity_counts, entity_counts_by_type, partial_counts
from eval.metrics.triples import triple_counts, triple_counts_by_relation
from eval.metrics.validity import validity

COLUMNS = ("system", "base_model", "scale", "task", "sample", "metric", "value")
NAMES = [column for column in COLUMNS if column not in ("scale", "value")]
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
    *("faithful_found", "faithful_total", "faithfulness", "answer_chars"),
)
"""Every per-sample metric in the order of the table; each task has some of them."""
OTHER = "(other)"
"""Answered labels that no gold item of the run has, together, in the table by label."""

ABOUT = "scoring.json"
CHUNK = 256
_ROWS_A_GROUP = 200_000
_MOST_LABELS = 10_000
_KEYS = ["system", "base_model", "scale", "task"]
_MATCH = {"entities": entity_counts, "triples": triple_counts, "fields": field_counts}
_MATCH_BY_LABEL = {
    "entities": entity_counts_by_type,
    "triples": triple_counts_by_relation,
    "fields": field_counts_by_key,
}

Labels = dict[str, tuple[int, int, int]]
Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Block:
    """The scores of consecutive answers of one run: metric -> one value a sample, in the order of METRICS."""

    run: Run
    samples: list[str]
    columns: dict[str, np.ndarray]
    labels: Labels

    def matrix(self) -> np.ndarray:
        """Samples by metrics."""
        return np.stack(list(self.columns.values()), axis=1)


def score_texts(
    card: Card, pairs: Sequence[tuple[Record, str]], tokenizer: str = "char"
) -> tuple[dict[str, np.ndarray], Labels]:
    """Score answers to a card's records: the columns but for `cosine`, and the counts by label."""
    records = [record for record, _ in pairs]
    texts = [text for _, text in pairs]
    gold_texts = [card.answer(record) for record in records]
    gold = [card.parse(text, record) for text, record in zip(gold_texts, records, strict=True)]
    parsed = [card.parse(text, record) for text, record in zip(texts, records, strict=True)]
    readable = np.array([p.status != "invalid" for p in parsed]) & np.array([bool(text.strip()) for text in texts])

    columns = {kind: values[:, 2] for kind, values in rouge(gold_texts, texts, tokenizer_named(tokenizer)).items()}
    if card.format.is_json:
        fields = card.format.part == "fields"
        columns |= validity(texts, [card.schema(record).keys for record in records] if fields else None)
    columns["answered"] = np.array([bool(text.strip()) for text in texts], dtype=float)
    columns["readable"] = readable.astype(float)
    columns |= _part_columns(card.format.part, gold, parsed, readable, [record.text for record in records])

    found, total = faithful_counts([values_of(p) for p in parsed], [record.text for record in records])
    gold_total = np.array([len(values_of(g)) for g in gold], dtype=float)
    columns |= {"faithful_found": found, "faithful_total": total}
    columns["faithfulness"] = faithfulness(found, total, gold_total, readable)
    columns["answer_chars"] = np.array([len(text) for text in texts], dtype=float)

    items = [[getattr(p, card.format.part) for p in side] for side in (gold, parsed)]
    return {name: columns[name] for name in METRICS if name in columns}, _MATCH_BY_LABEL[card.format.part](*items)


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
    similarity: Similarity | None = None,
    jobs: int = 1,
    progress: Progress | None = None,
) -> Iterator[Block]:
    """Score runs chunk by chunk, in the order given. `progress` is told how many answers are done.

    Raises EtlchError for answers that do not fit their gold (see `eval.answers.read_answers`).
    """
    collect_rarely()
    chunks = ((run, *chunk) for run in runs for chunk in _chunks(read_answers(run, gold[run.task])))
    done = 0
    for run, chunk, (columns, labels) in _scored(chunks, gold, tokenizer, jobs):
        if similarity is not None:
            references = [gold[run.task].card.answer(answer.record) for answer in chunk]
            columns["cosine"] = similarity.cosine(references, [answer.text for answer in chunk])
            columns = {name: columns[name] for name in METRICS if name in columns}
        done += len(chunk)
        if progress:
            progress(done)
        yield Block(run, [answer.record.id for answer in chunk], columns, labels)


def _chunks(answers: Iterator[Answer]) -> Iterator[tuple[int, list[Answer]]]:
    """(place of the first, answers) of each chunk."""
    start = 0
    while chunk := list(islice(answers, CHUNK)):
        yield start, chunk
        start += len(chunk)


def _scored(
    chunks: Iterable[tuple[Run, int, list[Answer]]], gold: dict[str, Gold], tokenizer: str, jobs: int
) -> Iterator[tuple[Run, list[Answer], tuple[dict[str, np.ndarray], Labels]]]:
    """Each chunk with its scores, in order; with several jobs, at most two chunks a process wait."""
    if jobs <= 1:
        for run, _, chunk in chunks:
            yield run, chunk, score_texts(gold[run.task].card, [(a.record, a.text) for a in chunk], tokenizer)
        return
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    # spawned, not forked: the parent may hold torch's threads
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), initializer=collect_rarely) as pool:
        waiting: deque = deque()
        for run, start, chunk in chunks:
            card, test = gold[run.task].card, gold[run.task].test
            # pickling a record costs as much as scoring it: a small test set is read by each process itself
            records = (test.path, start) if test.small else [a.record.to_json() for a in chunk]
            waiting.append((run, chunk, pool.submit(_score_chunk, card, records, [a.text for a in chunk], tokenizer)))
            if len(waiting) > 2 * jobs:
                first = waiting.popleft()
                yield first[0], first[1], first[2].result()
        while waiting:
            first = waiting.popleft()
            yield first[0], first[1], first[2].result()


def _score_chunk(
    card: Card, records: tuple[Path, int] | list[dict[str, Any]], texts: list[str], tokenizer: str
) -> tuple[dict[str, np.ndarray], Labels]:
    """`score_texts` in another process; the records come as a place in a small test set or as plain JSON objects."""
    if isinstance(records, tuple):
        path, start = records
        gold = _small_test_set(path)[start : start + len(texts)]
    else:
        gold = [record_from_json(row) for row in records]
    return score_texts(card, list(zip(gold, texts, strict=True)), tokenizer)


@lru_cache(maxsize=8)
def _small_test_set(path: Path) -> list[Record]:
    return list(read_records(path))


# ---- tables ----------------------------------------------------------------------------------------------------------


def _frame(block: Block) -> pd.DataFrame:
    """A block as rows of the tidy table, with COLUMNS."""
    metrics = np.array(list(block.columns), dtype=object)
    n, m = len(block.samples), len(metrics)
    run = block.run
    constant = {"system": run.system, "base_model": run.base_model, "scale": run.scale, "task": run.task}
    return pd.DataFrame(
        {key: np.full(n * m, value, dtype=int if key == "scale" else object) for key, value in constant.items()}
        | {
            "sample": np.repeat(np.array(block.samples, dtype=object), m),
            "metric": np.tile(metrics, n),
            "value": block.matrix().ravel(),
        }
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

    def frame(self) -> pd.DataFrame:
        """The table, sorted by system, scale and task."""
        rows = [self._row(key) for key in sorted(self.sums, key=lambda key: (key[0], key[2], key[3], key[1]))]
        present = {column for row in rows for column in row}
        head = [*_KEYS, "samples", "unanswered", "invalid"]
        order = head + [name for metric in METRICS for name in (metric, f"{metric}_macro")]
        for part in PARTS.values():
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
        for part in PARTS.values():
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
    """Write scores.parquet, scores.csv, summary.csv and by_label.csv.

    Nothing written before is touched until all answers are scored. Then the old `scoring.json` goes first; the caller
    writes the new one last, so where it stands the tables beside it are whole.
    """
    out = Path(out)
    by_label: dict[tuple[str, int, str], Labels] = {}
    try:
        out.mkdir(parents=True, exist_ok=True)
        parquet, table = (out / f".{name}.{os.getpid()}.tmp" for name in ("scores.parquet", "scores.csv"))
        try:
            _stream(blocks, parquet, table, by_label)
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


def read_scores(out: str | Path) -> pd.DataFrame:
    """The tidy table that `write_scores` wrote, its names as categories. Raises EtlchError where there is none."""
    path = Path(out) / "scores.parquet"
    try:
        return pd.read_parquet(path, read_dictionary=NAMES)
    except (OSError, ValueError) as error:
        reason = "no such file" if isinstance(error, FileNotFoundError) else error
        raise EtlchError(f"{path}: {reason} (expected what `python -m eval score` writes)") from None


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
) -> None:
    """Write each block as it comes; parquet in groups of rows of a fixed size."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = [pa.field(c, {"scale": pa.int64(), "value": pa.float64()}.get(c, pa.string())) for c in COLUMNS]
    waiting: list[pd.DataFrame] = []
    rows = 0
    schema = pa.schema(names)
    with pq.ParquetWriter(parquet, schema) as writer, table.open("w", encoding="utf-8", newline="") as handle:
        handle.write(",".join(COLUMNS) + "\n")

        def flush() -> None:
            frame = pd.concat(waiting, ignore_index=True)
            writer.write_table(
                pa.Table.from_pandas(frame, schema=schema, preserve_index=False).replace_schema_metadata()
            )
            waiting.clear()

        for block in blocks:
            _add_labels(by_label.setdefault((block.run.system, block.run.scale, block.run.task), {}), block.labels)
            frame = _frame(block)
            frame.to_csv(handle, header=False, index=False, float_format="%.10g", lineterminator="\n")
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
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["system", "scale", "task", "label", "tp", "predicted", "gold", "precision", "recall", "f1"])
    for key in sorted(by_label):
        known = {label: counts for label, counts in by_label[key].items() if counts[2]}
        invented = Counter()
        for counts in by_label[key].values():
            if not counts[2]:
                invented.update(predicted=counts[1])
        rows = [*sorted(known.items()), (OTHER, (0, invented["predicted"], 0))] if invented else sorted(known.items())
        for label, counts in rows:
            writer.writerow([*key, label, *counts, *(f"{value:.10g}" for value in micro_of(*counts))])
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
    golden: dict[tuple[str, str], dict[str, Any]] = {}
    for run in runs:
        part = tables.get((run.system, run.task))
        if part is None:
            raise EtlchError(f"{run.file}: has no rows in the table of scores (expected {run.system!r}, {run.task!r})")
        metrics = list(dict.fromkeys(part["metric"]))
        values = part["value"].to_numpy().reshape(-1, len(metrics))
        card, small = gold[run.task].card, gold[run.task].test.small
        for number, answer in enumerate(read_answers(run, gold[run.task])):
            if number % every:
                continue
            record = answer.record
            asked = golden.get((run.task, record.id)) or _asked(card, record)
            if small:
                golden[run.task, record.id] = asked
            parsed = card.parse(answer.text, record)
            yield asked | {
                "system": run.system,
                "scale": run.scale,
                "answer": answer.text,
                "parsed": _items(parsed),
                "hallucinated": _invented(parsed, record.text),
                "status": parsed.status,
                "problems": list(parsed.problems),
                "scores": dict(zip(metrics, values[number].tolist(), strict=True)),
            }


def _asked(card: Card, record: Record) -> dict[str, Any]:
    """The part of a sample that is the same for every system."""
    answer = card.answer(record)
    return {
        "task": card.name,
        "sample": record.id,
        "prompt": card.question(record),
        "source_text": record.text,
        "gold_answer": answer,
        "gold": _items(card.parse(answer, record)),
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
