"""Figures that an experiment asks for: a value by a factor with its spread, one value against another, confused labels."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev

import matplotlib
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from etlch.experiments import Experiment, FigureSpec, TableSpec
from eval import grouped
from eval.figures import COLOURS, GRID, INK, MARKERS, PAPER, fonts, save

_MOST_TYPES = 14

Points = dict[tuple[str, str], list[float]]
"""(label, colour) -> the values of its draws."""


def write(experiment: Experiment, tidy: pd.DataFrame, confusions: pd.DataFrame | None, out: Path) -> list[str]:
    """Draw into a folder as SVG and PNG; returns the names of the figures that there was something to draw for.

    confusions: columns gold, answered and count (confusions.csv of eval.scores); None where no label was confused.
    """
    out.mkdir(parents=True, exist_ok=True)
    drawn = []
    with matplotlib.rc_context({"font.family": fonts(), "font.size": 8, "svg.hashsalt": experiment.runs}):
        for asked in experiment.figures:
            data = confusions if asked.kind == "confusion" else tidy
            figure = None if data is None else _KINDS[asked.kind](asked, data)
            if figure is None:
                continue
            save(figure, out / f"{asked.name}.svg")
            drawn.append(asked.name)
    return drawn


def _points(tidy: pd.DataFrame, label: str, colour: str, value: str) -> Points:
    table = TableSpec("", (label, colour), (value,))
    found: Points = {}
    for row, cells in grouped.groups(tidy, table):
        values = [got for sums in cells[""] if (got := grouped.value_of(sums, value)) is not None]
        if values:
            found[str(row[0]), str(row[1])] = values
    return found


def _axes(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained", facecolor=PAPER)
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_axisbelow(True)
    axes.grid(color=GRID, linewidth=0.5)
    return figure, axes


def _look(group: str, groups: Sequence[str]) -> dict[str, str]:
    number = groups.index(group)
    return {"color": COLOURS[number % len(COLOURS)], "marker": MARKERS[number % len(MARKERS)]}


def _dots(asked: FigureSpec, tidy: pd.DataFrame) -> Figure | None:
    """A point a (label, group), its whisker one standard deviation over draws to either side."""
    scores = _points(tidy, asked.y, asked.colour, asked.x)
    if not scores:
        return None
    groups = list(dict.fromkeys(group for _, group in scores))
    labels = sorted({name for name, _ in scores}, key=lambda n: max(mean(v) for (m, _), v in scores.items() if m == n))
    figure, axes = _axes(5.2, 0.9 + 0.36 * len(labels))
    for (name, group), values in scores.items():
        spread = stdev(values) if len(values) > 1 else 0.0
        beside = [other for other in groups if (name, other) in scores]  # groups of a label side by side
        height = labels.index(name) + 0.5 * ((beside.index(group) + 0.5) / len(beside) - 0.5)
        axes.errorbar(
            mean(values), height, xerr=spread, capsize=2, linestyle="", markersize=4.5, **_look(group, groups)
        )
    axes.set_yticks(range(len(labels)), labels)
    best = _most(mean(values) for values in scores.values())
    axes.set_xlim(-0.02 * best, 1.02 * best)
    axes.set_xlabel(f"{_title(asked.x)} (whiskers: standard deviation over draws)")
    _legend(figure, axes, groups, asked.colour)
    return figure


def _scatter(asked: FigureSpec, tidy: pd.DataFrame) -> Figure | None:
    """One value against another (means of the draws), each point with its label."""
    across, up = (_points(tidy, asked.label, asked.colour, value) for value in (asked.x, asked.y))
    points: dict[tuple[float, float], list[str]] = defaultdict(list)
    groups = list(dict.fromkeys(group for _, group in up))
    figure, axes = _axes(5.2, 3.4)
    for (name, group), values in up.items():
        if (name, group) not in across:
            continue
        x, y = mean(across[name, group]), mean(values)
        axes.plot(x, y, linestyle="", markersize=4.5, **_look(group, groups))
        points[round(x), round(y, 2)].append(name)
    if not points:
        return None
    axes.set_xlabel(_title(asked.x))
    axes.set_ylabel(_title(asked.y))
    best = _most(y for _, y in points)
    axes.set_ylim(-0.03 * best, 1.06 * best)
    axes.set_xlim(0, 1.3 * max(x for x, _ in points))
    _legend(figure, axes, groups, asked.colour)
    _name(figure, axes, points)
    return figure


_TITLES = {"entity_f1": "micro-F1", "answer_tokens": "answer tokens a text", "train_on": "trained on"}


def _title(name: str) -> str:
    return _TITLES.get(name, name.replace("_", " "))


def _most(scores: Iterable[float]) -> float:
    """Where an axis of F1 ends: at 1, unless all scores are far below."""
    best = max(scores)
    return 1.0 if best > 0.4 else max(2 * best, 0.1)


def _name(figure: Figure, axes: Axes, points: dict[tuple[float, float], list[str]]) -> None:
    """The names beside their points; one that would cover another is moved up and tied to its point by a line."""
    figure.draw_without_rendering()
    taken: list[Bbox] = []
    for place, names in sorted(points.items()):
        shown = ", ".join(dict.fromkeys(names))
        text = axes.annotate(shown, place, xytext=(4, 3), textcoords="offset points", fontsize=6.5, color=INK)
        for height in range(3, 120, 8):
            text.xyann = (4, height)
            box = text.get_window_extent()
            if not any(box.overlaps(other) for other in taken):
                break
        taken.append(box)
        if height > 3:
            line = {"arrowstyle": "-", "linewidth": 0.4, "color": INK}
            axes.annotate("", place, xytext=(4, height + 2), textcoords="offset points", arrowprops=line)


def _legend(figure: Figure, axes: Axes, groups: Sequence[str], factor: str) -> None:
    for group in groups:
        axes.plot([], [], linestyle="", label=group, **_look(group, groups))
    figure.legend(loc="outside right upper", title=_title(factor), frameon=False)


def _confusion(asked: FigureSpec, confusions: pd.DataFrame) -> Figure:
    """Gold label by answered label of items whose text is right, all systems together."""
    wrong: Counter[tuple[str, str]] = Counter()
    for gold, said, count in confusions[["gold", "answered", "count"]].itertuples(index=False):
        wrong[str(gold), str(said)] += int(count)
    sums: Counter[str] = Counter()
    for (gold, said), count in wrong.items():
        sums[gold] += count
        sums[said] += count
    types = [kind for kind, _ in sums.most_common(_MOST_TYPES)]
    figure, axes = _axes(1.6 + 0.36 * len(types), 1.2 + 0.36 * len(types))
    axes.grid(False)
    cells = [[wrong[gold, said] for said in types] for gold in types]
    axes.imshow(cells, cmap="Blues")
    for row, counts in enumerate(cells):
        for column, count in enumerate(counts):
            if count:
                light = count > 0.6 * max(map(max, cells))
                axes.text(
                    column, row, f"{count:,}", ha="center", va="center", color=PAPER if light else INK, fontsize=6.5
                )
    shown = [kind[:24].replace("$", r"\$") for kind in types]
    axes.set_xticks(range(len(types)), shown, rotation=45, ha="right")
    axes.set_yticks(range(len(types)), shown)
    axes.set_xlabel("answered type")
    axes.set_ylabel("gold type")
    return figure


_KINDS: Mapping[str, Callable[[FigureSpec, pd.DataFrame], Figure | None]] = {
    "dots": _dots,
    "scatter": _scatter,
    "confusion": _confusion,
}
