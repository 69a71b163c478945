"""The figures of the ETLCH paper and an overview, drawn from tables of scores, as SVG and PNG.

Okabe-Ito colours, and everything told by colour is also told by hatch, marker or line. Chinese labels are drawn with the
font of the package matplotlib-fontja; a character that no font has is replaced and the report says so.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path

import matplotlib
import matplotlib_fontja  # registers IPAexGothic with matplotlib
import numpy as np
import pandas as pd
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from etlch.tasks import Card
from eval.names import PARTS, heading_of, is_floor, systems_of, task_title, tasks_of, title
from eval.stats import intervals
from eval.wins import win_rates

COLUMN, PAGE = 3.5, 7.16
"""Width in inches of one and of two columns of a paper."""
INK, GRID, PAPER = "#222222", "#cfcfcf", "#ffffff"
"""Colours that the report exchanges for the page's own; nothing else in a figure uses them."""
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")

_FLOOR = "#9a9a9a"
_LINES = ("-", (0, (5, 1.5)), (0, (1.5, 1.2)), (0, (5, 1.5, 1, 1.5)))
_REFERENCE = ((0, (1, 1.5)), (0, (4, 2)), (0, (7, 2, 1, 2)), (0, (2, 1, 2, 3)), (0, (9, 3)))
_MORE_FONTS = ("Noto Sans CJK TC", "Noto Sans CJK SC", "PingFang TC", "Microsoft JhengHei", "Microsoft YaHei")
_STYLE = {
    "font.size": 8,
    "axes.titlesize": 8.5,
    "axes.labelsize": 8,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "legend.fontsize": 7.5,
    "legend.frameon": False,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": GRID,
    "grid.linewidth": 0.5,
    "axes.axisbelow": True,
    "axes.facecolor": PAPER,
    "figure.facecolor": PAPER,
    "savefig.facecolor": PAPER,
    "hatch.linewidth": 0.6,
    "svg.fonttype": "path",
    "svg.hashsalt": "etlch",
    "axes.unicode_minus": False,
}


@dataclass(frozen=True, slots=True)
class Drawn:
    """One figure: its file stem, heading, caption, and the SVG's path; `missing` says why there is none."""

    name: str
    heading: str
    caption: str
    svg: Path | None = None
    missing: str = ""


def fonts() -> list[str]:
    """DejaVu Sans for Latin, the packaged font for Chinese, and what is installed for characters that both lack."""
    installed = font_manager.get_font_names()
    packaged = matplotlib_fontja.matplotlib_fontja.FONT_NAME
    return ["DejaVu Sans", packaged, *(name for name in _MORE_FONTS if name in installed)]


class _Labels:
    """Text as it can be drawn: characters without a glyph are replaced by their code point, never by an empty box."""

    def __init__(self, texts: Iterable[str]):
        faces = [font_manager.get_font(font_manager.findfont(family)) for family in fonts()]
        drawn = {c for c in "".join(texts) if not c.isspace()}
        self.missing = "".join(sorted(c for c in drawn if not any(face.get_char_index(ord(c)) for face in faces)))

    def __call__(self, text: str, limit: int = 26) -> str:
        text = "".join(c if c.isprintable() else " " for c in text)
        if len(text) > limit:
            text = text[: limit - 1] + "…"
        drawn = "".join(f"[U+{ord(c):X}]" if c in self.missing else c for c in text)
        return drawn.replace("$", r"\$")


@dataclass(slots=True)
class _Board:
    """What every figure needs: scores with intervals, win rates, systems with their looks, labels."""

    scores: pd.DataFrame
    wins: pd.DataFrame
    systems: pd.DataFrame
    tasks: list[str]
    titles: dict[str, str]
    metrics: dict[str, list[str]]
    label: _Labels

    def rows(self, task: str, metric: str) -> pd.DataFrame:
        """Scores of one task and metric that exist, in the order of systems."""
        rows = self.scores[(self.scores["task"] == task) & (self.scores["metric"] == metric)]
        return rows[rows["score"].notna()]

    def has(self, metric: str) -> list[str]:
        return [task for task in self.tasks if len(self.rows(task, metric))]

    def bases(self) -> list[str]:
        """Base models with at least one tuned system."""
        tuned = self.systems[self.systems["scale"] > 0]
        return list(dict.fromkeys(tuned["base_model"]))

    def colour(self, base: str) -> str:
        order = list(dict.fromkeys([*self.bases(), *filter(None, self.systems["base_model"])]))
        return COLOURS[order.index(base) % len(COLOURS)] if base in order else _FLOOR

    def look(self, system: str, base: str, scale: int) -> dict[str, object]:
        """Bar style: floors grey and dotted, untuned systems hatched, tuned ones solid."""
        if is_floor(system):
            return {"facecolor": PAPER, "edgecolor": _FLOOR, "hatch": "|||||"}
        colour = self.colour(base)
        if scale == 0:
            return {"facecolor": PAPER, "edgecolor": colour, "hatch": "//////"}
        return {"facecolor": colour, "edgecolor": colour}


