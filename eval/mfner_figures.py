"""Figures of the MF-NER grid: F1 by format with its spread, F1 against what answers cost, confusion of types."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from statistics import mean, stdev

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from eval import mfner_analysis as analysis
from eval.figures import COLOURS, GRID, INK, MARKERS, PAPER, fonts, save
from eval.mfner_answers import Answered

_MOST_TYPES = 14


def write(answered: Sequence[Answered], out: Path) -> list[str]:
    """Draw into a folder as SVG and PNG; returns the names of the figures that there was something to draw for."""
    out.mkdir(parents=True, exist_ok=True)
    figures: dict[str, Callable[[Sequence[Answered]], Figure | None]] = {
        "f1_by_format": f1_by_format,
        "f1_by_tokens": f1_by_tokens,
        "confusion": confusion,
    }
    drawn = []
    with matplotlib.rc_context({"font.family": fonts(), "font.size": 8, "svg.hashsalt": "mfner"}):
        for name, draw in figures.items():
            figure = draw(answered)
            if figure is None:
                continue
            save(figure, out / f"{name}.svg")
            drawn.append(name)
    return drawn


def _axes(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained", facecolor=PAPER)
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_axisbelow(True)
    axes.grid(color=GRID, linewidth=0.5)
    return figure, axes


def _groups(answered: Sequence[Answered]) -> dict[tuple[str, str], list[Answered]]:
    groups: dict[tuple[str, str], list[Answered]] = defaultdict(list)
    for one in answered:
        groups[one.mix, one.format].append(one)
    return groups


def _look(mix: str, mixes: Sequence[str]) -> dict[str, str]:
    number = mixes.index(mix)
    return {"color": COLOURS[number % len(COLOURS)], "marker": MARKERS[number % len(MARKERS)]}


def f1_by_format(answered: Sequence[Answered]) -> Figure | None:
    """A point a (format, mix), its whisker one standard deviation over draws to either side."""
    scores = {key: _f1(some) for key, some in _groups(answered).items()}
    mixes = list(dict.fromkeys(mix for mix, _ in scores))
    formats = sorted({name for _, name in scores}, key=lambda f: max(mean(v) for (_, n), v in scores.items() if n == f))
    figure, axes = _axes(5.2, 0.9 + 0.36 * len(formats))
    for (mix, name), values in scores.items():
        spread = stdev(values) if len(values) > 1 else 0.0
        beside = [other for other in mixes if (other, name) in scores]  # mixes of a format side by side
        height = formats.index(name) + 0.5 * ((beside.index(mix) + 0.5) / len(beside) - 0.5)
        axes.errorbar(mean(values), height, xerr=spread, capsize=2, linestyle="", markersize=4.5, **_look(mix, mixes))
    axes.set_yticks(range(len(formats)), formats)
    best = _most(mean(values) for values in scores.values())
    axes.set_xlim(-0.02 * best, 1.02 * best)
    axes.set_xlabel("micro-F1 (whiskers: standard deviation over draws)")
    _legend(figure, axes, mixes)
    return figure


def f1_by_tokens(answered: Sequence[Answered]) -> Figure | None:
    """F1 (mean of the draws) against the tokens answered for a sentence, all prompts of the format together."""
    points: dict[tuple[float, float], list[str]] = defaultdict(list)
    figure, axes = _axes(5.2, 3.4)
    mixes = list(dict.fromkeys(one.mix for one in answered))
    for (mix, name), some in _groups(answered).items():
        counts = [one.tokens for one in some]
        if None in counts:
            continue
        tokens, f1 = sum(counts) / sum(len(one.sentences) for one in some), mean(_f1(some))
        axes.plot(tokens, f1, linestyle="", markersize=4.5, **_look(mix, mixes))
        points[round(tokens), round(f1, 2)].append(name)
    if not points:
        return None
    axes.set_xlabel("answer tokens a sentence")
    axes.set_ylabel("micro-F1")
    best = _most(f1 for _, f1 in points)
    axes.set_ylim(-0.03 * best, 1.06 * best)
    axes.set_xlim(0, 1.3 * max(tokens for tokens, _ in points))
    _legend(figure, axes, mixes)
    _name(figure, axes, points)
    return figure


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


def _f1(some: Sequence[Answered]) -> list[float]:
    return [analysis.prf(one.sentences)[2] for one in some]


def _legend(figure: Figure, axes: Axes, mixes: Sequence[str]) -> None:
    for mix in mixes:
        axes.plot([], [], linestyle="", label=mix, **_look(mix, mixes))
    figure.legend(loc="outside right upper", title="trained on", frameon=False)


def confusion(answered: Sequence[Answered]) -> Figure | None:
    """Gold type by answered type of mentions whose text is right, all formats together; None without a wrong type."""
    wrong: Counter[tuple[str, str]] = Counter()
    for one in answered:
        wrong += analysis.wrong_types(one.sentences)[0]
    if not wrong:
        return None
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
