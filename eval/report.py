"""The report: one HTML page that opens without a server, report.md, CSV and LaTeX tables, figures."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

import pandas as pd

from etlch.errors import EtlchError
from etlch.records import write_text
from etlch.tasks import Card
from eval.figures import GRID, INK, PAPER, Drawn, write_figures
from eval.names import is_floor, title
from eval.samples import Packed, pack
from eval.stats import RESAMPLES
from eval.tables import Column, Table, percent, plain, to_csv, to_html, to_latex, to_markdown
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
        figures, unseen = write_figures(tidy, out / "figures", cards, scores=found.scores, wins=found.wins)
    except OSError as error:
        raise EtlchError(f"{out / 'figures'}: cannot be written ({error.strerror or error})") from None
    tables = _tables(found)
    frames = {"systems": found.scores, "comparisons": found.compared, "win_rates": found.wins}
    frames |= {"enough_data": found.enough, "published": found.published}
    for name, frame in frames.items():
        write_text(out / "tables" / f"{name}.csv", to_csv(frame))
    for table in tables.values():
        if table.name != "comparisons":
            write_text(out / "tables" / f"{table.name}.tex", to_latex(table))
    method = _method(found, unseen)
    packed = pack(samples, found.systems["system"].tolist(), _marked(tables["comparisons"]))
    heading = f"etlch report: {experiment}" if experiment else "etlch report"
    write_text(out / "report.md", _markdown(heading, found, tables, figures, method))
    write_text(out / "index.html", _page(heading, found, tables, figures, packed, method))
    return out / "index.html"


# -- tables -------------------------------------------------------------------------------------------------------


def _tables(found: Findings) -> dict[str, Table]:
    tables = {}
    for task in found.tasks:
        tables[f"scores_{task}"] = _scores_table(found, task, found.headline(task), "scores")
        tables[f"all_{task}"] = _scores_table(found, task, found.metrics(task), "all")
    tables["win_rates"] = _wins_table(found)
    tables["enough_data"] = _enough_table(found)
    tables["comparisons"] = _pairs_table(found)
    tables["published"] = _published_table(found)
    return tables


def _scores_table(found: Findings, task: str, metrics: Sequence[str], kind: str) -> Table:
    counts = {row["system"]: row for row in found.summary[found.summary["task"] == task].to_dict("records")}
    rows = []
    for system in found.systems.itertuples():
        count = counts.get(system.system, {})
        row: dict[str, Any] = {
            "system": system.system,
            "base_model": system.base_model,
            "scale": system.scale or None,
            "samples": count.get("samples", 0),
            "unanswered": count.get("unanswered"),
            "invalid": count.get("invalid"),
            "note": "floor" if is_floor(system.system) else "",
        }
        for metric in metrics:
            score = found.score(task, metric, system.system)
            row[metric], row[f"{metric}_low"], row[f"{metric}_high"] = score.score, score.low, score.high
            if score.note and score.n == 0 and not count:
                row["note"] = score.note
            elif score.no_value:
                row["note"] = "; ".join(
                    filter(None, [row["note"], f"{title(metric)}: {score.no_value} without a value"])
                )
        rows.append(row)
    columns = [
        Column("system", "System"),
        *([] if kind == "scores" else [Column("base_model", "Base model")]),
        _SCALE,
        Column("samples", "Answers", "count"),
        Column("unanswered", "No answer", "count", "empty answers"),
        Column("invalid", "Unreadable", "count", "answers that are not the format asked for, empty ones included"),
        *(Column(metric, title(metric), "score", metric) for metric in metrics),
        _NOTE,
    ]
    heading = found.titles[task] if kind == "scores" else f"{found.titles[task]}: every metric"
    note = "Percent, with 95% bootstrap intervals in brackets." if kind == "scores" else ""
    return Table(f"{kind}_{_stem(task)}", heading, columns, rows, note)


def _stem(text: str) -> str:
    return re.sub(r"[^0-9A-Za-z]+", "_", text)


def _wins_table(found: Findings) -> Table:
    rows = [
        {
            **row,
            "task_title": found.titles[row["task"]],
            "shown": f"{row['wins']}/{row['of']}" if row["of"] else "",
            "shown_strict": f"{row['significant_wins']}/{row['of']}" if row["of"] else "",
            "won": ", ".join(title(metric) for metric in row["won"].split(", ") if metric),
        }
        for row in found.wins.to_dict("records")
    ]
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
        _NOTE,
    ]
    note = (
        "Wins: metrics on which the tuned system's score is higher, of the metrics that count for the task (ETLCH, section "
        "7). Significant: also after Holm's correction over all pairs of systems on that task and metric."
    )
    return Table("win_rates", "Win rates by task, baseline and scale", columns, rows, note)


def _enough_table(found: Findings) -> Table:
    rows = []
    for row in found.enough.to_dict("records"):
        if row["metric"] not in found.headline(row["task"]):
            continue
        rows.append(
            {
                **row,
                "task_title": found.titles[row["task"]],
                "metric_title": title(row["metric"]),
                "said": _said(row),
            }
        )
    columns = [
        Column("base_model", "Base model"),
        _TASK,
        _METRIC,
        _SCALE,
        Column("score", "Score, %", "score"),
        Column("difference", "Against largest, points", "points"),
        Column("bound", "At worst, points", "points", "lower end of the one-sided 95% interval of the difference"),
        Column("said", f"Within {percent(MARGIN)} points"),
        _NOTE,
    ]
    note = (
        f"A scale is not worse than the largest when the difference is, with 95% certainty, above −{percent(MARGIN)} points "
        "(non-inferiority, one-sided paired bootstrap). Enough: the smallest such scale above which all are too."
    )
    return Table("enough_data", "How much training data is enough", columns, rows, note)


def _said(row: Mapping[str, Any]) -> str:
    """What a row says of its scale: enough, as good, not shown to be; the largest is what the others are held against."""
    if row["enough"]:
        return "enough"
    if row["scale"] == row["largest"]:
        return "the largest"
    return "as good" if row["non_inferior"] else "not shown"


def _pairs_table(found: Findings) -> Table:
    rows = []
    for row in found.compared.to_dict("records"):
        row["difference_low"], row["difference_high"] = row["low"], row["high"]
        row["winner"] = {"a": row["a"], "b": row["b"]}.get(row["verdict"], row["verdict"])
        row["metric_title"] = title(row["metric"])
        row["family_told"] = f"{row['family']}: {row['family_size']} tests"
        rows.append(row)
    columns = [
        Column("a", "A"),
        Column("b", "B"),
        Column("task", "Task"),
        _METRIC,
        Column("n", "Common samples", "count"),
        Column("score_a", "A, %", "score"),
        Column("score_b", "B, %", "score"),
        Column("difference", "A − B, points", "points", "with 95% paired bootstrap interval (BCa)"),
        Column("p_holm", "p after Holm", "p"),
        Column("winner", "Ahead"),
        Column(
            "samples_needed", "Samples to settle it", "count", "at 80% power if the difference seen is the true one"
        ),
        Column("p", "p", "p", "exact McNemar test for metrics of 0 and 1, else paired permutation test"),
        Column("p_fisher", "p Fisher", "p", "unpaired, for comparison with the paper"),
        Column("family_told", "Family"),
        _NOTE,
    ]
    return Table("comparisons", "Pairs of systems on the same samples", columns, rows)


def _published_table(found: Findings) -> Table:
    rows = []
    for row in found.published.to_dict("records"):
        row["measured_low"], row["measured_high"] = row["low"], row["high"]
        row["metric_title"], row["task_title"] = title(row["metric"]), found.titles[row["task"]]
        rows.append(row)
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


# -- words --------------------------------------------------------------------------------------------------------


def _method(found: Findings, unseen: str) -> list[str]:
    lines = [
        "Systems are compared on the samples that both answered, pair by pair. Intervals are 95% bias-corrected and "
        f"accelerated bootstrap intervals ({RESAMPLES:,} resamples of samples, seeded); p-values are of the exact McNemar test "
        "for metrics of 0 and 1, else of the paired permutation test (two-sided), whose smallest possible value is "
        f"1/{RESAMPLES + 1:,}. A family of tests is one task and metric over all pairs of systems; p after Holm is corrected "
        "within it. Fisher's exact test ignores the pairing and stands in the table for comparison with the paper.",
        "F1 is micro F1: matched, answered and gold items summed over the samples. Faithfulness is the share of answered "
        "values that occur in the source text. An empty or unreadable answer counts as wrong in every score; how many there "
        "were stands in each table. Floors (skeleton, dictionary) are answers that need no model.",
        "Samples to settle it: how many test samples a two-sided test at 0.05 divided by the size of the family would need "
        "for 80% power, if the difference seen is the true one. A rough guide.",
    ]
    if unseen:
        told = ", ".join(f"U+{ord(c):04X}" for c in unseen)
        lines.append(f"No font here has glyphs for {told}; in the figures they are written as code points.")
    alone = found.systems["scale"].gt(0).sum()
    if not alone:
        lines.append("No fine-tuned system is among the scores, so there are no learning curves and no win rates.")
    return lines


def _markdown(
    heading: str, found: Findings, tables: Mapping[str, Table], figures: Sequence[Drawn], method: Sequence[str]
) -> str:
    parts = [f"# {plain(heading)}", ""]
    for name, lines in verdict(found):
        parts += [f"## {plain(name)}", "", *(f"- {plain(line)}" for line in lines), ""]
    parts += ["## Scores", ""]
    parts += [to_markdown(tables[f"scores_{task}"]) for task in found.tasks]
    parts += ["## Figures", ""]
    for figure in figures:
        if figure.svg is None:
            parts += [f"- {plain(figure.heading)}: not drawn, {plain(figure.missing)}", ""]
        else:
            parts += [
                f"![{plain(figure.heading)}](figures/{figure.svg.name})",
                "",
                f"*{plain(figure.heading)}* {plain(figure.caption)}",
                "",
            ]
    for name in ("win_rates", "enough_data", "published"):
        if tables[name].rows:
            parts += [to_markdown(tables[name])]
    parts += ["## Method", "", *(f"{line}\n" for line in method)]
    parts += ["Every comparison: `tables/comparisons.csv`. LaTeX: `tables/*.tex`."]
    return "\n".join(parts) + "\n"


# -- page ---------------------------------------------------------------------------------------------------------


def _page(
    heading: str,
    found: Findings,
    tables: Mapping[str, Table],
    figures: Sequence[Drawn],
    packed: Packed,
    method: Sequence[str],
) -> str:
    package = files("eval")
    template = package.joinpath("report.html").read_text(encoding="utf-8")
    script = package.joinpath("report.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
    published = tables["published"]
    parts = {
        "title": escape(heading),
        "about": escape(_about(found)),
        "script_hash": f"sha256-{digest}",
        "verdict": "".join(
            f"<section><h3>{escape(name)}</h3><ul>{''.join(f'<li>{escape(line)}</li>' for line in lines)}</ul></section>"
            for name, lines in verdict(found)
        ),
        "scores": "".join(to_html(tables[f"scores_{task}"]) for task in found.tasks)
        + "<details><summary>Every metric</summary>"
        + "".join(to_html(tables[f"all_{task}"]) for task in found.tasks)
        + "</details>",
        "figures": "".join(_figure(figure, number) for number, figure in enumerate(figures)),
        "wins": _or_none(tables["win_rates"], "No tuned system with a baseline to beat."),
        "enough": _or_none(tables["enough_data"], "No base model was tuned at more than one scale."),
        # only the head: there are thousands of rows, and a reader looks at a few
        "pairs": to_html(replace(tables["comparisons"], rows=[])) if len(found.compared) else _ALONE,
        "published_link": '<a href="#published">Published</a>' if published.rows else "",
        "published": f"<section id=published><h2>Beside the published numbers</h2>{to_html(published)}</section>"
        if published.rows
        else "",
        "samples_note": escape(_samples_note(packed, int(found.summary["samples"].sum()))),
        "method": "".join(f"<p>{escape(line)}</p>" for line in method),
        "data": packed.blob,
        "script": script,
    }
    # one pass, so that text which looks like a placeholder stays text
    return re.sub(r"@@(\w+)@@", lambda match: parts[match[1]], template)


def _about(found: Findings) -> str:
    answers = int(found.summary["samples"].sum())
    return (
        f"{len(found.systems)} systems, {len(found.tasks)} tasks ({', '.join(found.titles[t] for t in found.tasks)}), "
        f"{answers:,} answers."
    )


_ALONE = "<p class=note>Only one system: nothing to compare.</p>"


def _marked(table: Table) -> list[list[Any]]:
    """The rows of the comparisons as the page's script shows them: task, metric, a, b, [text, interval] of each cell."""
    marks = ([row[key] for key in ("task", "metric", "a", "b")] for row in table.rows)
    return [[*mark, cells] for mark, cells in zip(marks, table.cells(), strict=True)]