def write_figures(
    tidy: pd.DataFrame,
    out_dir: str | Path,
    cards: Sequence[Card] | None = None,
    *,
    scores: pd.DataFrame | None = None,
    wins: pd.DataFrame | None = None,
) -> tuple[list[Drawn], str]:
    """Draw every figure into `out_dir` as SVG and PNG.

    scores and wins are the tables of eval.stats.intervals and eval.wins.win_rates, computed here when not given. Returns
    the figures, those that could not be drawn among them with the reason, and the characters no font has.
    """
    out_dir = Path(out_dir)
    out_dir.mkdir(parents=True, exist_ok=True)
    systems = systems_of(tidy)
    tasks = tasks_of(tidy)
    of_cards = {card.name: card for card in cards or ()}
    titles = {task: heading_of(task, of_cards.get(task)) for task in tasks}
    scores = intervals(tidy) if scores is None else scores
    words = [*titles.values(), *systems["system"], *systems["base_model"], *map(title, scores["metric"].unique())]
    board = _Board(
        scores=scores,
        wins=win_rates(tidy, cards) if wins is None else wins,
        systems=systems,
        tasks=tasks,
        titles=titles,
        metrics={task: _curve_metrics(task, scores) for task in tasks},
        label=_Labels(words),
    )
    with matplotlib.rc_context({**_STYLE, "font.family": fonts()}):
        return [_write(*entry, board, out_dir) for entry in _figures(board)], board.label.missing


def _curve_metrics(task: str, scores: pd.DataFrame) -> list[str]:
    """What is drawn over scales for a task: its F1, ROUGE-L, cosine similarity and faithfulness, as far as computed."""
    there = set(scores.loc[(scores["task"] == task) & scores["score"].notna(), "metric"])
    wanted = [*(f"{part}_f1" for part in PARTS), "rougeL", "cosine", "faithfulness"]
    return [metric for metric in wanted if metric in there]


Draw = Callable[[_Board], Figure | str]
_NUMBERS = {"json": 4, "kge": 6, "ner": 7}


def _figures(board: _Board) -> Iterator[tuple[str, str, str, Draw]]:
    """(file stem, heading, caption, drawing function) in the order of the report, numbered as in the paper."""
    note = "Whiskers and bands: 95% bootstrap intervals over test samples."
    yield (
        "overview",
        "Overview: what more training data buys",
        "Valid answers (JSON that json.loads reads as it stands; for other formats, answers that can be read at all), F1 and "
        f"faithfulness (share of answered values that occur in the source text) by samples a task. 0 is the untuned model. {note}",
        _overview,
    )
    for number, metric in ((1, "rougeL"), (2, "cosine")):
        caption = f"Solid: fine-tuned; hatched: untuned; grey: floors that need no model. {note}"
        heading = f"Figure {number}. {title(metric)} by task and system"
        yield f"figure{number}_{metric.lower()}", heading, caption, partial(_bars, metric=metric)
    share = "Share of answers that json.loads reads as they stand."
    bars = partial(_bars, metric="json_parse_ok")
    yield "figure3_valid_json", "Figure 3. Valid JSON by system", f"{share} {note}", bars
    by_scale = []
    for task in sorted(board.tasks, key=lambda task: (_NUMBERS.get(task, 99), task)):
        number = _NUMBERS.get(task)
        stem = f"figure{number}_{task}" if number else f"scale_{re.sub(r'[^0-9A-Za-z]+', '_', task)}"
        heading = f"{f'Figure {number}. ' if number else ''}Scores by data volume, {board.titles[task]}"
        by_scale.append((stem, heading, f"0 is the untuned model. {note}", partial(_by_scale, task=task)))
    caption = f"{share} 0 is the untuned model. {note}"
    five = ("figure5_valid_json_by_scale", "Figure 5. Valid JSON by data volume", caption, _valid_by_scale)
    yield from (*by_scale[:1], five, *by_scale[1:])
    yield (
        "figure8_win_rates",
        "Figure 8. Win rates by task, baseline and scale",
        "Metrics won of metrics that count (ETLCH, section 7); below in brackets: won significantly after Holm's correction.",
        _win_rates,
    )


