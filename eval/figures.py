"""The figures of the ETLCH paper and an overview, drawn from tables of scores, as SVG and PNG.

Okabe-Ito colours, and everything told by colour is also told by hatch, marker or line. Chinese labels are drawn with the
font of the package matplotlib-fontja; a character that no font has is drawn as its code point.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib_fontja  # registers IPAexGothic with matplotlib
import numpy as np
import pandas as pd
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from eval.names import is_floor, ladders, task_title, title, tuned_of
from eval.tables import printable
from eval.verdict import Findings

COLUMN, PAGE = 3.5, 7.16
"""Width in inches of one and of two columns of a paper."""
INK, GRID, PAPER = "#222222", "#cfcfcf", "#ffffff"
"""Colours of figures.mplstyle that the report exchanges for the page's own; nothing else in a figure uses them."""
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")

_STYLE = Path(__file__).with_suffix(".mplstyle")
_FLOOR = "#9a9a9a"
_LINES = ("-", (0, (5, 1.5)), (0, (1.5, 1.2)), (0, (5, 1.5, 1, 1.5)))
_REFERENCE = ((0, (1, 1.5)), (0, (4, 2)), (0, (7, 2, 1, 2)), (0, (2, 1, 2, 3)), (0, (9, 3)))
_ACROSS = 4


@dataclass(frozen=True, slots=True)
class Drawn:
    """One figure: its file stem, heading, caption, and the SVG's path; `missing` says why there is none."""

    name: str
    heading: str
    caption: str
    svg: Path | None = None
    wide: bool = True
    missing: str = ""


def fonts() -> list[str]:
    """DejaVu Sans for Latin, the packaged font for Chinese."""
    return ["DejaVu Sans", matplotlib_fontja.matplotlib_fontja.FONT_NAME]


def label(text: str, limit: int = 26) -> str:
    """Text as it can be drawn: not too long, characters without a glyph as their code points, never as empty boxes."""
    text = printable(text)
    if len(text) > limit:
        text = text[: limit - 1] + "…"
    faces = [font_manager.get_font(font_manager.findfont(family)) for family in fonts()]
    known = [c.isspace() or any(face.get_char_index(ord(c)) for face in faces) for c in text]
    return "".join(c if there else f"[U+{ord(c):X}]" for c, there in zip(text, known, strict=True)).replace("$", r"\$")


def write_figures(found: Findings, out_dir: str | Path) -> list[Drawn]:
    """Draw every figure into `out_dir` as SVG and PNG; those that could not be drawn are returned with the reason."""
    out_dir = Path(out_dir)
    out_dir.mkdir(parents=True, exist_ok=True)
    with matplotlib.rc_context({"font.family": fonts()}, fname=_STYLE):
        return [_write(*entry, found, out_dir) for entry in _figures(found)]


Draw = Callable[[Findings], Figure | str]
_NUMBERS = {"json": 4, "kge": 6, "ner": 7}


def _figures(found: Findings) -> list[tuple[str, str, str, Draw]]:
    """(file stem, heading, caption, drawing function) in the order of the report, numbered as in the paper."""
    note = "Whiskers and bands: 95% bootstrap intervals over clusters of test samples (those that share a source)."
    zero = f"0 is the untuned model. {note}"
    solid = f"Solid: fine-tuned; hatched: untuned; grey: floors that need no language model. {note}"
    valid = "Share of answers that json.loads reads as they stand."
    by_scale = []
    for task in sorted(found.tasks, key=lambda task: (_NUMBERS.get(task, 99), task)):
        number = _NUMBERS.get(task)
        stem = f"figure{number}_{task}" if number else f"scale_{re.sub(r'[^0-9A-Za-z]+', '_', task)}"
        heading = f"{f'Figure {number}. ' if number else ''}Scores by data volume, {found.titles[task]}"
        by_scale.append((stem, heading, zero, partial(_by_scale, task=task)))
    overview = (
        "Valid answers (JSON that json.loads reads as it stands; for other formats, answers that can be read at all), F1 (the primary metric of each task) and "
        f"faithfulness (share of answered values that occur in the source text) by samples a task. {zero}"
    )
    wins = "Metrics won of metrics that count (ETLCH, section 7); below in brackets: won significantly after Holm's correction."
    rouge, cosine, share = (partial(_bars, metric=metric) for metric in ("rougeL", "cosine", "json_parse_ok"))
    return [
        ("overview", "Overview: what more training data buys", overview, _overview),
        ("figure1_rougel", "Figure 1. ROUGE-L (F1) by task and system", solid, rouge),
        ("figure2_cosine", "Figure 2. Cosine similarity by task and system", solid, cosine),
        ("figure3_valid_json", "Figure 3. Valid JSON by system", f"{valid} {note}", share),
        *by_scale[:1],
        ("figure5_valid_json_by_scale", "Figure 5. Valid JSON by data volume", f"{valid} {zero}", _valid_by_scale),
        *by_scale[1:],
        ("figure8_win_rates", "Figure 8. Win rates by task, baseline and scale", wins, _win_rates),
    ]


