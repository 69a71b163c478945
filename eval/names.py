"""Names and order of systems, tasks and metrics, the same in every table, figure and page."""

from __future__ import annotations

import re
from collections.abc import Iterable

import pandas as pd

from etlch.tasks import Card

BINARY = ("json_parse_ok", "json_fence_ok", "json_repair_ok", "schema_ok", "answered", "readable")
"""Metrics that are 0 or 1 a sample; shown as a share."""

PARTS = ("entity_surface", "entity", "pair", "triple", "field")
"""What is counted, `<part>_tp`, `<part>_pred`, `<part>_gold`, with a per-sample `<part>_f1`: parts of a record, and those
without labels (surfaces of entities, heads with tails), which rank systems that were told no labels."""

_KINDS = {
    "f1": "F1",
    "precision": "precision",
    "recall": "recall",
    "f1_normalised": "F1, normalised",
    "f1_partial": "F1, partial",
    "f1_offsets": "F1 by offsets",
}
_WORDS = {part: part.capitalize() for part in PARTS} | {"entity_surface": "Surface", "pair": "Head-tail"}
TITLES = {
    "rouge1": "ROUGE-1 (F1)",
    "rouge2": "ROUGE-2 (F1)",
    "rougeL": "ROUGE-L (F1)",
    "cosine": "Cosine similarity",
    "json_parse_ok": "Valid JSON",
    "json_fence_ok": "Valid JSON, code fence removed",
    "json_repair_ok": "Valid JSON after repair",
    "schema_ok": "Schema followed",
    "answered": "Answered",
    "readable": "Readable",
    **{f"{part}_{kind}": f"{_WORDS[part]} {words}" for part in PARTS for kind, words in _KINDS.items()},
    **{f"{part}_f1_macro": f"{_WORDS[part]} F1, mean of samples" for part in PARTS},
    "faithfulness": "Faithfulness",
    "faithfulness_macro": "Faithfulness, mean of samples",
}
"""Metric -> heading. `<part>_f1` is the micro F1 from summed counts, `<part>_f1_macro` the mean of the samples' F1."""

_ORDER = {name: number for number, name in enumerate(TITLES)}
_FLOOR = re.compile(r"(skeleton|dictionary|crf)(_\d+)?")
_TASKS = ("json", "kge", "ner")


def title(metric: str) -> str:
    """The heading of a metric; an unknown metric keeps its name."""
    return TITLES.get(metric, metric)


def order_metrics(metrics: Iterable[str]) -> list[str]:
    """Metrics in the order of TITLES, unknown ones after them by name."""
    return sorted(set(metrics), key=lambda name: (_ORDER.get(name, len(_ORDER)), name))


def order_tasks(tasks: Iterable[str]) -> list[str]:
    """Tasks in the paper's order (JSON, KGE, NER), others after them by name."""
    return sorted(set(tasks), key=lambda name: (_TASKS.index(name) if name in _TASKS else len(_TASKS), name))


def tasks_of(tidy: pd.DataFrame) -> list[str]:
    """The tasks of a table in the paper's order."""
    return order_tasks(map(str, tidy["task"].unique()))


def task_title(task: str) -> str:
    """How a task is named in figures and tables: the paper's capitals for its three tasks."""
    return task.upper() if task in _TASKS else task


def heading_of(task: str, card: Card | None) -> str:
    """A task's name and, where its card has one, its title."""
    short = task_title(task)
    if card is None or not card.title or card.title == task:
        return short
    return card.title if short.lower() in card.title.lower() else f"{short} {card.title}"


def systems_of(tidy: pd.DataFrame) -> pd.DataFrame:
    """One row a system: floors first, weakest kind first, then untuned systems, then tuned ones by base model and scale.

    Columns: system, base_model, scale, ladder, then whatever else the table says once a system (draw, recipe). A ladder is
    the systems of a scale above 0 that differ in scale alone. It is called by the base model where that has one system a scale; where it
    has several (seeds, recipes), by the system's name with N for the scale. A system alone on its ladder has its own name.
    """
    first = tidy.drop_duplicates("system").reset_index(drop=True)
    more = [name for name in tidy if name not in ("system", "base_model", "scale", "task", "sample", "metric", "value")]
    more = [name for name in more if tidy.groupby("system", observed=True)[name].nunique(dropna=False).max() == 1]
    table = pd.DataFrame(
        {
            "system": first["system"].astype(str),
            "base_model": first["base_model"].astype(object).where(first["base_model"].notna(), "").astype(str),
            "scale": first["scale"].fillna(0).astype(int),
            "ladder": "",
        }
    )
    tuned = table["scale"] > 0
    for base, part in table[tuned].groupby("base_model"):
        names = [name.replace(str(scale), "N", 1) for name, scale in zip(part["system"], part["scale"], strict=True)]
        shared = [name if names.count(name) > 1 else own for name, own in zip(names, part["system"], strict=True)]
        table.loc[part.index, "ladder"] = base if base and part["scale"].is_unique else shared
    kinds = ("skeleton", "dictionary", "crf")
    floor = [kinds.index(name.split("_")[0]) if is_floor(name) else len(kinds) for name in table["system"]]
    order = table.assign(floor=floor, tuned=tuned).sort_values(["floor", "tuned", "base_model", "scale", "system"])
    return table.join(first[more]).loc[order.index].reset_index(drop=True)


def tuned_of(systems: pd.DataFrame) -> pd.DataFrame:
    """The tuned models: systems of a scale above 0 but for floors."""
    return systems[(systems["scale"] > 0) & ~systems["system"].map(is_floor).astype(bool)]


def ladders(systems: pd.DataFrame, floors: bool = False) -> list[pd.DataFrame]:
    """The tuned models, or the floors, of each ladder, smallest scale first, in the order of systems."""
    scaled = systems[(systems["scale"] > 0) & (systems["system"].map(is_floor).astype(bool) == floors)]
    return [part.sort_values("scale") for _, part in scaled.groupby(["base_model", "ladder"], sort=False)]


def is_floor(system: str) -> bool:
    """Whether a system is a floor: an answer that needs no language model (a scale may follow: `crf_300`)."""
    return _FLOOR.fullmatch(system) is not None