def _write(name: str, heading: str, caption: str, draw: Draw, board: _Board, out_dir: Path) -> Drawn:
    figure = draw(board)
    svg = out_dir / f"{name}.svg"
    if isinstance(figure, str):
        # a figure of an earlier report must not stay beside tables that do not have it
        for path in (svg, svg.with_suffix(".png")):
            path.unlink(missing_ok=True)
        return Drawn(name, heading, caption, None, figure)
    # settle the layout once: each save would compute it again, at the price of two more drawings
    figure.get_layout_engine().execute(figure)
    figure.set_layout_engine(None)
    save(figure, svg)
    return Drawn(name, heading, caption, svg)


def save(figure: Figure, svg: Path) -> None:
    """Save as SVG and, beside it, as PNG, without a date: the same figure gives the same bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    svg.write_bytes(re.sub(rb"[ \t]+\n", b"\n", buffer.getvalue()))
    figure.savefig(svg.with_suffix(".png"), format="png", dpi=200, metadata={"Software": None})


def _figure(width: float, height: float) -> Figure:
    figure = Figure(figsize=(width, height), layout="constrained")
    # text is a little wider in SVG than where the layout is computed
    figure.get_layout_engine().set(w_pad=0.09, h_pad=0.05)
    FigureCanvasAgg(figure)
    return figure


def _whiskers(rows: pd.DataFrame) -> np.ndarray:
    ends = np.stack([rows["score"] - rows["low"], rows["high"] - rows["score"]])
    return np.maximum(np.nan_to_num(ends.astype(float)), 0)


def _bars(board: _Board, metric: str) -> Figure | str:
    """One panel a task, one horizontal bar a system."""
    if not (tasks := board.has(metric)):
        return f"{title(metric)} was not computed"
    systems = board.systems
    figure = _figure(PAGE if len(tasks) > 1 else COLUMN, 0.75 + 0.21 * len(systems))
    panels = figure.subplots(1, len(tasks), sharey=True, squeeze=False)[0]
    place = {name: len(systems) - 1 - i for i, name in enumerate(systems["system"])}
    for axes, task in zip(panels, tasks, strict=True):
        rows = board.rows(task, metric)
        whiskers = _whiskers(rows)
        for number, row in enumerate(rows.itertuples()):
            y = place[row.system]
            axes.barh(y, row.score, height=0.68, linewidth=0.7, **board.look(row.system, row.base_model, row.scale))
            axes.errorbar(row.score, y, xerr=whiskers[:, [number]], color=INK, linewidth=0.8, capsize=1.8, capthick=0.8)
            axes.text(row.score + whiskers[1, number] + 0.02, y, f"{100 * row.score:.1f}", va="center", fontsize=6.8)
        for name in set(place) - set(rows["system"]):
            axes.text(0.02, place[name], "no scores", va="center", fontsize=6.5, style="italic")
        axes.set_title(board.label(board.titles[task]), loc="left")
        axes.set_xlim(0, 1.16)
        axes.set_xticks(np.arange(0, 1.01, 0.25))
        axes.xaxis.set_major_formatter(PercentFormatter(1, 0, symbol=None))
        axes.grid(axis="x")
        axes.tick_params(axis="y", length=0)
    panels[0].set_yticks([place[name] for name in systems["system"]], [board.label(name) for name in systems["system"]])
    panels[0].set_ylim(-0.6, len(systems) - 0.4)
    figure.supxlabel(f"{title(metric)}, %", fontsize=8)
    return figure


def _curve(board: _Board, task: str, metric: str, base: str) -> pd.DataFrame:
    """Scores of one base model's systems, tuned and untuned, by scale."""
    rows = board.rows(task, metric)
    rows = rows[(rows["base_model"] == base) & (rows["base_model"] != "")]
    tuned = rows[rows["scale"] > 0]
    return pd.concat([rows[rows["scale"] == 0].head(1), tuned]).sort_values("scale") if len(tuned) else tuned