def _write(name: str, heading: str, caption: str, draw: Draw, found: Findings, out_dir: Path) -> Drawn:
    figure = draw(found)
    svg = out_dir / f"{name}.svg"
    if isinstance(figure, str):
        # a figure of an earlier report must not stay beside tables that do not have it
        for path in (svg, svg.with_suffix(".png")):
            path.unlink(missing_ok=True)
        return Drawn(name, heading, caption, missing=figure)
    # settle the layout once: each save would compute it again, at the price of two more drawings
    figure.get_layout_engine().execute(figure)
    figure.set_layout_engine(None)
    save(figure, svg)
    return Drawn(name, heading, caption, svg, bool(figure.get_figwidth() > COLUMN))


def save(figure: Figure, svg: Path) -> None:
    """Save as SVG and, beside it, as PNG, without a date: the same figure gives the same bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    svg.write_bytes(re.sub(rb"[ \t]+\n", b"\n", buffer.getvalue()))
    figure.savefig(svg.with_suffix(".png"), format="png", dpi=200, metadata={"Software": None})


def _figure(width: float, height: float, down: int = 1, across: int = 1) -> tuple[Figure, np.ndarray]:
    """An empty figure and its panels, down x across."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(down, across, sharex=down > 1, sharey=True, squeeze=False)


# -- bars -----------------------------------------------------------------------------------------------------------


def _look(found: Findings, row: Any) -> tuple[str, str, str]:
    """Face, edge and hatch of a bar: floors grey and dotted, untuned systems hatched, tuned ones solid."""
    colour = _colour(found, row.base_model)
    if is_floor(row.system):
        return PAPER, _FLOOR, "|||||"
    return (PAPER, colour, "//////") if row.scale == 0 else (colour, colour, "")


def _colour(found: Findings, base: str) -> str:
    """A base model's colour: those with tuned systems come first."""
    systems = found.systems
    order = [*tuned_of(systems)["base_model"], *systems["base_model"]]
    order = list(dict.fromkeys(filter(None, order)))
    return COLOURS[order.index(base) % len(COLOURS)] if base else _FLOOR


def _bars(found: Findings, metric: str) -> Figure | str:
    """One panel a task, one horizontal bar a system."""
    tasks = [task for task in found.tasks if metric in found.metrics(task)]
    if not tasks:
        return f"{title(metric)} was not computed"
    names = found.systems["system"].tolist()
    figure, panels = _figure(PAGE if len(tasks) > 1 else COLUMN, 0.75 + 0.21 * len(names), 1, len(tasks))
    place = {name: len(names) - 1 - i for i, name in enumerate(names)}
    for axes, task in zip(panels[0], tasks, strict=True):
        rows = found.rows(task, metric)
        faces, edges, hatches = zip(*(_look(found, row) for row in rows.itertuples()), strict=True)
        whiskers = np.nan_to_num([rows["score"] - rows["low"], rows["high"] - rows["score"]]).clip(0)
        ticks = {"ecolor": INK, "capsize": 1.8, "error_kw": {"linewidth": 0.8, "capthick": 0.8}}
        looks = {"height": 0.68, "linewidth": 0.7, "color": faces, "edgecolor": edges, "hatch": hatches}
        bars = axes.barh(rows["system"].map(place), rows["score"], xerr=whiskers, **looks, **ticks)
        axes.bar_label(bars, [f"{100 * score:.1f}" for score in rows["score"]], padding=2, fontsize=6.8)
        for name in sorted(set(place) - set(rows["system"])):
            axes.text(0.02, place[name], "no scores", va="center", fontsize=6.5, style="italic")
        axes.set_title(label(found.titles[task]))
        axes.set_xlim(0, 1.16)
        axes.set_xticks(np.arange(0, 1.01, 0.25))
        axes.xaxis.set_major_formatter(PercentFormatter(1, 0, symbol=None))
        axes.grid(axis="x")
        axes.tick_params(axis="y", length=0)
    panels[0, 0].set_yticks(list(place.values()), [label(name) for name in names])
    panels[0, 0].set_ylim(-0.6, len(names) - 0.4)
    figure.supxlabel(f"{title(metric)}, %")
    return figure


# -- curves ---------------------------------------------------------------------------------------------------------


