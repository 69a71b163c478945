"""The report: one HTML page that opens without a server, report.md, CSV and LaTeX tables, figures."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd

from etlch.errors import EtlchError
from etlch.records import write_text
from etlch.tasks import Card
from eval.figures import GRID, INK, PAPER, Drawn, write_figures
from eval.names import is_floor, title
from eval.samples import LONGEST, pack
from eval.stats import FEW, RESAMPLES
from eval.tables import Column, Table, percent, plain, to_csv, to_latex, to_markdown
from eval.verdict import MARGIN, Findings, find, verdict

_TASK = Column("task_title", "Task")
_METRIC = Column("metric_title", "Metric")
_SCALE = Column("scale", "Training samples", "count", "samples a task; n/a: not tuned")
_NOTE = Column("note", "Note")


def write_report(
    tidy: pd.DataFrame,
    summary: pd.DataFrame | None,
    samples: Iterable[Mapping[str, Any]],
    out_dir: str | Path,
    experiment: str = "",
    cards: Sequence[Card] | None = None,
) -> Path:
    """Write index.html, report.md, tables/*.csv, tables/*.tex and figures/* into `out_dir`; returns index.html.

    tidy and summary are the tables of eval.scores (summary may be None), samples its answers (see
    eval.scores.read_samples); cards give the tasks' titles and the metrics that count for win rates. The same input gives
    the same bytes. Raises EtlchError when the scores are empty or contradict themselves, or a file cannot be written.
    """
    out = Path(out_dir)
    found = find(tidy, summary, cards)
    try:
        figures = write_figures(found, out / "figures")
    except OSError as error:
        raise EtlchError(f"{out / 'figures'}: cannot be written ({error.strerror or error})") from None
    frames = {"systems": found.scores, "comparisons": found.compared, "win_rates": found.wins}
    frames |= {"enough_data": found.enough, "published": found.published}
    for name, frame in frames.items():
        write_text(out / "tables" / f"{name}.csv", to_csv(frame))
    scores = [_scores_table(found, task, found.headline(task), "scores") for task in found.tasks]
    every = [_scores_table(found, task, found.metrics(task), "all") for task in found.tasks]
    pairs, wins, enough, published = (make(found) for make in (_pairs, _wins, _enough, _published))
    for table in (*scores, *every, wins, enough, published):
        write_text(out / "tables" / f"{table.name}.tex", to_latex(table))
    script = files("eval").joinpath("report.js").read_text(encoding="utf-8")
    parts = {
        "heading": f"etlch report: {experiment}" if experiment else "etlch report",
        "found": found,
        "answers": int(found.summary["samples"].sum()),
        "resamples": RESAMPLES,
        "few": FEW,
        "verdict": verdict(found),
        "scores": scores,
        "every": every,
        "figures": figures,
        "wins": wins,
        "enough": enough,
        # only the head: there are thousands of rows, and a reader looks at a few
        "pairs": replace(pairs, rows=[]),
        "published": published,
        "packed": pack(samples, found.systems["system"].tolist(), pairs.cells()),
        "longest": LONGEST,
        "script": script,
        "script_hash": base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii"),
    }
    parts["method"] = _rendered("method.txt", parts).strip().split("\n")
    write_text(out / "report.md", _rendered("report.md", parts))
    write_text(out / "index.html", _rendered("report.html", parts))
    return out / "index.html"


def _rendered(template: str, parts: Mapping[str, Any]) -> str:
    """A template of this package; in HTML everything is escaped but script, data and figures."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("eval", ""),
        autoescape=template.endswith(".html"),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {"plain": plain, "markdown": to_markdown, "inline": _inline}
    return environment.get_template(template).render(parts)


def _inline(figure: Drawn) -> str:
    """A figure's SVG as it stands in the page: its ink, grid and paper are the page's, light or dark."""
    svg = figure.svg.read_text(encoding="utf-8")
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    return svg.replace(INK, "currentColor").replace(GRID, "var(--grid)").replace(PAPER, "none")


# -- tables -------------------------------------------------------------------------------------------------------


def _scores_table(found: Findings, task: str, metrics: Sequence[str], kind: str) -> Table:
    counts = {row["system"]: row for row in found.summary[found.summary["task"] == task].to_dict("records")}
    rows = []
    for system in found.systems.to_dict("records"):
        name = system["system"]
        count = counts.get(name, {"samples": 0})
        row = count | system | {"scale": system["scale"] or None}
        notes = ["floor"] if is_floor(name) else []
        row["clusters"] = max(found.score(task, metric, name).clusters for metric in metrics) if metrics else 0
        for metric in metrics:
            score = found.score(task, metric, name)
            row[metric], row[f"{metric}_low"], row[f"{metric}_high"] = score.score, score.low, score.high
            if score.note and score.n == 0 and name not in counts:
                notes = [score.note]
            elif score.no_value:
                notes.append(f"{title(metric)}: {score.no_value} without a value")
        rows.append(row | {"note": "; ".join(notes)})
    columns = [
        Column("system", "System"),
        *([] if kind == "scores" else [Column("base_model", "Base model")]),
        _SCALE,
        Column("samples", "Answers", "count"),
        Column("clusters", "Clusters", "count", "answers to samples that share a source are one cluster"),
        Column("unanswered", "No answer", "count", "empty answers"),
        Column("invalid", "Unreadable", "count", "answers that are not the format asked for, empty ones included"),
        *(Column(metric, title(metric), "score", metric) for metric in metrics),
        _NOTE,
    ]
    heading = found.titles[task] if kind == "scores" else f"{found.titles[task]}: every metric"
    note = "Percent, with 95% bootstrap intervals over clusters in brackets. "
    note = f"{note}Systems are ranked by {title(found.primary(task))}." if kind == "scores" else ""
    return Table(f"{kind}_{re.sub('[^0-9A-Za-z]+', '_', task)}", heading, columns, rows, note)


def _rows(found: Findings, frame: pd.DataFrame, **more: Iterable[Any]) -> list[dict[str, Any]]:
    """The rows of a frame with the titles of their tasks and metrics, and further columns."""
    if "metric" in frame:
        more["metric_title"] = frame["metric"].map(title)
    return frame.assign(task_title=frame["task"].map(found.titles), **more).to_dict("records")


def _wins(found: Findings) -> Table:
    wins = found.wins
    rows = _rows(
        found,
        wins,
        shown=[f"{won}/{of}" if of else "" for won, of in zip(wins["wins"], wins["of"], strict=True)],
        shown_strict=[
            f"{won}/{of}" if of else "" for won, of in zip(wins["significant_wins"], wins["of"], strict=True)
        ],
        primary_title=wins["primary"].map(title),
        won=[", ".join(title(metric) for metric in won.split(", ") if metric) for won in wins["won"]],
    )
    columns = [
        _TASK,
        Column("baseline", "Baseline"),
        Column("system", "Tuned system"),
        _SCALE,
        Column("shown", "Wins"),
        Column("rate", "Win rate, %", "score"),
        Column("shown_strict", "Significant wins"),
        Column("strict_rate", "Strict rate, %", "score"),
        Column("won", "Won on"),
        Column("primary_title", "Primary metric"),
        Column("primary_difference", "Lead on it, points", "points"),
        _NOTE,
    ]
    note = (
        "Wins: metrics on which the tuned system's score is higher, of the metrics that count for the task (ETLCH, section "
        "7). Significant: also after Holm's correction over all pairs of systems on that task and metric."
    )
    return Table("win_rates", "Win rates by task, baseline and scale", columns, rows, note)


def _enough(found: Findings) -> Table:
    shown = {(task, metric) for task in found.tasks for metric in found.headline(task)}
    enough = found.enough
    enough = enough.loc[[key in shown for key in zip(enough["task"], enough["metric"], strict=True)]]
    rows = _rows(found, enough, outcome=[_outcome(row) for row in enough.to_dict("records")])
    columns = [
        Column(
            "ladder", "Base model", hint="or the systems' name, N being the scale, where several share a base model"
        ),
        _TASK,
        _METRIC,
        _SCALE,
        Column("score", "Score, %", "score"),
        Column("difference", "Against largest, points", "points"),
        Column("bound", "At worst, points", "points", "lower end of the one-sided 95% interval of the difference"),
        Column("outcome", f"Within {percent(MARGIN)} points"),
        _NOTE,
    ]
    note = (
        f"A scale is not worse than the largest when the difference is, with 95% certainty, above −{percent(MARGIN)} points "
        "(non-inferiority, one-sided paired bootstrap). Enough: the smallest such scale above which all are too, "
        "if the largest beats the best floor and the untuned model by more than the margin on the primary metric."
    )
    return Table("enough_data", "How much training data is enough", columns, rows, note)


def _outcome(row: Mapping[str, Any]) -> str:
    """A scale is enough, as good, or not shown to be; the largest is what the others are held against."""
    if row["enough"]:
        return "enough"
    if row["scale"] == row["largest"]:
        return "the largest"
    return "as good" if row["non_inferior"] else "not shown"


def _pairs(found: Findings) -> Table:
    pairs = found.compared
    winner = [{"a": a, "b": b}.get(v, v) for a, b, v in pairs[["a", "b", "verdict"]].itertuples(index=False)]
    family = pairs["family"] + ": " + pairs["family_size"].astype(str) + " tests"
    ends = {"difference_low": pairs["low"], "difference_high": pairs["high"], "p_holm_ends": pairs["p_ends"]}
    rows = _rows(found, pairs, winner=winner, family_told=family, **ends)
    columns = [
        Column("a", "A"),
        Column("b", "B"),
        Column("task", "Task"),
        _METRIC,
        Column("n", "Common samples", "count"),
        Column("clusters", "Clusters", "count", "samples that share a source are one cluster"),
        Column("score_a", "A, %", "score"),
        Column("score_b", "B, %", "score"),
        Column("difference", "A − B, points", "points", "with 95% paired bootstrap interval (BCa)"),
        Column("p_holm", "p after Holm", "p"),
        Column("winner", "Ahead"),
        Column(
            "samples_needed", "Samples to settle it", "count", "at 80% power if the difference seen is the true one"
        ),
        Column(
            "p",
            "p",
            "p",
            "paired permutation test over clusters, or exact McNemar test; ≤: so few clusters give no less",
        ),
        Column("p_fisher", "p Fisher", "p", "unpaired, for comparison with the paper"),
        Column("family_told", "Family"),
        _NOTE,
    ]
    return Table("comparisons", "Pairs of systems on the same samples", columns, rows)


def _published(found: Findings) -> Table:
    published = found.published
    rows = _rows(found, published, measured_low=published["low"], measured_high=published["high"])
    columns = [
        Column("paper", "Paper"),
        Column("where", "Where"),
        Column("row", "Row"),
        _TASK,
        _METRIC,
        Column("published", "Published, %", "score"),
        Column("measured", "Measured here, %", "score"),
        Column("system", "System here"),
        Column("base_model", "Base model here"),
        _NOTE,
    ]
    note = "Other data and, unless said otherwise, another base model: a check of the order of size, not a replication."
    return Table("published", "Published values beside the measured ones", columns, rows, note)