def _line(axes: Axes, rows: pd.DataFrame, colour: str, number: int, name: str) -> None:
    x = rows["scale"].to_numpy()
    axes.fill_between(
        x, rows["low"].fillna(rows["score"]), rows["high"].fillna(rows["score"]), color=colour, alpha=0.18, linewidth=0
    )
    axes.plot(
        x,
        rows["score"],
        color=colour,
        marker=MARKERS[number % len(MARKERS)],
        linestyle=_LINES[number % len(_LINES)],
        markersize=4,
        linewidth=1.3,
        label=name,
    )


def _scales(axes: Axes, board: _Board) -> None:
    """The x axis of a learning curve: the scales that exist, spaced as they are."""
    scales = sorted({0, *board.systems.loc[board.systems["scale"] > 0, "scale"]})
    axes.set_xticks(scales, [f"{scale:,}" for scale in scales])
    span = scales[-1] - scales[0]
    crowded = min((b - a for a, b in pairwise(scales)), default=span) < span / 14
    if crowded:
        axes.tick_params(axis="x", labelrotation=45)
    axes.set_xlim(-0.04 * span, 1.04 * span)
    axes.set_ylim(-0.03, 1.04)
    axes.grid(axis="y")
    axes.yaxis.set_major_formatter(PercentFormatter(1, 0, symbol=None))
    axes.yaxis.set_major_locator(MaxNLocator(5))


def _by_scale(board: _Board, task: str) -> Figure | str:
    """One panel a base model, one line a metric."""
    bases = [base for base in board.bases() if any(len(_curve(board, task, m, base)) for m in board.metrics[task])]
    if not bases or not board.metrics[task]:
        return "no tuned system has scores for this task"
    figure = _figure(COLUMN if len(bases) == 1 else PAGE, 2.6)
    panels = figure.subplots(1, len(bases), sharey=True, squeeze=False)[0]
    for axes, base in zip(panels, bases, strict=True):
        for number, metric in enumerate(board.metrics[task]):
            rows = _curve(board, task, metric, base)
            if len(rows):
                _line(axes, rows, COLOURS[number % len(COLOURS)], number, title(metric))
        _scales(axes, board)
        axes.set_title(board.label(base, 44), loc="left")
        axes.set_xlabel("training samples a task")
    panels[0].set_ylabel("score, %")
    handles, names = panels[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=2 if len(bases) == 1 else 4, handlelength=2.6)
    return figure


def _valid_by_scale(board: _Board) -> Figure | str:
    """One line a task and base model."""
    tasks = board.has("json_parse_ok")
    figure = _figure(COLUMN, 2.3 + 0.17 * len(tasks) * len(board.bases()))
    axes = figure.subplots()
    number = 0
    for base in board.bases():
        for task in tasks:
            rows = _curve(board, task, "json_parse_ok", base)
            if len(rows):
                name = task_title(task) if len(board.bases()) == 1 else f"{task_title(task)}, {base}"
                _line(axes, rows, COLOURS[number % len(COLOURS)], number, board.label(name, 40))
                number += 1
    if not number:
        return "no tuned system has a JSON task"
    _scales(axes, board)
    axes.set_xlabel("training samples a task")
    axes.set_ylabel("valid JSON, %")
    columns = 2 if len(board.bases()) == 1 else 1
    figure.legend(loc="outside lower center", ncols=columns, handlelength=2.6)
    return figure


