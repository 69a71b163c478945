"""The figures of the ETLCH paper and an overview, drawn from tables of scores, as SVG and PNG.

Okabe-Ito colours, and everything told by colour is also told by hatch, marker or line. Chinese labels are drawn with a
font that has their characters; where none has, the character is replaced and the report says so.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ft2font import FT2Font
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from etlch.tasks import Card
from eval.drawn import GRID, INK, PAPER, Drawn
from eval.names import PARTS, is_floor, systems_of, task_title, tasks_of, title
from eval.stats import intervals
from eval.wins import win_rates

COLUMN, PAGE = 3.5, 7.16
"""Width in inches of one and of two columns of a paper."""

_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9")
_FLOOR = "#9a9a9a"
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_LINES = ("-", (0, (5, 1.5)), (0, (1.5, 1.2)), (0, (5, 1.5, 1, 1.5)))
_CJK = (
    "Noto Sans CJK TC",
    "Noto Sans TC",
    "PingFang TC",
    "Microsoft JhengHei",
    "Source Han Sans TC",
    "Noto Sans CJK JP",
    "Noto Sans CJK SC",
    "Heiti TC",
    "WenQuanYi Zen Hei",
    "WenQuanYi Micro Hei",
    "Microsoft YaHei",
    "SimHei",
    "IPAexGothic",
)
_CJK_FILES = ("notosanscjk", "notosanstc", "sourcehansans", "pingfang", "msjh", "wqy", "msyh", "simhei")
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


# -- fonts --------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=64)
def _face(path: str) -> FT2Font:
    return FT2Font(path)


def lacking(path: str, text: str) -> str:
    """The characters of a text for which a font file has no glyph."""
    face = _face(path)
    return "".join(sorted({c for c in text if not c.isspace() and not face.get_char_index(ord(c))}))


def packaged_font() -> str | None:
    """IPAexGothic from the package matplotlib-fontja, found without importing the package; None where it is missing."""
    spec = find_spec("matplotlib_fontja")
    if spec is None or not spec.submodule_search_locations:
        return None
    path = Path(next(iter(spec.submodule_search_locations))) / "fonts" / "ipaexg.ttf"
    return str(path) if path.is_file() else None


def candidates() -> list[tuple[str, str]]:
    """(family, file) of the fonts that may have Chinese characters: installed ones by preference, then the packaged one."""
    found = _installed()
    if not found and _add_new_fonts():
        found = _installed()
    packaged = packaged_font()
    if packaged and packaged not in [path for _, path in found]:
        found.append(("IPAexGothic", packaged))
    return found


def _installed() -> list[tuple[str, str]]:
    best: dict[str, str] = {}
    fonts = font_manager.fontManager.ttflist
    for entry in sorted(fonts, key=lambda e: (e.style != "normal", abs(_weight(e) - 400), e.fname)):
        best.setdefault(entry.name, entry.fname)
    return [(name, best[name]) for name in _CJK if name in best]


def _add_new_fonts() -> bool:
    """Register fonts installed after matplotlib made its list, which it keeps for good; whether there are any."""
    known = {entry.fname for entry in font_manager.fontManager.ttflist}
    new = [
        path
        for path in sorted(font_manager.findSystemFonts())
        if Path(path).name.lower().startswith(_CJK_FILES) and path not in known
    ]
    for path in new:
        font_manager.fontManager.addfont(path)
    return bool(new)


def _weight(entry: font_manager.FontEntry) -> int:
    return entry.weight if isinstance(entry.weight, int) else {"bold": 700, "light": 300}.get(entry.weight, 400)


def choose_fonts(text: str, fonts: Sequence[tuple[str, str]] | None = None) -> tuple[list[str], str]:
    """Font families that together can draw a text, and the characters that none of them has.

    Latin is drawn with DejaVu Sans, which comes with matplotlib; what it lacks with the candidate that lacks least.
    """
    missing = lacking(font_manager.findfont("DejaVu Sans"), text)
    families = ["DejaVu Sans"]
    if not missing:
        return families, ""
    fonts = candidates() if fonts is None else fonts
    scored = [(len(lacking(path, missing)), number) for number, (_, path) in enumerate(fonts)]
    if not scored:
        return families, missing
    family, path = fonts[min(scored)[1]]
    if path not in [entry.fname for entry in font_manager.fontManager.ttflist]:
        font_manager.fontManager.addfont(path)
    return [*families, family], lacking(path, missing)


# -- drawing ------------------------------------------------------------------------------------------------------


class _Labels:
    """Text as it can be drawn: characters without a glyph are replaced by their code point, never by an empty box."""

    def __init__(self, texts: Iterable[str]):
        self.families, self.missing = choose_fonts("".join(texts))

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
    level: str = "95% bootstrap intervals"

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
        known = [name for name in dict.fromkeys(self.systems["base_model"]) if name]
        order = [*self.bases(), *(name for name in known if name not in self.bases())]
        return _COLOURS[order.index(base) % len(_COLOURS)] if base in order else _FLOOR

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
    titles = {task: _task_title(task, of_cards.get(task)) for task in tasks}
    scores = intervals(tidy) if scores is None else scores
    board = _Board(
        scores=scores,
        wins=win_rates(tidy, cards) if wins is None else wins,
        systems=systems,
        tasks=tasks,
        titles=titles,
        metrics={task: _curve_metrics(task, scores) for task in tasks},
        label=_Labels(
            [*titles.values(), *systems["system"], *systems["base_model"], *map(title, scores["metric"].unique())]
        ),
    )
    with _style(board.label.families):
        return [_write(figure, board, out_dir) for figure in _figures(board)], board.label.missing


def _task_title(task: str, card: Card | None) -> str:
    short = task_title(task)
    if card is None or not card.title:
        return short
    return card.title if short.lower() in card.title.lower() else f"{short} {card.title}"


def _curve_metrics(task: str, scores: pd.DataFrame) -> list[str]:
    """What is drawn over scales for a task: its F1, ROUGE-L, cosine similarity and faithfulness, as far as computed."""
    there = set(scores.loc[(scores["task"] == task) & scores["score"].notna(), "metric"])
    wanted = [*(f"{part}_f1" for part in PARTS), "rougeL", "cosine", "faithfulness"]
    return [metric for metric in wanted if metric in there]


@contextmanager
def _style(families: list[str]) -> Iterator[None]:
    with matplotlib.rc_context({**_STYLE, "font.family": families}):
        yield


def _figures(board: _Board) -> Iterator[tuple[str, str, str, Callable[[_Board], Figure | str]]]:
    """(file stem, heading, caption, drawing function) in the order of the report."""
    note = f"Whiskers and bands: {board.level} over test samples."
    yield (
        "overview",
        "Overview: what more training data buys",
        "Valid answers (JSON that json.loads reads as it stands; for other formats, answers that can be read at all), F1 and "
        f"faithfulness (share of answered values that occur in the source text) by samples a task. 0 is the untuned model. {note}",
        _overview,
    )
    for number, metric in ((1, "rougeL"), (2, "cosine")):
        yield (
            f"figure{number}_{metric.lower()}",
            f"Figure {number}. {title(metric)} by task and system",
            f"Solid: fine-tuned; hatched: untuned; grey: floors that need no model. {note}",
            lambda board, metric=metric: _bars(board, metric, board.has(metric)),
        )
    yield (
        "figure3_valid_json",
        "Figure 3. Valid JSON by system",
        f"Share of answers that json.loads reads as they stand. {note}",
        lambda board: _bars(board, "json_parse_ok", board.has("json_parse_ok")),
    )
    numbers = dict(zip(("json", "kge", "ner"), (4, 6, 7), strict=True))
    ordered = sorted(board.tasks, key=lambda task: (numbers.get(task, 99), task))
    for task in ordered:
        if task == (ordered[1] if len(ordered) > 1 else None):
            yield _figure5(note)
        stem = f"figure{numbers[task]}_{task}" if task in numbers else f"scale_{re.sub(r'[^0-9A-Za-z]+', '_', task)}"
        prefix = f"Figure {numbers[task]}. " if task in numbers else ""
        yield (
            stem,
            f"{prefix}Scores by data volume, {board.titles[task]}",
            f"0 is the untuned model. {note}",
            lambda board, task=task: _by_scale(board, task),
        )
    if len(ordered) == 1:
        yield _figure5(note)
    yield (
        "figure8_win_rates",
        "Figure 8. Win rates by task, baseline and scale",
        "Metrics won of metrics that count (ETLCH, section 7); below in brackets: won significantly after Holm's correction.",
        _win_rates,
    )


def _figure5(note: str) -> tuple[str, str, str, Callable[[_Board], Figure | str]]:
    return (
        "figure5_valid_json_by_scale",
        "Figure 5. Valid JSON by data volume",
        f"Share of answers that json.loads reads as they stand. 0 is the untuned model. {note}",
        _valid_by_scale,
    )


def _write(entry: tuple[str, str, str, Callable[[_Board], Figure | str]], board: _Board, out_dir: Path) -> Drawn:
    name, heading, caption, draw = entry
    figure = draw(board)
    svg, png = out_dir / f"{name}.svg", out_dir / f"{name}.png"
    if isinstance(figure, str):
        # a figure of an earlier report must not stay beside tables that do not have it
        svg.unlink(missing_ok=True)
        png.unlink(missing_ok=True)
        return Drawn(name, heading, caption, None, figure)
    # settle the layout once: each save would compute it again, at the price of two more drawings
    figure.get_layout_engine().execute(figure)
    figure.set_layout_engine(None)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    svg.write_bytes(re.sub(rb"[ \t]+\n", b"\n", buffer.getvalue()))
    figure.savefig(png, format="png", dpi=200, metadata={"Software": None})
    return Drawn(name, heading, caption, svg)


def _figure(width: float, height: float) -> Figure:
    figure = Figure(figsize=(width, height), layout="constrained")
    # text is a little wider in SVG than where the layout is computed
    figure.get_layout_engine().set(w_pad=0.09, h_pad=0.05)
    FigureCanvasAgg(figure)
    return figure


def _percent(axes: Axes, which: str) -> None:
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.0f}"))
    axis.set_major_locator(MaxNLocator(5))


def _whiskers(rows: pd.DataFrame) -> np.ndarray:
    low = np.nan_to_num((rows["score"] - rows["low"]).to_numpy(dtype=float))
    high = np.nan_to_num((rows["high"] - rows["score"]).to_numpy(dtype=float))
    return np.maximum(np.stack([low, high]), 0)


def _bars(board: _Board, metric: str, tasks: list[str]) -> Figure | str:
    """One panel a task, one horizontal bar a system."""
    if not tasks:
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
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.0f}"))
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
        marker=_MARKERS[number % len(_MARKERS)],
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
    _percent(axes, "y")


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
                _line(axes, rows, _COLOURS[number % len(_COLOURS)], number, title(metric))
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
                _line(axes, rows, _COLOURS[number % len(_COLOURS)], number, board.label(name, 40))
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
    handles = [
        Line2D(
            [],
            [],
            color=board.colour(base),
            marker=_MARKERS[i],
            linestyle=_LINES[i % len(_LINES)],
            markersize=4,
            label=board.label(base, 40),
        )
        for i, base in enumerate(board.bases())
    ]
    handles += [
        Line2D(
            [],
            [],
            color=_reference_colour(board, row),
            linestyle=_REFERENCE[i % len(_REFERENCE)],
            linewidth=1.1,
            label=board.label(row.system),
        )
        for i, row in enumerate(others.itertuples())
    ]
    panels[-1, len(board.tasks) // 2].set_xlabel("training samples a task")
    figure.legend(handles=handles, loc="outside lower center", ncols=4, handlelength=3)
    return figure


_REFERENCE = ((0, (1, 1.5)), (0, (4, 2)), (0, (7, 2, 1, 2)), (0, (2, 1, 2, 3)), (0, (9, 3)))


def _reference_colour(board: _Board, row: tuple) -> str:
    return _FLOOR if is_floor(row.system) else board.colour(row.base_model)


def _references(axes: Axes, board: _Board, rows: pd.DataFrame, others: pd.DataFrame) -> None:
    """Floors and other models as horizontal lines."""
    score = dict(zip(rows["system"], rows["score"], strict=True))
    for number, row in enumerate(others.itertuples()):
        if row.system in score:
            axes.axhline(
                score[row.system],
                color=_reference_colour(board, row),
                linestyle=_REFERENCE[number % len(_REFERENCE)],
                linewidth=1.1,
                zorder=1,
            )


def _validity_of(board: _Board, task: str) -> str:
    return "json_parse_ok" if len(board.rows(task, "json_parse_ok")) else "readable"


def _f1_of(board: _Board, task: str) -> str:
    return next((metric for metric in board.metrics[task] if metric.endswith("_f1")), "rougeL")