def _curve(found: Findings, task: str, metric: str, ladder: pd.DataFrame) -> pd.DataFrame:
    """Scores of a ladder's systems by scale, at 0 that of the base model's first untuned system; none without tuned ones."""
    rows = found.rows(task, metric)
    tuned = rows[rows["system"].isin(ladder["system"])]
    untuned = rows[rows["system"].isin(_untuned(found, ladder))]
    return pd.concat([untuned, tuned]) if len(tuned) else tuned


def _untuned(found: Findings, ladder: pd.DataFrame) -> list[str]:
    """The untuned system at which a ladder's curve begins: the first of its base model, if there is one."""
    base = ladder["base_model"].iloc[0]
    same = (found.systems["scale"] == 0) & (found.systems["base_model"] == base)
    return found.systems.loc[same, "system"].head(1).tolist() if base else []


def _ladders(found: Findings) -> list[pd.DataFrame]:
    """The ladders to draw; where they are many (draws, mixes), those that have several scales."""
    every = ladders(found.systems)
    return every if len(every) <= 2 * _ACROSS else [one for one in every if len(one) > 1]


def _name(ladder: pd.DataFrame, limit: int = 26) -> str:
    return label(ladder["ladder"].iloc[0], limit)


def _line(axes: Axes, rows: pd.DataFrame, number: int, name: str) -> None:
    """A curve with its band; nothing without rows."""
    colour, marker, line = (looks[number % len(looks)] for looks in (COLOURS, MARKERS, _LINES))
    ends = (rows[end].fillna(rows["score"]) for end in ("low", "high"))
    if len(rows):
        axes.fill_between(rows["scale"], *ends, color=colour, alpha=0.18, linewidth=0)
        axes.plot(rows["scale"], rows["score"], color=colour, marker=marker, linestyle=line, label=name)


def _scales(axes: Axes, found: Findings) -> None:
    """The x axis of a learning curve: the scales that exist, spaced as they are."""
    scales = sorted({0, *found.systems["scale"]})
    axes.set_xticks(scales, [f"{scale:,}" for scale in scales])
    span = scales[-1] - scales[0]
    narrowest = max(1 / 14, axes.get_gridspec().ncols / 38) * span
    if min((b - a for a, b in pairwise(scales)), default=span) < narrowest:
        axes.tick_params(axis="x", labelrotation=45)
    axes.set_xlim(-0.04 * span, 1.04 * span)
    axes.set_ylim(-0.03, 1.04)
    axes.grid(axis="y")
    axes.yaxis.set_major_formatter(PercentFormatter(1, 0, symbol=None))
    axes.yaxis.set_major_locator(MaxNLocator(5))


def _by_scale(found: Findings, task: str) -> Figure | str:
    """One panel a ladder, one line a metric: F1, ROUGE-L, cosine similarity and faithfulness, as far as computed."""
    metrics = [metric for metric in found.headline(task) if metric != "json_parse_ok"]
    shown = [one for one in _ladders(found) if any(len(_curve(found, task, m, one)) for m in metrics)]
    if not shown:
        return "no tuned system has scores for this task, or too many of one scale"
    down = -(-len(shown) // _ACROSS)
    figure, panels = _figure(COLUMN if len(shown) == 1 else PAGE, 2.6 * down, down, min(len(shown), _ACROSS))
    for axes in panels.flat[len(shown) :]:
        axes.set_axis_off()
    for axes, ladder in zip(panels.flat, shown, strict=False):
        for number, metric in enumerate(metrics):
            _line(axes, _curve(found, task, metric, ladder), number, title(metric))
        _scales(axes, found)
        axes.set_title(_name(ladder, 44 if down == 1 else 20))
        axes.set_xlabel("training samples a task")
    panels[0, 0].set_ylabel("score, %")
    handles, names = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=2 if len(shown) == 1 else 4)
    return figure


def _valid_by_scale(found: Findings) -> Figure | str:
    """One line a task and ladder."""
    tasks = [task for task in found.tasks if "json_parse_ok" in found.metrics(task)]
    many = _ladders(found)
    curves = [(ladder, task, _curve(found, task, "json_parse_ok", ladder)) for ladder in many for task in tasks]
    curves = [(ladder, task, rows) for ladder, task, rows in curves if len(rows)]
    if not curves:
        return "no tuned system has a JSON task, or too many of one scale"
    figure, [[axes]] = _figure(COLUMN, 2.3 + 0.17 * len(tasks) * len(many))
    for number, (ladder, task, rows) in enumerate(curves):
        name = task_title(task) if len(many) == 1 else f"{task_title(task)}, {ladder['ladder'].iloc[0]}"
        _line(axes, rows, number, label(name, 40))
    _scales(axes, found)
    axes.set_xlabel("training samples a task")
    axes.set_ylabel("valid JSON, %")
    figure.legend(loc="outside lower center", ncols=2 if len(many) == 1 else 1)
    return figure