def _win_rates(board: _Board) -> Figure | str:
    """One panel a task: baselines down, tuned systems across, metrics won in the cell."""
    wins = board.wins[board.wins["of"] > 0]
    if not len(wins):
        return "no tuned system, or no baseline, to compare"
    tasks = [task for task in board.tasks if task in set(wins["task"])]
    baselines = list(dict.fromkeys(wins["baseline"]))
    tuned = [name for name in board.systems["system"] if name in set(wins["system"])]
    width = PAGE if len(tasks) > 1 else COLUMN
    several = len(board.bases()) > 1
    figure = _figure(width, 1.0 + 0.34 * len(baselines) + (0.8 if several else 0))
    panels = figure.subplots(1, len(tasks), sharey=True, squeeze=False)[0]
    shades = matplotlib.colormaps["Blues"]
    column = {name: x for x, name in enumerate(tuned)}
    for axes, task in zip(panels, tasks, strict=True):
        for row in wins[wins["task"] == task].itertuples():
            x, y = column[row.system], len(baselines) - 1 - baselines.index(row.baseline)
            red, green, blue, _ = colour = shades(0.06 + 0.74 * row.rate)
            axes.add_patch(
                matplotlib.patches.Rectangle((x - 0.48, y - 0.46), 0.96, 0.92, facecolor=colour, linewidth=0)
            )
            ink = "#fdfdfd" if 0.299 * red + 0.587 * green + 0.114 * blue < 0.5 else "#111111"
            axes.text(x, y + 0.13, f"{row.wins}/{row.of}", ha="center", va="center", fontsize=7.5, color=ink)
            axes.text(x, y - 0.25, f"({row.significant_wins})", ha="center", va="center", fontsize=6.2, color=ink)
        axes.set_xlim(-0.5, len(tuned) - 0.5)
        axes.set_ylim(-0.5, len(baselines) - 0.5)
        axes.set_title(board.label(board.titles[task]), loc="left")
        axes.set_xticks(range(len(tuned)), _tuned_labels(board, tuned), rotation=90 if several else 0)
        axes.tick_params(length=0)
        for side in axes.spines.values():
            side.set_visible(False)
    panels[0].set_yticks(range(len(baselines)), [board.label(name) for name in reversed(baselines)])
    what = "tuned system" if several else f"{board.label(board.bases()[0])}, training samples a task"
    figure.supxlabel(what, fontsize=8)
    return figure


def _tuned_labels(board: _Board, tuned: list[str]) -> list[str]:
    """The scale alone where there is one base model, else the system's name."""
    scale = dict(zip(board.systems["system"], board.systems["scale"], strict=True))
    if len(board.bases()) == 1:
        return [f"{scale[name]:,}" for name in tuned]
    return [board.label(name, 18) for name in tuned]


def _overview(board: _Board) -> Figure | str:
    """Learning curves: rows are valid answers, F1 and faithfulness, columns are tasks; other systems as lines."""
    if not board.bases():
        return "no tuned system"
    rows_down = [(_validity_of, "Valid answers"), (_f1_of, "F1"), (lambda board, task: "faithfulness", "Faithfulness")]
    figure = _figure(PAGE, 5.6)
    panels = figure.subplots(len(rows_down), len(board.tasks), sharex=True, sharey=True, squeeze=False)
    others = board.systems[
        (board.systems["scale"] == 0) & ~board.systems["base_model"].isin(board.bases())
    ].reset_index(drop=True)
    for down, (metric_of, name) in enumerate(rows_down):
        for across, task in enumerate(board.tasks):
            axes = panels[down, across]
            chosen = metric_of(board, task)
            for number, base in enumerate(board.bases()):
                rows = _curve(board, task, chosen, base)
                if len(rows):
                    _line(axes, rows, board.colour(base), number, board.label(base))
            _references(axes, board, board.rows(task, chosen), others)
            _scales(axes, board)
            if down == 0:
                axes.set_title(board.label(board.titles[task]), loc="left")
            if across == 0:
                axes.set_ylabel(f"{name}, %")
    handles = {}
    for axes in panels.flat:
        handles |= dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    panels[-1, len(board.tasks) // 2].set_xlabel("training samples a task")
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=4, handlelength=3)
    return figure


def _references(axes: Axes, board: _Board, rows: pd.DataFrame, others: pd.DataFrame) -> None:
    """Floors and other models as horizontal lines."""
    score = dict(zip(rows["system"], rows["score"], strict=True))
    for number, row in enumerate(others.itertuples()):
        if row.system in score:
            axes.axhline(
                score[row.system],
                label=board.label(row.system),
                color=_FLOOR if is_floor(row.system) else board.colour(row.base_model),
                linestyle=_REFERENCE[number % len(_REFERENCE)],
                linewidth=1.1,
                zorder=1,
            )


def _validity_of(board: _Board, task: str) -> str:
    return "json_parse_ok" if len(board.rows(task, "json_parse_ok")) else "readable"


def _f1_of(board: _Board, task: str) -> str:
    return next((metric for metric in board.metrics[task] if metric.endswith("_f1")), "rougeL")