def _or_none(table: Table, message: str) -> str:
    return to_html(table) if table.rows else f"<p class=note>{escape(message)}</p>"


def _samples_note(packed: Packed, answers: int) -> str:
    if not packed.kept:
        return "No answers were handed over."
    spread = "" if packed.kept == answers else ", evenly spread over the test set"
    return (
        f"{packed.kept:,} of {answers:,} answers{spread}. Texts longer than {packed.limit:,} characters are cut. "
        "Items: = in the gold, + not in the gold, ! a value that does not occur in the source text, − missed."
    )


def _figure(figure: Drawn, number: int) -> str:
    text = f"<b>{escape(figure.heading)}</b>{escape(figure.caption)}"
    if figure.svg is None:
        return f"<figure class=wide><figcaption><b>{escape(figure.heading)}</b>Not drawn: {escape(figure.missing)}.</figcaption></figure>"
    svg = figure.svg.read_text(encoding="utf-8")
    svg = svg[svg.index("<svg") :]
    width = float(re.search(r'width="([\d.]+)pt"', svg)[1])
    # ids are unique in a file, not in a page; colours of ink, grid and paper follow the page's light or dark
    svg = re.sub(r'\bid="', f'id="f{number}-', svg)
    svg = re.sub(r'(xlink:href="|href="|url\()#', rf"\1#f{number}-", svg)
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = svg.replace(INK, "currentColor").replace(GRID, "var(--grid)").replace(PAPER, "none")
    svg = re.sub(
        r'width="[\d.]+pt" height="[\d.]+pt"|height="[\d.]+pt" width="[\d.]+pt"',
        f'width="{width * 1.7:.0f}"',
        svg,
        count=1,
    )
    svg = svg.replace("<svg ", f'<svg role="img" aria-label="{escape(figure.heading)}" ', 1)
    wide = " class=wide" if width > 300 else ""
    return f"<figure{wide}>{svg}<figcaption>{text}</figcaption></figure>"