def _overview(found: Findings) -> Figure | str:
    """Learning curves: rows are valid answers, F1 and faithfulness, columns are tasks; other systems as lines."""
    many = _ladders(found)
    if not many:
        return "no tuned system, or too many of one scale"
    figure, panels = _figure(PAGE, 5.6, 3, len(found.tasks))
    begun = {name for ladder in many for name in _untuned(found, ladder)}
    others = found.systems[(found.systems["scale"] == 0) & ~found.systems["system"].isin(begun)]
    for across, task in enumerate(found.tasks):
        there = found.metrics(task)
        validity = "json_parse_ok" if "json_parse_ok" in there else "readable"
        f1 = found.primary(task)
        panels[0, across].set_title(label(found.titles[task]))
        for axes, metric in zip(panels[:, across], (validity, f1, "faithfulness"), strict=True):
            for number, ladder in enumerate(many):
                _line(axes, _curve(found, task, metric, ladder), number, _name(ladder))
            _references(axes, found, found.rows(task, metric), others)
            _scales(axes, found)
    for axes, name in zip(panels[:, 0], ("Valid answers", "F1", "Faithfulness"), strict=True):
        axes.set_ylabel(f"{name}, %")
    handles = {}
    for axes in panels.flat:
        handles |= dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    panels[-1, len(found.tasks) // 2].set_xlabel("training samples a task")
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=4, handlelength=3)
    return figure


def _references(axes: Axes, found: Findings, rows: pd.DataFrame, others: pd.DataFrame) -> None:
    """Floors and other models as horizontal lines, floors that learn from samples as grey curves."""
    for number, ladder in enumerate(ladders(found.systems, floors=True)):
        part = rows[rows["system"].isin(ladder["system"])]
        look = {"color": _FLOOR, "linestyle": _LINES[number % len(_LINES)], "marker": MARKERS[-1 - number], "zorder": 1}
        axes.plot(part["scale"], part["score"], label=_name(ladder), **look)
    score = dict(zip(rows["system"], rows["score"], strict=True))
    for number, row in enumerate(others.itertuples()):
        if row.system in score:
            colour, line = _look(found, row)[1], _REFERENCE[number % len(_REFERENCE)]
            look = {"color": colour, "linestyle": line, "linewidth": 1.1, "zorder": 1}
            axes.axhline(score[row.system], label=label(row.system), **look)


# -- win rates ------------------------------------------------------------------------------------------------------


def _win_rates(found: Findings) -> Figure | str:
    """One panel a task: baselines down, tuned systems across, metrics won in the cell."""
    wins = found.wins[found.wins["of"] > 0]
    if not len(wins):
        return "no tuned system, or no baseline, to compare"
    tasks = [task for task in found.tasks if task in set(wins["task"])]
    baselines = wins["baseline"].unique().tolist()
    tuned = found.systems[found.systems["system"].isin(wins["system"])]
    several = len(ladders(found.systems)) > 1
    figure, panels = _figure(
        PAGE if len(tasks) > 1 else COLUMN, 1.0 + 0.34 * len(baselines) + 0.8 * several, 1, len(tasks)
    )
    place = {name: x for x, name in enumerate(tuned["system"])}
    # the scale alone where that tells them apart
    names = [label(name, 18) for name in place] if several else [f"{scale:,}" for scale in tuned["scale"]]
    for axes, task in zip(panels[0], tasks, strict=True):
        cells = wins[wins["task"] == task]
        rates = cells.pivot(index="baseline", columns="system", values="rate").reindex(index=baselines, columns=place)
        axes.pcolormesh(rates, cmap="Blues", vmin=-0.08, vmax=1.27, edgecolor=PAPER, linewidth=1.5)
        for row in cells.itertuples():
            x, y = place[row.system] + 0.5, baselines.index(row.baseline) + 0.5
            look = {"ha": "center", "va": "center", "color": "#fdfdfd" if row.rate > 0.7 else "#111111"}
            axes.text(x, y - 0.13, f"{row.wins}/{row.of}", fontsize=7.5, **look)
            axes.text(x, y + 0.25, f"({row.significant_wins})", fontsize=6.2, **look)
        axes.set_title(label(found.titles[task]))
        axes.set_xticks(np.arange(len(place)) + 0.5, names, rotation=90 if several else 0)
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
    panels[0, 0].set_yticks(np.arange(len(baselines)) + 0.5, list(map(label, baselines)))
    panels[0, 0].invert_yaxis()
    base = label(tuned["base_model"].iloc[0])
    figure.supxlabel("tuned system" if several else f"{base}, training samples a task")
    return figure
